//! What a route changes in requests and answers besides the token.

use crate::support::{
    Answer, AuthServer, Conf, Conn, Server, Sidekey, call, eventually, eventually_some,
};
use std::net::SocketAddr;

fn started(
    change: impl FnOnce(Conf) -> Conf,
    answer: impl Fn() -> Answer + Send + Sync + 'static,
) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let upstream = Server::start(move |_| answer());
    let sidekey = Sidekey::run(&change(Conf::new(&auth, &upstream)));
    (auth, upstream, sidekey)
}

fn ok() -> Answer {
    Answer::ok("content")
}

#[test]
fn the_callers_host_goes_on_where_it_is_wanted() {
    let (_auth, upstream, sidekey) = started(|c| c.route("preserve_host: true"), ok);
    let name = format!("LocalHost:{}", sidekey.proxy.port());
    let answer = call(sidekey.proxy, "GET", "/api/", &[("Host", &name)], b"");
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.only().all("host"), [name]);
    // Absolute form names it, too.
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "GET http://{host}/api/ HTTP/1.1\r\nHost: {host}\r\n\r\n"
    ));
    assert_eq!(conn.response().status, 200);
    assert_eq!(upstream.last().all("host"), [host.to_string()]);
}

#[test]
fn fields_of_a_request_are_set_and_removed_also_in_its_replay() {
    let fields = "request_headers: {set: {X-Set: ours, X-New: {env: HOME}}, \
                  remove: [X-Gone, Accept-Encoding]}";
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream).route(fields));
    auth.revoke();
    let sent = [
        ("X-Set", "a"),
        ("x-set", "b"),
        ("X-Gone", "a"),
        ("x-gone", "b"),
        ("Accept-Encoding", "gzip"),
        ("X-Kept", "yes"),
    ];
    let answer = call(sidekey.proxy, "GET", "/api/", &sent, b"");
    assert_eq!(answer.status, 200);
    let seen = upstream.requests();
    assert_eq!(seen.len(), 2, "a replay");
    for (seen, token) in seen.iter().zip(auth.tokens()) {
        assert_eq!(seen.all("x-set"), ["ours"]);
        assert!(seen.header("x-new").is_some_and(|v| v.starts_with('/')));
        assert_eq!(seen.all("x-kept"), ["yes"]);
        assert!(seen.all("x-gone").is_empty() && seen.all("accept-encoding").is_empty());
        assert_eq!(seen.bearer(), Some(token.as_str()));
    }
}

#[test]
fn a_trailer_is_no_way_around_it() {
    let fields = "request_headers: {set: {X-Set: ours}, remove: [X-Gone]}";
    let (_auth, upstream, sidekey) = started(|c| c.route(fields), ok);
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Gone, X-Set, X-Sum\r\n\r\n\
         1\r\na\r\n0\r\nX-Gone: a\r\nX-Set: a\r\nX-Sum: a\r\n\r\n",
        sidekey.proxy
    ));
    assert_eq!(conn.response().status, 200);
    // It takes the trailers for another request.
    assert_eq!(upstream.requests()[0].all("trailer"), ["x-sum"]);
    eventually("the trailers", || upstream.count() == 2);
    let sent = String::from_utf8(upstream.last().head).unwrap();
    assert!(sent.contains("sum"), "{sent}");
    assert!(!sent.contains("gone") && !sent.contains("set"), "{sent}");
}

#[test]
fn fields_of_an_answer_are_set_and_removed_also_in_its_trailers() {
    let fields =
        "response_headers: {set: {Cache-Control: no-store, X-Set: ours}, remove: [Server, X-Gone]}";
    let answer = || {
        Answer::raw(
            "HTTP/1.1 200 OK\r\nServer: secret\r\nX-Gone: a\r\nX-Gone: b\r\nX-Set: a\r\nX-Set: b\r\n\
             Transfer-Encoding: chunked\r\nTrailer: X-Gone, X-Set, X-Sum\r\n\r\n\
             7\r\ncontent\r\n0\r\nX-Gone: t\r\nX-Set: t\r\nX-Sum: t\r\n\r\n",
        )
    };
    let (_auth, _upstream, sidekey) = started(|c| c.route(fields), answer);
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(format!(
        "GET /api/ HTTP/1.1\r\nHost: {}\r\nTE: trailers\r\nConnection: close\r\n\r\n",
        sidekey.proxy
    ));
    let answer = String::from_utf8(conn.rest()).unwrap().to_lowercase();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("cache-control: no-store"), "{head}");
    assert_eq!(head.matches("x-set: ").count(), 1, "{head}");
    assert!(head.contains("x-set: ours"), "{head}");
    assert!(
        !head.contains("secret") && !head.contains("x-gone: "),
        "{head}"
    );
    assert!(
        body.contains("content") && body.contains("x-sum: t"),
        "{body}"
    );
    assert!(
        !body.contains("x-gone") && !body.contains("x-set"),
        "{body}"
    );
}

