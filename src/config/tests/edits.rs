//! What a route changes: what it comes to, and mistakes at their places.

use super::places::one;
use super::{GOOD, load};
use crate::config::checked::Route;
use http::HeaderValue;

fn with(keys: &str) -> String {
    GOOD.replace("account: dev}", &format!("account: dev, {keys}}}"))
}

fn route(keys: &str) -> Route {
    load(&with(keys)).unwrap().routes.remove(0)
}

#[test]
fn what_is_written_is_what_is_changed() {
    assert_eq!(route("timeout: 60s").edits, None);
    assert_eq!(
        route("preserve_host: false, request_headers: {}").edits,
        None
    );
    let edits = route(
        "preserve_host: true, strip_cookies: true, rewrite_addresses: true, \
         request_headers: {set: {X-A: {env: SET}}, remove: [X-B, x-c]}, \
         response_headers: {remove: [Authorization]}",
    );
    let edits = edits.edits.unwrap();
    assert!(edits.preserve_host && edits.strip_cookies && edits.rewrite_addresses);
    assert_eq!(edits.request.set[0].0, "x-a");
    assert_eq!(
        edits.request.set[0].1,
        HeaderValue::from_static("value-of-SET")
    );
    assert_eq!(edits.request.remove, ["x-b", "x-c"]);
    assert_eq!(edits.response.remove, ["authorization"]);
    let shown = format!("{edits:?}");
    assert!(!shown.contains("value-of-SET"), "{shown}");
}

#[test]
fn bodies_have_a_limit_or_none() {
    assert_eq!(route("timeout: 60s").max_body, None);
    assert_eq!(route("max_body: 1MiB").max_body, Some(1 << 20));
    assert_eq!(route("max_body: none").max_body, Some(u64::MAX));
    let limits = |text: &str| {
        let text = format!("{GOOD}limits: {{{text}}}\n");
        load(&text).unwrap().limits.max_body
    };
    assert_eq!(limits(""), u64::MAX);
    assert_eq!(limits("max_body: 10"), 10);
    one(
        "account: dev}",
        "account: dev, max_body: no}",
        "14:78 `max_body` can't be `no`",
    );
}

#[test]
fn a_header_that_is_not_the_routes_is_a_mistake() {
    for (name, why) in [
        (
            "Host",
            "it frames or addresses the message, or belongs to one connection",
        ),
        (
            "content_length",
            "it frames or addresses the message, or belongs to one connection",
        ),
        (
            "Proxy-Authorization",
            "it frames or addresses the message, or belongs to one connection",
        ),
        ("authorization", "the token is written into it"),
    ] {
        let fault = format!("the header `{name}` can't be set or removed: {why}");
        for (change, column) in [
            (format!("{{set: {{{name}: a}}}}"), 92),
            (format!("{{remove: [{name}]}}"), 95),
        ] {
            let spoilt = format!("account: dev, request_headers: {change}}}");
            one("account: dev}", &spoilt, &format!("14:{column} {fault}"));
        }
    }
    one(
        "account: dev}",
        "account: dev, response_headers: {remove: [Transfer-Encoding]}}",
        "14:96 the header `Transfer-Encoding` can't be set or removed: it frames or addresses \
         the message, or belongs to one connection",
    );
}

#[test]
fn a_header_has_a_name_and_a_value_and_stands_once() {
    one(
        "account: dev}",
        "account: dev, request_headers: {remove: [\"a b\"]}}",
        "14:95 `a b` is no header name",
    );
    one(
        "account: dev}",
        "account: dev, request_headers: {set: {X-A: \"a\\nb\"}}}",
        "14:97 the value of `X-A` is no header value: it holds a control character",
    );
    one(
        "account: dev}",
        "account: dev, request_headers: {set: {X-A: a}, remove: [x-a]}}",
        "14:110 the header `x-a` is written twice",
    );
    one(
        "account: dev}",
        "account: dev, request_headers: {sett: {X-A: a}}}",
        "14:86 a block of header changes has no key `sett`",
    );
}
