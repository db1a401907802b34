//! Addresses and cookies, each with what becomes of it.

use super::Rewriter;
use crate::config::checked::edits::Edits;
use crate::config::checked::{PathMatch, Route, RouteMatch, Upstream, UpstreamScheme};
use crate::proxy::sample;
use crate::proxy::set_cookie;
use http::header::{HeaderMap, HeaderValue};
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use std::sync::Arc;

/// A route to `scheme://authority/path`, and a request for `requested` on it.
fn at(upstream: (&str, &str), path: PathMatch, requested: &str, preserves: bool) -> Rewriter {
    let (scheme, rest) = upstream.0.split_once("://").unwrap();
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().unwrap()),
        _ => (rest, if scheme == "http" { 80 } else { 443 }),
    };
    let matcher = RouteMatch {
        host: None,
        path,
        methods: Vec::new(),
        headers: Vec::new(),
    };
    let edits = Edits {
        rewrite_addresses: true,
        preserve_host: preserves,
        ..Edits::default()
    };
    let sample = sample::route("a", matcher);
    let route = Route {
        upstream: Upstream {
            scheme: match scheme {
                "http" => UpstreamScheme::Http,
                _ => UpstreamScheme::Https,
            },
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: rest.to_owned(),
            path: upstream.1.to_owned(),
            query: None,
        },
        edits: Some(Arc::new(edits)),
        ..Route::clone(&sample.route)
    };
    let host = HeaderValue::from_static("localhost:7480");
    Rewriter::new(&Arc::new(route), "http", &host, requested)
}

fn prefix(text: &str) -> PathMatch {
    PathMatch::Prefix(text.to_owned())
}

/// `https://app.example.com/api/` at `/crm`.
fn usual() -> Rewriter {
    at(
        ("https://app.example.com", "/api/"),
        prefix("/crm"),
        "/crm/x",
        false,
    )
}

fn text(rewritten: Option<Vec<u8>>) -> Option<String> {
    rewritten.map(|bytes| String::from_utf8(bytes).unwrap())
}

#[track_caller]
fn becomes(rewriter: &Rewriter, address: &str, expected: &str) {
    let found = text(rewriter.address(address.as_bytes()));
    assert_eq!(found.as_deref(), Some(expected), "{address}");
}

#[track_caller]
fn stays(rewriter: &Rewriter, address: &str) {
    let found = text(rewriter.address(address.as_bytes()));
    assert_eq!(found, None, "{address}");
}

#[test]
fn an_address_under_the_upstream_becomes_the_routes() {
    let usual = usual();
    for (address, expected) in [
        (
            "https://app.example.com/api/x?y#z",
            "http://localhost:7480/crm/x?y#z",
        ),
        (
            "HTTPS://App.Example.Com:443/api/",
            "http://localhost:7480/crm/",
        ),
        ("https://app.example.com:/api", "http://localhost:7480/crm"),
        (
            "https://app.example.com/api?a=/b",
            "http://localhost:7480/crm?a=/b",
        ),
        // Behind somebody else's TLS.
        (
            "http://app.example.com/api/x",
            "http://localhost:7480/crm/x",
        ),
        ("//app.example.com/api/x", "//localhost:7480/crm/x"),
        ("/api/x//y", "/crm/x//y"),
        ("/api", "/crm"),
        ("/api/%2Fx;a", "/crm/%2Fx;a"),
    ] {
        becomes(&usual, address, expected);
    }
}

#[test]
fn what_leads_elsewhere_stays() {
    let usual = usual();
    for address in [
        "",
        "#a",
        "?a",
        "login",
        "../login",
        "/",
        "/apis/x",
        "/other",
        "/api/../x",
        "/api/%2e%2e/x",
        "//other.example.com/api/x",
        "https://app.example.com/apix",
        "https://app.example.com",
        "https://app.example.com:8443/api/",
        "http://app.example.com:8080/api/",
        "https://app.example.com.evil.example/api/",
        "https://user@app.example.com/api/",
        "https://app.example.com:443@evil.example/api/",
        "https://app.example.com\\@evil.example/api/",
        "https:/app.example.com/api/",
        "/\\app.example.com/api/",
        "/\t/app.example.com/api/",
        "ftp://app.example.com/api/",
        "javascript:/api/",
        "://app.example.com/api/",
    ] {
        stays(&usual, address);
    }
    let latin = b"/api/\xe4";
    assert_eq!(usual.address(latin), None);
}

