//! Mistakes in routes, listeners and what comes from elsewhere, each at its place.

use super::places::{errors, one};
use super::{GOOD, load};
use crate::config::checked::Config;

#[test]
fn routes() {
    one(
        "path: /crm",
        "path: crm",
        "14:12 a path must begin with `/`",
    );
    one(
        "path: /crm",
        "path: /a/%2e%2E/b",
        "14:15 a `.` or `..` segment, which no accepted request has",
    );
    one("path: /crm, ", "", "14:5 a route lacks `path` or `match`");
    one(
        "path: /crm",
        "path: /crm, match: {path: /x}",
        "14:6 both `path` and `match.path`",
    );
    one(
        "path: /crm",
        "match: {path: {exact: /a, prefix: /b}}",
        "14:28 both `prefix` and `exact`",
    );
    one(
        "path: /crm",
        "match: {host: \"a:80\"}",
        "14:20 `a:80` is no host",
    );
    one(
        "path: /crm",
        "match: {methods: [get]}",
        "14:24 `get` is no method that can be proxied",
    );
    one(
        "path: /crm",
        "match: {methods: [TRACE]}",
        "14:24 `TRACE` is no method that can be proxied",
    );
    one(
        "account: dev",
        "account: dev, allow_origins: [\"https://a/\"]",
        "14:84 `https://a/` is no origin",
    );
}

#[test]
fn upstreams() {
    one(
        "https://api.example.com/",
        "http://api.example.com/",
        "14:28 the token would travel over plain HTTP to another machine",
    );
    one(
        "https://api.example.com/",
        "http://localhost:7480/",
        "14:28 this upstream is sidekey's own listener 127.0.0.1:7480",
    );
    one(
        "https://api.example.com/",
        "http://127.0.0.1:7481/",
        "14:28 this upstream is sidekey's own listener 127.0.0.1:7481",
    );
    one(
        "https://api.example.com/",
        "h2c://api.example.com/",
        "14:28 the token would travel over plain HTTP to another machine",
    );
    let allowed = GOOD.replace("https://api.example.com/", "http://api.example.com/");
    let allowed = allowed.replace("account: dev}", "account: dev, allow_plaintext: true}");
    assert_eq!(errors(&allowed), [""; 0]);
}

#[test]
fn what_is_not_in_this_version() {
    one(
        "127.0.0.1:7480",
        "[{address: 127.0.0.1:7480, callers: []}]",
        "1:36 `callers` lets nobody in",
    );
    one(
        "127.0.0.1:7480",
        "[{address: 127.0.0.1:7480, routes: []}]",
        "1:44 `routes` names no route, so this listener would serve nothing",
    );
    one(
        "client_id:",
        "token_endpoint_auth_method: private_key_jwt\n      client_id:",
        "8:35 `token_endpoint_auth_method: private_key_jwt` is not in this version",
    );
}

#[test]
fn listeners_and_store() {
    one(
        "listen: 127.0.0.1:7480",
        "listen: 127.0.0.1:7481\nadmin: {listen: 127.0.0.1:7481}",
        "2:17 127.0.0.1:7481 is listened on twice",
    );
    one("127.0.0.1:7480", "[]", "1:9 `listen` has no listener");
    one(
        "127.0.0.1:7480",
        "[{address: \"unix:/a\"}, {address: \"unix:/a\", mode: 0660}]",
        "1:42 unix:/a is listened on twice",
    );
    one(
        "127.0.0.1:7480",
        "[{address: \"unix:/a\", mode: 0680}]",
        "1:37 `mode` can't be `0680`",
    );
    one(
        "127.0.0.1:7480",
        "[{address: 127.0.0.1:7480, mode: 0660}]",
        "1:36 `mode` is of a Unix socket's file, and this listener has none",
    );
    one("127.0.0.1:7480", "fd:2", "1:9 `listen` can't be `fd:2`");
    one(
        "127.0.0.1:7480",
        &format!("unix:/{}", "a".repeat(200)),
        &format!("1:9 the path /{} is too long for a socket", "a".repeat(200)),
    );
    one(
        "listen:",
        "admin: {public_url: \"http://h/?a\"}\nlisten:",
        "1:21 `public_url` can't be `http://h/?a`",
    );
    one(
        "listen:",
        "admin: {token: \"a b\"}\nlisten:",
        "1:16 this value can't be a token",
    );
    one(
        "listen:",
        "store: {key: [\"abc\"]}\nlisten:",
        "1:15 this value is no key",
    );
    one(
        "listen:",
        "store: {memory: true, path: a}\nlisten:",
        "1:23 `path` has no meaning beside `memory: true`",
    );
}

#[test]
fn values_from_elsewhere() {
    one(
        "{env: SET}",
        "{env: UNSET}",
        "9:28 the environment variable UNSET is not set",
    );
    one(
        "{env: SET}",
        "{file: /nowhere/x}",
        "9:29 the file /nowhere/x can't be read: No such file or directory (os error 2)",
    );
    one(
        "{env: SET}",
        "{env: SET, file: /x}",
        "9:39 both `env` and `file`: a value has one source",
    );
    one(
        "{env: SET}",
        "{env: SET, defualt: x}",
        "9:33 a value from elsewhere has no key `defualt`",
    );
    one(
        "grant_type: client_credentials",
        "grant_type: {env: SET}",
        "6:25 `grant_type` can't be the value of the environment variable SET",
    );
    one(
        "account: dev}",
        "account: {env: SET}}",
        "14:69 no such account: the value of the environment variable SET",
    );
}

