//! `routes` of a listener.

use super::places::{errors, one};
use super::{GOOD, load};
use crate::config::checked::Config;

const TWO: &str = "  - {path: /crm, upstream: https://api.example.com/, account: dev}
  - {path: /files, name: files, upstream: https://api.example.com/, account: dev}
";

/// With this for `listen`, and a second route.
fn with(listen: &str) -> String {
    let routes = GOOD.find("  - {path: /crm").unwrap();
    let text = format!("{}{TWO}", &GOOD[..routes]);
    text.replacen("127.0.0.1:7480", listen, 1)
}

fn loaded(listen: &str) -> Config {
    load(&with(listen)).unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
}

#[test]
fn names_of_routes_are_of_routes_that_are_there() {
    let at = |routes: &str| format!("[{{address: 127.0.0.1:7480, routes: {routes}}}]");
    for (routes, wanted) in [
        ("[cmr]", "1:45 no such route: `cmr`"),
        ("[crm, file]", "1:50 no such route: `file`"),
        ("[crm, crm]", "1:50 the route `crm` is named twice"),
        (
            "[]",
            "1:44 `routes` names no route, so this listener would serve nothing",
        ),
        (
            "",
            "1:42 `routes` names no route, so this listener would serve nothing",
        ),
        ("crm", "1:44 `routes` must be a list"),
        ("[\"dev\"]", "1:45 no such route: `dev`"),
    ] {
        assert_eq!(errors(&with(&at(routes))), [wanted], "{routes}");
    }
    one(
        "127.0.0.1:7480",
        "[{address: 127.0.0.1:7480, routes: [files]}]",
        "1:45 no such route: `files`",
    );
    let said = load(&with(&at("[cmr]"))).unwrap_err().render(false);
    assert!(said.contains("crm or files"), "{said}");
}

#[test]
fn a_mistake_in_a_nameless_route_is_the_only_one() {
    let text = with("[{address: 127.0.0.1:7480, routes: [crm]}]");
    let spoilt = text.replacen("path: /crm", "path: crm", 1);
    assert_eq!(errors(&spoilt), ["14:12 a path must begin with `/`"]);
    // What is written down is known all the same.
    let spoilt = text.replacen("path: /files", "path: files", 1);
    let spoilt = spoilt.replacen("[crm]", "[crm, files]", 1);
    assert_eq!(errors(&spoilt), ["15:12 a path must begin with `/`"]);
}

#[test]
fn a_route_that_no_listener_serves_is_warned_about() {
    let one = "[{address: 127.0.0.1:7480, routes: [crm]}]";
    let warnings = loaded(one).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(":15:5:"), "{warnings:?}");
    let what = "no listener serves the route `files`";
    assert!(warnings[0].contains(what), "{warnings:?}");
    for both in [
        "[{address: 127.0.0.1:7480, routes: [crm]}, {address: 127.0.0.1:7479, routes: [files]}]",
        "[{address: 127.0.0.1:7480, routes: [crm]}, {address: 127.0.0.1:7479}]",
    ] {
        let config = loaded(both);
        assert_eq!(config.warnings, [""; 0]);
        let first = config.listeners[0].routes.as_ref().unwrap();
        let is_served = |at: usize| first.serves(&config.routes[at]);
        assert_eq!((is_served(0), is_served(1)), (true, false));
    }
}

#[test]
fn off_loopback_the_warning_names_what_may_be_used() {
    let config = loaded("[{address: \"0.0.0.0:7480\", routes: [crm, files]}]");
    let what = "whoever can reach 0.0.0.0:7480 may use the routes crm, files, and with them";
    assert!(config.warnings[0].contains(what), "{:?}", config.warnings);
}