#[test]
fn an_upgrade_to_https_is_no_address_of_an_http_upstream() {
    let plain = at(
        ("http://app.example.com", "/"),
        prefix("/crm"),
        "/crm/",
        false,
    );
    stays(&plain, "https://app.example.com/x");
    becomes(
        &plain,
        "http://app.example.com",
        "http://localhost:7480/crm",
    );
}

#[test]
fn roots_and_whole_paths_have_their_own_ways() {
    let root = at(("http://[::1]:81", "/"), prefix(""), "/", false);
    becomes(&root, "http://[::1]:81", "http://localhost:7480/");
    becomes(&root, "http://[::1]:81/a", "http://localhost:7480/a");
    stays(&root, "/a");
    let exact = PathMatch::Exact("/v1/report".to_owned());
    let exact = at(("http://app:81", "/base"), exact, "/v1/report", false);
    becomes(&exact, "/base/v1/report?a", "/v1/report?a");
    stays(&exact, "/base/v1/reports");
    stays(&exact, "/base/login");
}

#[test]
fn what_is_relative_to_the_upstreams_folder_is_found_from_a_path_without_a_slash() {
    let upstream = ("https://app.example.com", "/api/");
    let bare = at(upstream, prefix("/crm"), "/crm", false);
    becomes(&bare, "login?a", "/crm/login?a");
    for address in ["?a", "#a", "../x", "mailto:a"] {
        stays(&bare, address);
    }
}

#[test]
fn an_upstream_that_sees_the_callers_host_speaks_of_it() {
    let kept = at(
        ("http://10.0.0.1:81", "/app"),
        prefix("/legacy"),
        "/legacy/",
        true,
    );
    becomes(
        &kept,
        "https://localhost:7480/app/login",
        "http://localhost:7480/legacy/login",
    );
    stays(&kept, "http://localhost:7481/app/login");
    stays(&usual(), "http://localhost:7480/api/login");
}

#[test]
fn every_field_is_read_in_its_own_way() {
    let usual = usual();
    for (value, expected) in [
        ("5; url=/api/x", Some("5; url=/crm/x")),
        (
            "0;URL='https://app.example.com/api/'",
            Some("0;URL='http://localhost:7480/crm/'"),
        ),
        ("0, url = \"/api/x\" more", Some("0, url = \"/crm/x\" more")),
        ("1.5;/api/x", Some("1.5;/crm/x")),
        ("5", None),
        ("5;", None),
        ("5;url", None),
        ("url=/api/x", None),
        ("5; url=/x", None),
    ] {
        assert_eq!(
            text(usual.refresh(value.as_bytes())).as_deref(),
            expected,
            "{value}"
        );
    }
    for (value, expected) in [
        (
            "</api/2>; rel=next, <https://other/>; title=\"</api/3>\", <?a>, </api/4>",
            Some("</crm/2>; rel=next, <https://other/>; title=\"</api/3>\", <?a>, </crm/4>"),
        ),
        (
            "</api/1>; title=\"\\\"</api/2>\"",
            Some("</crm/1>; title=\"\\\"</api/2>\""),
        ),
        ("</api/1", None),
        ("</x>", None),
    ] {
        assert_eq!(
            text(usual.links(value.as_bytes())).as_deref(),
            expected,
            "{value}"
        );
    }
}

