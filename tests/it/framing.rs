//! Callers who are not the owner, and those who speak otherwise: refused before
//! a byte goes on. Requests with two readings are in `hostile.rs`.

use crate::support::{Answer, AuthServer, Conf, Server, Sidekey, call};

fn started() -> (AuthServer, Server, Sidekey) {
    started_with(|conf| conf)
}

fn started_with(change: impl FnOnce(Conf) -> Conf) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let sidekey = Sidekey::run(&change(Conf::new(&auth, &upstream)));
    (auth, upstream, sidekey)
}

#[test]
fn a_foreign_host_is_refused() {
    let (_auth, upstream, sidekey) = started();
    let port = sidekey.proxy.port();
    for host in [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "169.254.169.254",
        "0x7f.1.evil",
    ] {
        let answer = call(sidekey.proxy, "GET", "/api/", &[("Host", host)], b"");
        assert_eq!(
            (answer.status, answer.problem()),
            (403, "caller_not_allowed"),
            "{host}"
        );
    }
    assert_eq!(upstream.count(), 0);
    for host in [
        format!("localhost:{port}"),
        format!("LOCALHOST:{port}"),
        "127.0.0.1".into(),
        format!("[::1]:{port}"),
    ] {
        let answer = call(sidekey.proxy, "GET", "/api/", &[("Host", &host)], b"");
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
    }
}

#[test]
fn another_pages_browser_is_refused() {
    let (_auth, upstream, sidekey) = started();
    for header in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://127.0.0.1:1"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        let answer = call(sidekey.proxy, "GET", "/api/", &[header], b"");
        assert_eq!(
            (answer.status, answer.problem()),
            (403, "caller_not_allowed"),
            "{header:?}"
        );
    }
    assert_eq!(upstream.count(), 0);
    for header in [
        ("Sec-Fetch-Site", "none"),
        ("Sec-Fetch-Site", "same-origin"),
    ] {
        assert_eq!(
            call(sidekey.proxy, "GET", "/api/", &[header], b"").status,
            200
        );
    }
}

#[test]
fn an_origin_that_the_route_allows_may_call() {
    let (_auth, _upstream, sidekey) =
        started_with(|c| c.route("allow_origins: [\"https://app.example\"]"));
    let from = |origin| {
        let headers = [("Origin", origin), ("Sec-Fetch-Site", "cross-site")];
        call(sidekey.proxy, "GET", "/api/", &headers, b"").status
    };
    assert_eq!(from("https://app.example"), 200);
    assert_eq!(from("https://app.example.evil"), 403);
    assert_eq!(from("http://app.example"), 403);
}

#[test]
fn our_own_cookies_stay_here() {
    let (_auth, upstream, sidekey) = started();
    let cookies = [("Cookie", "a=1; __sidekey-session=secret; b=2")];
    call(sidekey.proxy, "GET", "/api/", &cookies, b"");
    let seen = upstream.last().header("cookie").map(str::to_owned);
    assert_eq!(seen.as_deref(), Some("a=1; b=2"));
    call(
        sidekey.proxy,
        "GET",
        "/api/",
        &[("Cookie", "__sidekey-session=x")],
        b"",
    );
    assert_eq!(upstream.last().header("cookie"), None);
}
