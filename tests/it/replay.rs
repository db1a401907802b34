//! The one replay: bodies, early rejections, pauses, limits.

use crate::support::client::request;
use crate::support::http::unchunk;
use crate::support::peer::Peer;
use crate::support::{
    Answer, AuthServer, Conf, Conn, Gate, RUNTIME, Server, Sidekey, call, eventually,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An upstream that gives the body back for a live token, and rejects any
/// other without reading the body.
fn early(auth: &AuthServer) -> Server {
    let live = auth.checker();
    Server::early(
        move |request| (!live(request)).then(Answer::rejected),
        |request| Answer::ok(request.body.clone()),
    )
}

/// The same, but it reads the body first.
fn late(auth: &AuthServer) -> Server {
    let live = auth.checker();
    Server::start(move |request| match live(request) {
        true => Answer::ok(request.body.clone()),
        false => Answer::rejected(),
    })
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 253) as u8).collect()
}

#[test]
fn a_revoked_token_costs_one_refresh_and_one_replay() {
    let auth = AuthServer::start();
    let upstream = late(&auth);
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.revoke();
    let body = bytes(10_000);
    let answer = call(sidekey.proxy, "POST", "/api/x?y=z", &[("X-A", "b")], &body);
    assert!(answer.status == 200 && answer.body == body);
    let seen = upstream.requests();
    assert_eq!(seen.len(), 2);
    let tokens = auth.tokens();
    assert_eq!(seen[0].bearer(), Some(tokens[0].as_str()));
    assert_eq!(seen[1].bearer(), Some(tokens[1].as_str()));
    let without_token = |at: usize| {
        let head = String::from_utf8_lossy(&seen[at].head).into_owned();
        head.replace(&tokens[at], "")
    };
    assert_eq!(without_token(0), without_token(1));
    assert_eq!(seen[0].body, seen[1].body);
    assert_eq!(auth.count(), 2);
    eventually("the count of it", || {
        sidekey.metric("sidekey_replays_total", &[("outcome", "cured")]) == 1.0
    });
}

/// A request of this peer's, up to the end of its chunks where it `reads` those.
fn read_request(stream: &mut TcpStream, reads: bool) -> Vec<u8> {
    let end: &[u8] = if reads { b"\r\n0\r\n\r\n" } else { b"\r\n\r\n" };
    let (mut request, mut some) = (Vec::new(), vec![0; 64 * 1024]);
    while !request.ends_with(end) {
        let room = if reads { some.len() } else { 1 };
        match stream.read(&mut some[..room]) {
            Ok(read @ 1..) => request.extend_from_slice(&some[..read]),
            _ => break,
        }
    }
    request
}

/// The answer may come long before what was kept of the body is out; all of it goes.
#[test]
fn an_early_answer_cuts_nothing_off_a_body_that_is_sent_again() {
    const LENGTH: usize = 12 << 20;
    let auth = AuthServer::start();
    let (gate, got) = (Gate::closed(), Arc::<AtomicUsize>::default());
    let (opened, sum) = (gate.clone(), got.clone());
    let peer = Peer::start(move |_, mut stream| {
        let head = read_request(&mut stream, false);
        if String::from_utf8_lossy(&head).contains("Bearer tk1-") {
            read_request(&mut stream, true);
            let rejected = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(rejected.as_bytes());
            return;
        }
        let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n";
        stream.write_all(begun.as_bytes()).unwrap();
        RUNTIME.block_on(opened.pass());
        let body = unchunk(&read_request(&mut stream, true)).unwrap_or_default();
        sum.store(body.len(), Ordering::SeqCst);
        let _ = stream.write_all(b"0\r\n\r\n");
    });
    let conf = Conf::at(&auth.endpoint(), &format!("http://{}/", peer.address));
    let sidekey = Sidekey::run(&conf.route("replay_body_limit: 16MiB"));
    let mut caller = TcpStream::connect(sidekey.proxy).unwrap();
    let head = format!(
        "POST /api/ HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n{LENGTH:x}\r\n",
        sidekey.proxy
    );
    caller.write_all(head.as_bytes()).unwrap();
    caller.write_all(&bytes(LENGTH)).unwrap();
    caller.write_all(b"\r\n0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ab\r\n") {
        let mut byte = [0];
        assert_eq!(caller.read(&mut byte).unwrap(), 1);
        answer.push(byte[0]);
    }
    gate.open();
    eventually("the whole body", || got.load(Ordering::SeqCst) == LENGTH);
}