#[test]
fn cookies_come_back_on_the_routes_address() {
    let usual = usual();
    for (value, expected) in [
        ("a=1; Path=/", Some("a=1; Path=/crm")),
        (
            "a=1; path=/api/; HttpOnly",
            Some("a=1; Path=/crm; HttpOnly"),
        ),
        ("a=1;Path=/api/admin", Some("a=1; Path=/crm/admin")),
        ("a=1; Domain=app.example.com", Some("a=1")),
        (
            "a=1; Domain=.Example.com; Max-Age=5",
            Some("a=1; Max-Age=5"),
        ),
        (
            "a=/api/; Secure; SameSite=None; Partitioned",
            Some("a=/api/"),
        ),
        ("a=1; Secure; SameSite=Lax", Some("a=1; SameSite=Lax")),
        ("a=1; SameSite=None", None),
        ("a=1; Path=/other; Domain=other.example", None),
        ("a=1; Domain=e.com", None),
        ("a=1; Domain=", None),
        ("a=\"path=/api/\"; HttpOnly", None),
        ("__Host-a=1; Path=/; Secure", None),
        ("__Secure-a=1; Path=/; Secure", None),
        ("", None),
    ] {
        let found = text(set_cookie::local(&usual, value.as_bytes()));
        assert_eq!(found.as_deref(), expected, "{value}");
    }
    let root = at(("http://app.example.com", "/app"), prefix(""), "/", false);
    let cookie = set_cookie::local(&root, b"a=1; Path=/app");
    assert_eq!(text(cookie).as_deref(), Some("a=1; Path=/"));
}

#[test]
fn each_of_several_fields_is_rewritten() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("location", "/api/x"),
        ("content-location", "/x"),
        ("refresh", "5; url=/api/x"),
        ("link", "</api/x>"),
        ("link", "</y>"),
        ("set-cookie", "a=1; Path=/api"),
        ("set-cookie", "b=1"),
        ("x-location", "/api/x"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    usual().rewrite(&mut headers);
    let all: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(
        all,
        [
            "location: /crm/x",
            "content-location: /x",
            "refresh: 5; url=/crm/x",
            "link: </crm/x>",
            "link: </y>",
            "set-cookie: a=1; Path=/crm",
            "set-cookie: b=1",
            "x-location: /api/x",
        ]
    );
}

proptest! {
    #[test]
    fn nothing_panics_and_all_is_done_at_once(
        value in prop::collection::vec(any::<u8>(), 0..60),
        address in "(https?:)?(//)?(app\\.example\\.com|other)?(:443)?(/api|/crm|/|x|\\?|#|%2e|\"|'|<|>|;|,| ){0,6}",
    ) {
        let usual = usual();
        for value in [value.as_slice(), address.as_bytes()] {
            let in_refresh = [b"5; url=", value].concat();
            let in_link = [b"<", value, b">; rel=a"].concat();
            let in_cookie = [b"a=1; Path=", value].concat();
            for rewritten in [
                usual.address(value),
                usual.refresh(value),
                usual.refresh(&in_refresh).map(|v| v[b"5; url=".len()..].to_vec()),
            ].into_iter().flatten() {
                prop_assert_eq!(usual.address(&rewritten), None);
            }
            if let Some(rewritten) = usual.links(&in_link) {
                prop_assert_eq!(usual.links(&rewritten), None);
            }
            if let Some(rewritten) = set_cookie::local(&usual, &in_cookie) {
                prop_assert_eq!(set_cookie::local(&usual, &rewritten), None);
            }
            let _ = (usual.links(value), set_cookie::local(&usual, value));
        }
    }

    #[test]
    fn what_a_browser_finds_elsewhere_is_left_alone(
        address in "(https?:)?(/{0,2})(app\\.example\\.com|other|a@)?(:443|:80|:)?(/api|/crm|/|\\.\\.|x|\\?|#|%2e|@|\\\\|\t){0,6}",
    ) {
        let base = url::Url::parse("https://app.example.com/api/x").unwrap();
        let led = base.join(&address).ok();
        let is_ours = led.as_ref().is_some_and(|url| {
            let here = url.host_str() == Some("app.example.com") && url.port().is_none();
            here && (url.path() == "/api" || url.path().starts_with("/api/"))
        });
        if let Some(rewritten) = usual().address(address.as_bytes()) {
            prop_assert!(is_ours, "{} became {:?}", address, String::from_utf8(rewritten));
        }
    }
}