#[test]
fn five_mistakes_in_one_file_are_all_named() {
    let text = GOOD
        .replace("client_credentials", "client_credential")
        .replace("client_id: abc", "client_id: abc\n      scopes: x")
        .replace("account: dev", "account: deb")
        .replace("https://{server}", "htps://{server}")
        .replace("parameters: {server: dev}", "parameters: {}");
    let found = errors(&text);
    let places: Vec<_> = found.iter().filter_map(|m| m.split(' ').next()).collect();
    assert!(
        places.starts_with(&["6:19", "7:23", "9:7", "13:34", "15:63"]),
        "{found:#?}"
    );
}

fn loaded(text: &str) -> Config {
    load(text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A route of an account that somebody creates while the process runs.
#[test]
fn a_route_may_wait_for_its_account() {
    let of = |account: &str| {
        GOOD.replace(
            "upstream: https://api.example.com/, account: dev}",
            &format!("upstream: \"https://{{server}}.example.com/v1/\", account: {account}}}"),
        )
    };
    let config = loaded(&of("qa, integration: crm"));
    assert_eq!(config.awaited.len(), 1);
    let awaited = &config.awaited[0];
    let route = &config.routes[awaited.route];
    assert_eq!(route.account.as_str(), "qa");
    assert_eq!(route.upstream.host, "account.invalid");
    assert_eq!(route.upstream.authority, "{server}.example.com");
    assert_eq!(
        awaited.upstreams[0].to_string(),
        "https://{server}.example.com/v1/"
    );
    let known = loaded(&of("dev, integration: crm"));
    assert!(known.awaited.is_empty(), "it is there already");
    assert_eq!(known.routes[0].upstream.host, "dev.example.com");
}

#[test]
fn what_waits_for_its_account_is_checked_all_the_same() {
    let of = |route: &str| {
        let good = "upstream: https://api.example.com/, account: dev}";
        errors(&GOOD.replace(good, &format!("{route}}}")))
    };
    let waiting = "account: qa, integration: crm";
    for (upstream, part) in [
        ("https://{servr}.example.com/", "servr"),
        ("http://{server}.example.com/", "plain HTTP"),
        ("http://127.0.0.1:7480/", "own listener"),
        ("https://api.example.com/#x", "fragment"),
        ("h2c://api.example.com/", "plain HTTP"),
    ] {
        let found = of(&format!("upstream: \"{upstream}\", {waiting}"));
        assert!(found.iter().any(|e| e.contains(part)), "{part}: {found:#?}");
    }
    let upstream = "upstream: https://api.example.com/";
    for (account, part) in [
        ("account: qa", "no such account: `qa`"),
        (
            "account: qa, integration: cmr",
            "no such integration: `cmr`",
        ),
        (
            "account: 'q a', integration: crm",
            "can't be an account's key",
        ),
    ] {
        let found = of(&format!("{upstream}, {account}"));
        assert!(found.iter().any(|e| e.contains(part)), "{part}: {found:#?}");
    }
    let two = GOOD.replace("accounts:\n", "  - key: other\n    oauth2:\n      grant_type: client_credentials\n      token_endpoint: https://other.example.com/\n      client_id: abc\n      client_secret: {env: SET}\naccounts:\n");
    let found = errors(&two.replace("account: dev}", "account: dev, integration: other}"));
    assert!(
        found.iter().any(|e| e.contains("of another integration")),
        "{found:#?}"
    );
}

#[test]
fn several_addresses_are_of_one_upstream() {
    let of = |upstream: &str| GOOD.replace("https://api.example.com/", upstream);
    let list = "[\"https://{server}.example.com/a/\", \"https://b.example.com:444/a/\"]";
    let config = loaded(&of(list));
    let upstreams = config.routes[0].upstreams();
    let authorities: Vec<_> = upstreams.map(|u| u.authority.as_str()).collect();
    assert_eq!(authorities, ["dev.example.com", "b.example.com:444"]);
    let with = |upstream: &str, expected: &str| one("https://api.example.com/", upstream, expected);
    with("[https://a/]", "14:28 `upstream` is a list of 1");
    let many: Vec<_> = (0..17).map(|nth| format!("https://a{nth}/")).collect();
    let many = format!("[{}]", many.join(", "));
    with(&many, "14:28 `upstream` is a list of 17");
    with(
        "[https://a/, https://b/x]",
        "14:41 this address has another scheme, path or query than the first",
    );
    with(
        "[https://a/, \"http://localhost/\"]",
        "14:41 this address has another scheme, path or query than the first",
    );
    with(
        "[https://a/, https://b/, https://a/]",
        "14:53 this address is in the list already",
    );
    with(
        "[https://a/, \"unix:/x\"]",
        "14:41 an upstream is a URL; its Unix socket is named beside it",
    );
    with(
        "[https://a/, https://b/], unix_socket: /run/app.sock",
        "14:54 `unix_socket` beside a list of upstreams",
    );
}

#[test]
fn several_addresses_may_wait_for_their_account() {
    let list = "[\"https://{server}.example.com/\", \"https://{server}.example.org/\"]";
    let upstream = format!("upstream: {list}, account: qa, integration: crm}}");
    let text = GOOD.replace(
        "upstream: https://api.example.com/, account: dev}",
        &upstream,
    );
    assert_eq!(loaded(&text).awaited[0].upstreams.len(), 2);
    let text = text.replace("example.org/", "example.org/x");
    assert!(errors(&text)[0].contains("another scheme, path or query"));
}