#[test]
fn sidekeys_own_answers_are_as_ever() {
    let fields = "response_headers: {set: {X-Set: ours}, remove: [Sidekey-Error]}";
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::raw("nonsense\r\n\r\n"));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream).route(fields));
    let answer = sidekey.get("/api/");
    assert_eq!(
        (answer.status, answer.problem()),
        (502, "upstream_unreachable")
    );
    assert_eq!(answer.header("x-set"), None);
}

#[test]
fn cookies_go_in_neither_direction() {
    let answer = || {
        Answer::ok("content")
            .header("Set-Cookie", "a=1")
            .header("Set-Cookie", "b=1")
            .header("X-Kept", "yes")
    };
    let (_auth, upstream, sidekey) = started(|c| c.route("strip_cookies: true"), answer);
    let sent = [("Cookie", "a=1"), ("cookie", "b=1; c=1"), ("X-Kept", "yes")];
    let answer = call(sidekey.proxy, "GET", "/api/", &sent, b"");
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("x-kept"), Some("yes"));
    let seen = upstream.only();
    assert!(seen.all("cookie").is_empty());
    assert_eq!(seen.header("x-kept"), Some("yes"));
}

/// An upstream at `/app/` that answers with addresses of its own.
fn addressed(change: impl FnOnce(Conf) -> Conf) -> (Server, Sidekey) {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| {
        let host = request.header("host").unwrap();
        Answer::new(302)
            .header("Location", &format!("http://{host}/app/login?to=/app/x"))
            .header("Content-Location", "/app/x")
            .header("Refresh", "5; url=/app/y")
            .header(
                "Link",
                &format!("</app/2>; rel=next, <http://{host}/other>"),
            )
            .header(
                "Set-Cookie",
                "s=1; Path=/app; Domain=127.0.0.1; Secure; HttpOnly",
            )
    });
    let conf = Conf::at(&auth.endpoint(), &format!("{}/app/", upstream.url()));
    let sidekey = Sidekey::run(&change(conf));
    (upstream, sidekey)
}

fn sent_to(answer: &crate::support::Response) -> Vec<&str> {
    let names = [
        "location",
        "content-location",
        "refresh",
        "link",
        "set-cookie",
    ];
    names.map(|name| answer.header(name).unwrap()).to_vec()
}

#[test]
fn addresses_of_the_upstream_become_the_routes() {
    let (upstream, sidekey) = addressed(|c| c.route("rewrite_addresses: true"));
    let name = format!("localhost:{}", sidekey.proxy.port());
    let answer = call(sidekey.proxy, "GET", "/api/", &[("Host", &name)], b"");
    assert_eq!(answer.status, 302);
    let elsewhere = format!("</api/2>; rel=next, <{}/other>", upstream.url());
    assert_eq!(
        sent_to(&answer),
        [
            &format!("http://{name}/api/login?to=/app/x"),
            "/api/x",
            "5; url=/api/y",
            &elsewhere,
            "s=1; Path=/api; HttpOnly",
        ]
    );
}

#[test]
fn an_upstream_that_sees_the_callers_host_is_understood() {
    let both = |c: Conf| {
        c.route("rewrite_addresses: true")
            .route("preserve_host: true")
    };
    let (_upstream, sidekey) = addressed(both);
    let answer = sidekey.get("/api/");
    let expected = format!("http://{}/api/login?to=/app/x", sidekey.proxy);
    assert_eq!(answer.header("location"), Some(expected.as_str()));
}

#[test]
fn addresses_stay_where_nobody_asks_for_it() {
    let (upstream, sidekey) = addressed(|c| c);
    let answer = sidekey.get("/api/");
    let expected = format!("{}/app/login?to=/app/x", upstream.url());
    assert_eq!(answer.header("location"), Some(expected.as_str()));
    assert_eq!(
        answer.header("set-cookie"),
        Some("s=1; Path=/app; Domain=127.0.0.1; Secure; HttpOnly")
    );
}

