//! Requests that leave room for two readings, and callers who are not the
//! owner: refused before a byte goes on.

use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey, call};

fn started() -> (AuthServer, Server, Sidekey) {
    started_with(|conf| conf)
}

fn started_with(change: impl FnOnce(Conf) -> Conf) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let sidekey = Sidekey::run(&change(Conf::new(&auth, &upstream)));
    (auth, upstream, sidekey)
}

/// `@` stands for the proxy's own address.
const AMBIGUOUS: &[(&str, &str)] = &[
    ("no Host", "GET /api/ HTTP/1.1\r\n\r\n"),
    (
        "two Hosts",
        "GET /api/ HTTP/1.1\r\nHost: @\r\nHost: @\r\n\r\n",
    ),
    ("empty Host", "GET /api/ HTTP/1.1\r\nHost:\r\n\r\n"),
    (
        "a Host with a path",
        "GET /api/ HTTP/1.1\r\nHost: @/x\r\n\r\n",
    ),
    (
        "a Host with a user",
        "GET /api/ HTTP/1.1\r\nHost: u@@\r\n\r\n",
    ),
    (
        "two values in Host",
        "GET /api/ HTTP/1.1\r\nHost: @, @\r\n\r\n",
    ),
    (
        "another encoding",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: gzip\r\n\r\n",
    ),
    (
        "gzip and chunked",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked, not last",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked twice",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in two fields",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a strange spelling",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ),
    (
        "two lengths in one field",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nContent-Length: 1, 2\r\n\r\nab",
    ),
    (
        "a signed length",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nContent-Length: +2\r\n\r\nab",
    ),
    (
        "a negative length",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nContent-Length: -2\r\n\r\nab",
    ),
    (
        "a length in hex",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nContent-Length: 0x2\r\n\r\nab",
    ),
    (
        "a huge length",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nContent-Length: 99999999999999999999999\r\n\r\nab",
    ),
    (
        "chunked in HTTP/1.0",
        "POST /api/ HTTP/1.0\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a folded line",
        "GET /api/ HTTP/1.1\r\nHost: @\r\nX-A: b\r\n c\r\n\r\n",
    ),
    (
        "a folded first line",
        "GET /api/ HTTP/1.1\r\n Host: @\r\n\r\n",
    ),
    (
        "a bare CR",
        "GET /api/ HTTP/1.1\r\nHost: @\r\nX-A: b\rX-C: d\r\n\r\n",
    ),
    (
        "NUL in a value",
        "GET /api/ HTTP/1.1\r\nHost: @\r\nX-A: b\0c\r\n\r\n",
    ),
    (
        "NUL in a name",
        "GET /api/ HTTP/1.1\r\nHost: @\r\nX\0A: b\r\n\r\n",
    ),
    (
        "NUL in the target",
        "GET /api/\0 HTTP/1.1\r\nHost: @\r\n\r\n",
    ),
    (
        "a space before the colon",
        "GET /api/ HTTP/1.1\r\nHost: @\r\nX-A : b\r\n\r\n",
    ),
    (
        "a length with a space before the colon",
        "POST /api/ HTTP/1.1\r\nHost: @\r\nContent-Length : 2\r\n\r\nab",
    ),
    (
        "no colon",
        "GET /api/ HTTP/1.1\r\nHost: @\r\nnonsense\r\n\r\n",
    ),
    (
        "a space in the target",
        "GET /api/a b HTTP/1.1\r\nHost: @\r\n\r\n",
    ),
    (
        "a target without a slash",
        "GET api/ HTTP/1.1\r\nHost: @\r\n\r\n",
    ),
    ("HTTP/2 in words", "GET /api/ HTTP/2.0\r\nHost: @\r\n\r\n"),
    ("CONNECT", "CONNECT @ HTTP/1.1\r\nHost: @\r\n\r\n"),
    (
        "CONNECT to a path",
        "CONNECT /api/ HTTP/1.1\r\nHost: @\r\n\r\n",
    ),
    ("TRACE", "TRACE /api/ HTTP/1.1\r\nHost: @\r\n\r\n"),
    ("an asterisk", "OPTIONS * HTTP/1.1\r\nHost: @\r\n\r\n"),
];

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let (_auth, upstream, sidekey) = started();
    let address = sidekey.proxy.to_string();
    let mut wrong = Vec::new();
    for (what, bytes) in AMBIGUOUS {
        let bytes = bytes.replace("u@@", &format!("u@{address}"));
        let bytes = match bytes.contains("u@") {
            true => bytes,
            false => bytes.replace('@', &address),
        };
        let before = upstream.count();
        let mut conn = Conn::to(sidekey.proxy);
        conn.send(&bytes);
        // A second reading would find this behind the first request.
        conn.try_send(format!(
            "GET /api/smuggled HTTP/1.1\r\nHost: {address}\r\n\r\n"
        ));
        let first = conn.try_response().map(|answer| answer.status);
        let second = conn.try_response().map(|answer| answer.status);
        let arrived = upstream.requests().split_off(before);
        let refused = first.is_none_or(|s| (400..600).contains(&s));
        let went_on = second.is_some() || !arrived.is_empty();
        if !refused || went_on && !one_end(what) || arrived.iter().any(|r| r.target != "/smuggled")
        {
            let targets: Vec<_> = arrived.iter().map(|r| r.target.as_str()).collect();
            wrong.push(format!(
                "{what}: {first:?}, then {second:?}; upstream: {targets:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(sidekey.get("/api/fine").status, 200);
    assert_eq!(upstream.last().target, "/fine");
}

/// Refusals after which the connection may go on: the request had one end only.
fn one_end(what: &str) -> bool {
    matches!(
        what,
        "TRACE" | "an asterisk" | "CONNECT" | "CONNECT to a path"
    )
}

/// RFC 9112, 6.1 allows to go by the chunks, to drop the length, and to close.
#[test]
fn both_framings_at_once_are_refused_or_made_one() {
    let (_auth, upstream, sidekey) = started();
    let host = sidekey.proxy;
    let (length, chunked) = ("Content-Length: 3", "Transfer-Encoding: chunked");
    for (first, second) in [(length, chunked), (chunked, length)] {
        let before = upstream.count();
        let mut conn = Conn::to(sidekey.proxy);
        conn.send(format!(
            "POST /api/ HTTP/1.1\r\nHost: {host}\r\n{first}\r\n{second}\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        ));
        conn.try_send(format!(
            "GET /api/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"
        ));
        let status = conn.try_response().map(|answer| answer.status);
        assert!(conn.try_response().is_none(), "the connection ends");
        match status {
            Some(200) => {
                let seen = upstream.requests().split_off(before);
                assert_eq!(seen.len(), 1);
                assert_eq!(seen[0].body, b"ab");
                assert_eq!(
                    seen[0].all("content-length").len() + seen[0].all("transfer-encoding").len(),
                    1
                );
            }
            _ => assert_eq!(upstream.count(), before),
        }
    }
}

#[test]
fn a_repeated_equal_length_is_refused_or_made_one() {
    let (_auth, upstream, sidekey) = started();
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"
    ));
    match conn.try_response().map(|r| r.status) {
        Some(200) => {
            let seen = upstream.only();
            assert_eq!(seen.all("content-length"), ["2"]);
            assert_eq!(seen.body, b"ab");
        }
        Some(400) | None => assert_eq!(upstream.count(), 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn http2_is_refused_in_its_own_words() {
    let (_auth, upstream, sidekey) = started();
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let frames = conn.rest();
    let (settings, goaway) = frames.split_at(9);
    assert_eq!(settings, b"\0\0\0\x04\0\0\0\0\0");
    assert_eq!(goaway[3], 7, "GOAWAY");
    assert_eq!(goaway[13..17], [0, 0, 0, 13], "HTTP_1_1_REQUIRED");
    assert_eq!(upstream.count(), 0);
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