/// However long its answer goes on: what was kept of the body is freed when it is out.
#[test]
fn a_body_that_was_sent_again_is_not_kept_during_its_answer() {
    let auth = AuthServer::start();
    let (live, gate) = (auth.checker(), Gate::closed());
    let end = gate.clone();
    let upstream = Server::start(move |request| match live(request) {
        true => Answer::ok("the answer").halfway(&end),
        false => Answer::rejected(),
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.revoke();
    let mut conn = Conn::to(sidekey.proxy);
    let body = bytes(40_000);
    conn.send(request(sidekey.proxy, "POST", "/api/", &[], &body));
    eventually("the half of its answer", || gate.came() == 1);
    eventually("nothing is kept", || {
        sidekey.metric("sidekey_replay_buffer_bytes", &[]) == 0.0
    });
    gate.open();
    assert_eq!(conn.response().text(), "the answer");
    assert_eq!(upstream.last().body, body);
}

#[test]
fn a_newer_generation_is_used_at_once() {
    let auth = AuthServer::start();
    let upstream = late(&auth);
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.revoke();
    for _ in 0..5 {
        assert_eq!(sidekey.get("/api/").status, 200);
    }
    assert_eq!((auth.count(), upstream.count()), (2, 6));
}

#[test]
fn a_token_in_the_query_is_replaced_in_the_replay() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| match request.target.contains("key=tk1-") {
        true => Answer::rejected(),
        false => Answer::ok("content"),
    });
    let conf = Conf::new(&auth, &upstream);
    let conf = conf.integration("token: {in: query, name: key, value: \"{token}\"}");
    let sidekey = Sidekey::run(&conf);
    assert_eq!(sidekey.get("/api/x?a=b").status, 200);
    let target = upstream.last().target;
    assert!(target.starts_with("/x?a=b&key=tk2-"), "{target}");
    assert_eq!(target.matches("key=").count(), 1);
}

#[test]
fn an_upload_is_rejected_before_it_is_read() {
    let auth = AuthServer::start();
    let upstream = early(&auth);
    let conf = Conf::new(&auth, &upstream).route("replay_body_limit: 2MiB");
    let sidekey = Sidekey::run(&conf);
    auth.revoke();
    let body = bytes(1_048_576);
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.body == body);
    assert_eq!((auth.count(), upstream.count()), (2, 2));
    let seen = upstream.requests();
    assert_ne!(
        seen[0].connection, seen[1].connection,
        "the first is closed"
    );
}

#[test]
fn a_client_that_pauses_in_mid_body_while_the_refresh_runs() {
    for chunked in [false, true] {
        let auth = AuthServer::start();
        let upstream = early(&auth);
        let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
        auth.revoke();
        let gate = auth.hold();
        let mut conn = Conn::to(sidekey.proxy);
        let framing = if chunked {
            "Transfer-Encoding: chunked"
        } else {
            "Content-Length: 20"
        };
        let piece = |text: &str| match chunked {
            true => format!("{:x}\r\n{text}\r\n", text.len()),
            false => text.to_owned(),
        };
        let host = sidekey.proxy;
        conn.send(format!(
            "POST /api/ HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n"
        ));
        conn.send(piece("first half"));
        eventually("the refresh", || gate.came() == 1);
        gate.open();
        eventually("the end of the refresh", || auth.server.answered() == 2);
        conn.send(piece("2nd  half."));
        if chunked {
            conn.send("0\r\n\r\n");
        }
        let answer = conn.response();
        assert_eq!(answer.status, 200, "chunked: {chunked}: {}", answer.text());
        assert_eq!(answer.text(), "first half2nd  half.");
        assert_eq!(auth.count(), 2);
    }
}

