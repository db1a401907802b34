//! Bodies that are larger than a route lets through.

use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey, call, eventually};

fn started(change: impl FnOnce(Conf) -> Conf) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let live = auth.checker();
    let upstream = Server::start(move |request| match live(request) {
        true => Answer::ok(request.body.len().to_string()),
        false => Answer::rejected(),
    });
    let sidekey = Sidekey::run(&change(Conf::new(&auth, &upstream)));
    (auth, upstream, sidekey)
}

fn limited(limit: &str) -> (AuthServer, Server, Sidekey) {
    started(|c| c.route(&format!("max_body: {limit}")))
}

fn chunked(sidekey: &Sidekey, chunks: &[usize]) -> Conn {
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for size in chunks {
        // The answer may come, and the connection be closed, before all is sent.
        let sent = conn.try_send(format!("{size:x}\r\n{}\r\n", "x".repeat(*size)));
        if !sent {
            return conn;
        }
    }
    conn.try_send("0\r\n\r\n");
    conn
}

#[test]
fn a_length_past_the_limit_is_refused_before_anything_is_sent() {
    let (_auth, upstream, sidekey) = limited("1000");
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &[b'x'; 1001]);
    assert_eq!(
        (answer.status, answer.problem()),
        (413, "payload_too_large")
    );
    assert!(answer.text().contains("1000"), "{}", answer.text());
    assert_eq!(upstream.connections(), 0, "nobody was called");
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &[b'x'; 1000]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "1000"));
    eventually("the count of it", || {
        sidekey.metric("sidekey_refused_total", &[("reason", "payload_too_large")]) == 1.0
    });
}

#[test]
fn who_waits_to_be_asked_for_a_large_body_is_not_asked() {
    let (_auth, upstream, sidekey) = limited("1000");
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 5000000000\r\n\
         Expect: 100-continue\r\n\r\n",
        sidekey.proxy
    ));
    let answer = conn.response();
    assert_eq!(
        (answer.status, answer.problem()),
        (413, "payload_too_large")
    );
    assert_eq!(upstream.connections(), 0);
    assert!(conn.closed());
}

#[test]
fn a_body_that_grows_past_the_limit_is_cut() {
    let (_auth, upstream, sidekey) = limited("1000");
    let answer = chunked(&sidekey, &[600, 401]).response();
    assert_eq!(
        (answer.status, answer.problem()),
        (413, "payload_too_large")
    );
    eventually("the end of its sending", || upstream.open() == 0);
    assert_eq!(upstream.count(), 0, "no whole request came");
    let answer = chunked(&sidekey, &[600, 400]).response();
    assert_eq!((answer.status, answer.text().as_str()), (200, "1000"));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn nothing_of_it_is_sent_again() {
    // GET may be repeated on a connection that was kept; a body that is too
    // large may not.
    let one = |c: Conf| c.top("workers: {count: 1}").route("max_body: 1000");
    let (_auth, upstream, sidekey) = started(one);
    assert_eq!(sidekey.get("/api/").status, 200);
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(format!(
        "GET /api/ HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         3e9\r\n{}\r\n0\r\n\r\n",
        sidekey.proxy,
        "x".repeat(1001)
    ));
    let answer = conn.response();
    assert_eq!(
        (answer.status, answer.problem()),
        (413, "payload_too_large")
    );
    assert_eq!(upstream.count(), 1, "the one before");
    assert_eq!(upstream.connections(), 1, "on the connection that was kept");
}

#[test]
fn a_replay_is_bounded_too() {
    let auth = AuthServer::start();
    let live = auth.checker();
    let upstream = Server::early(
        move |request| (!live(request)).then(Answer::rejected),
        |request| Answer::ok(request.body.len().to_string()),
    );
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream).route("max_body: 1000"));
    auth.revoke();
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n\
         258\r\n{}\r\n",
        "x".repeat(600)
    ));
    // It is being replayed once another token has been fetched.
    eventually("the replay", || upstream.connections() == 2);
    conn.try_send(format!("191\r\n{}\r\n0\r\n\r\n", "x".repeat(401)));
    let answer = conn.response();
    assert_eq!(
        (answer.status, answer.problem()),
        (413, "payload_too_large")
    );
    assert_eq!(upstream.count(), 1, "the one that was rejected");
}

#[test]
fn a_route_may_say_otherwise_than_all_others() {
    let top = "limits: {max_body: 1000}";
    let (_auth, _upstream, sidekey) = started(|c| c.top(top));
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &[b'x'; 1001]);
    assert_eq!(answer.status, 413);
    let (_auth, _upstream, sidekey) = started(|c| c.top(top).route("max_body: none"));
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &[b'x'; 100_000]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "100000"));
    let (_auth, _upstream, sidekey) = started(|c| c.top(top).route("max_body: 2KiB"));
    for (size, status) in [(2048, 200), (2049, 413)] {
        let answer = call(sidekey.proxy, "POST", "/api/", &[], &vec![b'x'; size]);
        assert_eq!(answer.status, status);
    }
}

#[test]
fn requests_without_a_body_are_of_any_limit() {
    let (_auth, _upstream, sidekey) = limited("0");
    assert_eq!(sidekey.get("/api/").status, 200);
    let answer = call(sidekey.proxy, "POST", "/api/", &[], b"");
    assert_eq!(answer.status, 200);
    let answer = call(sidekey.proxy, "POST", "/api/", &[], b"x");
    assert_eq!(answer.status, 413);
}
