//! Upstreams that end in odd ways.

use crate::support::{Answer, AuthServer, Conf, Conn, Response, Server, Sidekey, call};
use std::sync::atomic::{AtomicUsize, Ordering};

fn raw(bytes: &'static str) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let upstream = Server::start(move |_| Answer::raw(bytes));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    (auth, upstream, sidekey)
}

fn get(sidekey: &Sidekey) -> Option<Response> {
    let mut conn = Conn::to(sidekey.proxy);
    conn.ask("/api/");
    conn.try_response()
}

#[test]
fn no_answer_at_all() {
    let (_auth, _upstream, sidekey) = raw("");
    let answer = get(&sidekey).expect("an answer");
    assert_eq!(
        (answer.status, answer.problem()),
        (502, "upstream_unreachable")
    );
}

#[test]
fn no_http() {
    let (_auth, _upstream, sidekey) = raw("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert_eq!(get(&sidekey).expect("an answer").status, 502);
}

#[test]
fn a_101_that_nobody_asked_for() {
    let (_auth, _upstream, sidekey) =
        raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nsecret");
    assert_eq!(get(&sidekey).expect("an answer").status, 502);
}

#[test]
fn an_interim_answer_before_the_real_one() {
    let (_auth, _upstream, sidekey) = raw(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let answer = get(&sidekey).expect("an answer");
    assert!([103, 200].contains(&answer.status), "{answer:?}");
}

#[test]
fn a_body_that_ends_early_is_not_passed_off_as_whole() {
    let (_auth, _upstream, sidekey) = raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    assert!(get(&sidekey).is_none());
    let (_auth, _upstream, sidekey) =
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n");
    assert!(get(&sidekey).is_none());
}

#[test]
fn a_body_that_ends_with_the_connection() {
    let (_auth, _upstream, sidekey) = raw("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "GET /api/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    ));
    let whole = Response::parse(&conn.rest()).expect("a response");
    assert_eq!(
        (whole.status, whole.text().as_str()),
        (200, "until the end")
    );
}

#[test]
fn two_readings_of_a_response_are_refused() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (_auth, _upstream, sidekey) = raw(bytes);
        let status = get(&sidekey).map(|a| a.status);
        let folded_made_one = bytes.contains("X-A") && status == Some(200);
        assert!(
            status == Some(502) || folded_made_one,
            "{bytes:?}: {status:?}"
        );
    }
}

#[test]
fn a_kept_connection_that_the_upstream_closed() {
    let auth = AuthServer::start();
    let served = AtomicUsize::new(0);
    // Says nothing of closing, and closes.
    let upstream = Server::start(move |_| {
        served.fetch_add(1, Ordering::SeqCst);
        Answer::ok("content").close()
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut conn = Conn::to(sidekey.proxy);
    for _ in 0..50 {
        assert_eq!(conn.get("/api/").status, 200);
        // A POST that is overtaken by the close can't be sent again.
        crate::support::eventually("the close", || upstream.open() == 0);
        let posted = call(sidekey.proxy, "POST", "/api/", &[], b"body");
        assert_eq!(posted.status, 200);
    }
    assert_eq!(upstream.count(), 100, "none was sent twice");
}

#[test]
fn upstream_connections_are_kept_and_used_again() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top("workers: {count: 1}");
    let sidekey = Sidekey::run(&conf);
    let mut conn = Conn::to(sidekey.proxy);
    for _ in 0..20 {
        assert_eq!(conn.get("/api/").status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_client_that_hangs_up_ends_the_upstreams_work() {
    let auth = AuthServer::start();
    let gate = crate::support::Gate::closed();
    let at_gate = gate.clone();
    let upstream = Server::start(move |_| Answer::ok("late").after(&at_gate));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut conn = Conn::to(sidekey.proxy);
    conn.ask("/api/");
    crate::support::eventually("the request", || gate.came() == 1);
    drop(conn);
    gate.open();
    crate::support::eventually("the connection's end", || upstream.open() == 0);
}

/// More than the buffers of all sockets on the way.
const MUCH: usize = 64 << 20;

#[test]
fn a_caller_that_takes_nothing_of_its_answer_is_given_up() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok(vec![b'x'; MUCH]));
    let conf = Conf::new(&auth, &upstream).top("limits: {idle_timeout: 2500ms}");
    let sidekey = Sidekey::run(&conf);
    let mut conn = Conn::to(sidekey.proxy);
    conn.ask("/api/");
    crate::support::eventually("the request", || upstream.count() == 1);
    crate::support::eventually("the upstream's end", || upstream.open() == 0);
    assert!(conn.rest().len() < MUCH);
}

#[test]
fn an_answer_may_pause_for_longer_than_a_caller() {
    let auth = AuthServer::start();
    let gate = crate::support::Gate::closed();
    let at_gate = gate.clone();
    let upstream = Server::start(move |_| Answer::ok("in two halves").halfway(&at_gate));
    let conf = Conf::new(&auth, &upstream).top("limits: {idle_timeout: 2500ms}");
    let sidekey = Sidekey::run(&conf);
    let mut conn = Conn::to(sidekey.proxy);
    conn.ask("/api/");
    conn.until("in two");
    // Two that are silent for as long, one after the other.
    for _ in 0..2 {
        assert!(Conn::to(sidekey.proxy).closed());
    }
    gate.open();
    assert_eq!(conn.response().text(), "in two halves");
}