#[test]
fn a_client_that_sends_on_while_the_refresh_runs() {
    let auth = AuthServer::start();
    let upstream = early(&auth);
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.revoke();
    let gate = auth.hold();
    let body = bytes(40_000);
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 40000\r\n\r\n"
    ));
    conn.send(&body[..100]);
    eventually("the refresh", || gate.came() == 1);
    conn.send(&body[100..]);
    gate.open();
    let answer = conn.response();
    assert!(answer.status == 200 && answer.body == body);
}

#[test]
fn a_client_that_hangs_up_in_mid_body() {
    let auth = AuthServer::start();
    let upstream = early(&auth);
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.revoke();
    let gate = auth.hold();
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 20\r\n\r\nhalf"
    ));
    eventually("the refresh", || gate.came() == 1);
    drop(conn);
    gate.open();
    eventually("the end of the refresh", || auth.server.answered() == 2);
    assert_eq!(
        sidekey.get("/api/").status,
        200,
        "with the new token, at once"
    );
    assert_eq!(auth.count(), 2);
    let whole = upstream
        .requests()
        .into_iter()
        .filter(|r| r.method == "POST" && !r.body.is_empty());
    assert_eq!(
        whole.count(),
        0,
        "half a body is never passed off as a whole one"
    );
    eventually("no connection is left behind", || upstream.open() <= 1);
}

#[test]
fn a_body_past_the_limit_is_sent_once_and_the_token_refreshed() {
    let auth = AuthServer::start();
    let upstream = late(&auth);
    let conf = Conf::new(&auth, &upstream).route("replay_body_limit: 64KiB");
    let sidekey = Sidekey::run(&conf);
    auth.revoke();
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &bytes(65_537));
    assert_eq!((answer.status, answer.text().as_str()), (401, "rejected"));
    assert_eq!(upstream.only().body, bytes(65_537), "sent, and whole");
    let refreshes = [("trigger", "rejected"), ("outcome", "success")];
    eventually("the refresh", || {
        sidekey.metric("sidekey_token_refreshes_total", &refreshes) == 1.0
    });
    eventually("the count of it", || {
        sidekey.metric("sidekey_replays_total", &[("outcome", "not_replayable")]) == 1.0
    });
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &bytes(65_537));
    assert_eq!(answer.status, 200, "by the new token, without a replay");
    assert_eq!(upstream.count(), 2);
}

#[test]
fn a_body_at_the_limit_is_replayed() {
    let auth = AuthServer::start();
    let upstream = late(&auth);
    let conf = Conf::new(&auth, &upstream).route("replay_body_limit: 64KiB");
    let sidekey = Sidekey::run(&conf);
    auth.revoke();
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &bytes(65_536));
    assert!(answer.status == 200 && answer.body == bytes(65_536));
    assert_eq!(upstream.count(), 2);
}

#[test]
fn no_limit_means_no_replay_of_bodies_but_of_gets() {
    let auth = AuthServer::start();
    let upstream = late(&auth);
    let conf = Conf::new(&auth, &upstream).route("replay_body_limit: 0");
    let sidekey = Sidekey::run(&conf);
    auth.revoke();
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!(upstream.count(), 2);
    auth.revoke();
    assert_eq!(call(sidekey.proxy, "POST", "/api/", &[], b"x").status, 401);
    assert_eq!(upstream.count(), 3);
}

#[test]
fn a_rejection_survives_a_reset_behind_its_head() {
    let auth = AuthServer::start();
    let live = auth.checker();
    // The whole head, less body than promised, and an end that is a reset.
    let cut = "HTTP/1.1 401 No\r\nContent-Length: 100\r\n\r\ncut";
    let upstream = Server::early(
        move |request| (!live(request)).then(|| Answer::raw(cut)),
        |request| Answer::ok(request.body.clone()),
    );
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.revoke();
    let body = bytes(60_000);
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.body == body);
}

#[test]
fn the_rejections_own_body_is_passed_on_whole() {
    let auth = AuthServer::start();
    let long = bytes(500_000);
    let body = long.clone();
    let upstream = Server::start(move |_| Answer::new(401).body(body.clone()));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    for _ in 0..3 {
        let answer = sidekey.get("/api/");
        assert!(answer.status == 401 && answer.body == long);
    }
}