#[test]
fn the_token_parameter_leaves_an_address_that_is_rewritten() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| {
        let host = request.header("host").unwrap();
        Answer::new(302).header("Location", &format!("http://{host}{}", request.target))
    });
    let conf = Conf::new(&auth, &upstream)
        .integration("token: {in: query, name: key, value: \"{token}\"}")
        .route("rewrite_addresses: true");
    let sidekey = Sidekey::run(&conf);
    let answer = sidekey.get("/api/x?a=b");
    let expected = format!("http://{}/api/x?a=b", sidekey.proxy);
    assert_eq!(answer.header("location"), Some(expected.as_str()));
}

#[test]
fn a_reload_changes_what_is_changed() {
    let (auth, upstream, sidekey) = started(|c| c, ok);
    sidekey.get("/api/");
    assert_eq!(upstream.last().header("x-set"), None);
    let yaml = |value: &str| {
        let conf = Conf::new(&auth, &upstream);
        let line = format!("request_headers: {{set: {{X-Set: {value}}}}}");
        conf.route(&line).yaml()
    };
    for value in ["one", "two"] {
        sidekey.configure(&yaml(value));
        sidekey.signal("HUP");
        eventually("the change", || {
            sidekey.get("/api/");
            upstream.last().header("x-set") == Some(value)
        });
    }
}

/// An upstream that finds every head too large.
fn narrow() -> Answer {
    Answer::new(431).header("X-Mine", "yes").body("too large")
}

fn warning(sidekey: &Sidekey) -> String {
    eventually_some("the warning", || {
        let logs = sidekey.logs();
        let mut lines = logs.lines().filter(|l| l.contains("(431)"));
        lines.next().map(str::to_owned)
    })
}

fn bytes(sidekey: &Sidekey, part: &str) -> f64 {
    let labels = [("route", "main"), ("part", part)];
    sidekey.metric("sidekey_oversized_head_bytes_total", &labels)
}

fn refused(proxy: SocketAddr, headers: &[(&str, &str)]) {
    let answer = call(proxy, "GET", "/api/", headers, b"");
    assert_eq!((answer.status, answer.text().as_str()), (431, "too large"));
    assert_eq!(answer.header("x-mine"), Some("yes"));
    assert_eq!(answer.header("sidekey-error"), None);
}

#[test]
fn an_upstreams_431_is_passed_on_and_explained() {
    let (auth, upstream, sidekey) = started(|c| c, narrow);
    let cookie = format!("session={}", "c".repeat(5_000));
    refused(sidekey.proxy, &[("Cookie", &cookie)]);
    let line = warning(&sidekey);
    for part in [
        "WARN",
        "route=\"main\"",
        "cookies=5018",
        "strip_cookies",
        "clear",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(
        !line.contains("cccc") && !line.contains(&auth.token()),
        "{line}"
    );
    let heads = || sidekey.metric("sidekey_oversized_heads_total", &[("route", "main")]);
    eventually("a count of it", || heads() == 1.0);
    let token = "authorization: Bearer \r\n".len() + auth.token().len();
    assert_eq!(bytes(&sidekey, "cookies"), 5018.0);
    assert_eq!(bytes(&sidekey, "token"), token as f64);
    let sum: f64 = ["cookies", "token", "rest"]
        .map(|p| bytes(&sidekey, p))
        .iter()
        .sum();
    assert_eq!(sum, upstream.only().head.len() as f64);
}

#[test]
fn the_advice_is_about_what_is_largest() {
    let (_auth, _upstream, sidekey) = started(|c| c, narrow);
    let large = "x".repeat(5_000);
    refused(sidekey.proxy, &[("X-Large", &large)]);
    let line = warning(&sidekey);
    assert!(line.contains("request_headers"), "{line}");
}

#[test]
fn a_caller_of_http2_has_a_host_too() {
    let both = |c: Conf| {
        c.route("rewrite_addresses: true")
            .route("preserve_host: true")
    };
    let (upstream, sidekey) = addressed(both);
    let mut curl = std::process::Command::new("curl");
    curl.args(["-sS", "--http2-prior-knowledge", "--noproxy", "*"]);
    curl.args(["-o", "/dev/null", "-w", "%{http_version} %{redirect_url}"]);
    curl.arg(format!("http://{}/api/", sidekey.proxy));
    let output = String::from_utf8(curl.output().unwrap().stdout).unwrap();
    let expected = format!("2 http://{}/api/login?to=/app/x", sidekey.proxy);
    assert_eq!(output, expected);
    assert_eq!(upstream.only().all("host"), [sidekey.proxy.to_string()]);
}
