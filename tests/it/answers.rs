//! The answers that the proxy itself makes: every code that can be reached.

use crate::support::{
    Answer, AuthServer, Conf, Conn, Gate, Response, Server, Sidekey, call, eventually, free_port,
};

fn started(change: impl FnOnce(Conf) -> Conf) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&change(Conf::new(&auth, &upstream)));
    (auth, upstream, sidekey)
}

fn assert_problem(answer: &Response, status: u16, code: &str) {
    assert_eq!((answer.status, answer.problem()), (status, code));
    let body = answer.json();
    for member in ["type", "title", "detail"] {
        assert!(body[member].is_string(), "{member}: {body}");
    }
}

#[test]
fn route_not_found() {
    let (_auth, _upstream, sidekey) = started(|c| c);
    assert_problem(&sidekey.get("/elsewhere"), 404, "route_not_found");
}

#[test]
fn caller_not_allowed() {
    let (_auth, _upstream, sidekey) = started(|c| c);
    let foreign = [("Host", "evil.example")];
    let answer = call(sidekey.proxy, "GET", "/api/", &foreign, b"");
    assert_problem(&answer, 403, "caller_not_allowed");
}

#[test]
fn bad_request() {
    let (_auth, _upstream, sidekey) = started(|c| c);
    assert_problem(&sidekey.get("/api/../x"), 400, "bad_request");
}

#[test]
fn method_not_allowed() {
    let (_auth, upstream, sidekey) = started(|c| c);
    let answer = call(sidekey.proxy, "TRACE", "/api/", &[], b"");
    assert_problem(&answer, 405, "method_not_allowed");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn uri_too_long() {
    let (_auth, upstream, sidekey) = started(|c| c.top("limits: {uri_bytes: 1KiB}"));
    let long = format!("/api/{}", "x".repeat(2_000));
    assert_problem(&sidekey.get(&long), 414, "uri_too_long");
    assert_eq!(upstream.count(), 0);
    let fits = format!("/api/{}", "x".repeat(1_000));
    assert_eq!(sidekey.get(&fits).status, 200);
}

#[test]
fn headers_too_large() {
    let (_auth, upstream, sidekey) = started(|c| c);
    let long = "x".repeat(100_000);
    let answer = call(sidekey.proxy, "GET", "/api/", &[("X-Long", &long)], b"");
    // Dies in the parser: the answer may be a bare one.
    assert_eq!(answer.status, 431);
    let names: Vec<String> = (0..200).map(|n| format!("X-{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "v")).collect();
    assert_eq!(call(sidekey.proxy, "GET", "/api/", &many, b"").status, 431);
    assert_eq!(upstream.count(), 0);
    assert_eq!(sidekey.get("/api/").status, 200);
}

#[test]
fn token_unavailable() {
    let auth = AuthServer::start();
    auth.fail(Answer::new(500));
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top("refresh: {token_wait: 100ms}");
    let sidekey = Sidekey::run_unready(&conf);
    let answer = sidekey.get("/api/");
    assert_problem(&answer, 503, "token_unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(upstream.count(), 0);
}

#[test]
fn account_not_connected() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).oauth2(&format!(
        "authorization_endpoint: {}/authorize",
        auth.server.url()
    ));
    let yaml = conf
        .yaml()
        .replace("client_credentials", "authorization_code");
    let sidekey = Sidekey::run_yaml(&yaml);
    assert_problem(&sidekey.get("/api/"), 503, "account_not_connected");
    assert_eq!((auth.count(), upstream.count()), (0, 0));
}

#[test]
fn upstream_unreachable() {
    let auth = AuthServer::start();
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), &nobody));
    assert_problem(&sidekey.get("/api/"), 502, "upstream_unreachable");
    let name = "https://nobody.invalid/";
    let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), name));
    assert_problem(&sidekey.get("/api/"), 502, "upstream_unreachable");
}

#[test]
fn upstream_tls_error() {
    let auth = AuthServer::start();
    // Speaks, but not TLS.
    let plain = Server::start(|_| Answer::ok("content"));
    let https = format!("https://{}/", plain.address);
    let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), &https));
    let mut conn = Conn::to(sidekey.proxy);
    conn.ask("/api/");
    let answer = conn.response();
    // A server that waits for more of a line is cut off by the connect timeout.
    match answer.status {
        502 => assert_problem(&answer, 502, "upstream_tls_error"),
        504 => assert_problem(&answer, 504, "upstream_timeout"),
        other => panic!("{other}"),
    }
    assert_eq!(plain.count(), 0);
}

#[test]
fn upstream_timeout() {
    let auth = AuthServer::start();
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let upstream = Server::start(move |_| Answer::ok("late").after(&at_gate));
    let conf = Conf::new(&auth, &upstream).route("timeout: 300ms");
    let sidekey = Sidekey::run(&conf);
    assert_problem(&sidekey.get("/api/"), 504, "upstream_timeout");
    eventually("the connection's end", || upstream.open() == 0);
}

#[test]
fn overloaded() {
    let auth = AuthServer::start();
    let gate = auth.hold();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top("refresh: {token_waiters: 1, token_wait: 60s}");
    let sidekey = Sidekey::run_unready(&conf);
    let mut waiting: Vec<Conn> = (0..5).map(|_| Conn::to(sidekey.proxy)).collect();
    for conn in &mut waiting {
        conn.ask("/api/");
    }
    eventually("refusals", || {
        sidekey
            .metrics()
            .lines()
            .any(|l| l.starts_with("sidekey_refused_total") && !l.ends_with(" 0"))
    });
    gate.open();
    let statuses: Vec<u16> = waiting
        .iter_mut()
        .map(|conn| conn.response().status)
        .collect();
    assert!(
        statuses.contains(&200) && statuses.contains(&503),
        "{statuses:?}"
    );
}
