//! Requests of HTTP/1.1 that come together on one connection, or in small pieces.

use crate::support::http::Request;
use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey};
use std::net::SocketAddr;

struct Scene {
    sidekey: Sidekey,
    _auth: AuthServer,
    upstream: Server,
}

fn scene(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Scene {
    let auth = AuthServer::start();
    let upstream = Server::start(answer);
    Scene {
        sidekey: Sidekey::run(&Conf::new(&auth, &upstream)),
        _auth: auth,
        upstream,
    }
}

fn told(request: &Request) -> Answer {
    let body = String::from_utf8_lossy(&request.body);
    Answer::ok(format!("{} {} {body}", request.method, request.target))
}

/// Requests of each framing, and the answers to them.
fn requests(count: usize, host: SocketAddr) -> (String, Vec<String>) {
    let (mut text, mut answers) = (String::new(), Vec::new());
    for number in 0..count {
        let (method, lines, body) = match number % 4 {
            0 => ("GET", "\r\n".to_owned(), String::new()),
            1 => (
                "POST",
                "Content-Length: 5\r\n\r\nab\r\nc".to_owned(),
                "ab\r\nc".to_owned(),
            ),
            2 => (
                "PUT",
                "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n01\r\nc\r\n0\r\n\r\n".to_owned(),
                "abc".to_owned(),
            ),
            // An empty line too many behind it, as some old callers have it.
            _ => (
                "POST",
                "Content-Length: 0\r\n\r\n\r\n".to_owned(),
                String::new(),
            ),
        };
        let line = format!("{method} /api/{number} HTTP/1.1\r\nHost: {host}\r\n");
        text.push_str(&line);
        text.push_str(&lines);
        answers.push(format!("{method} /{number} {body}"));
    }
    (text, answers)
}

#[test]
fn requests_that_come_together_are_answered_one_behind_the_other() {
    let scene = scene(told);
    let (text, answers) = requests(200, scene.sidekey.proxy);
    let mut conn = Conn::to(scene.sidekey.proxy);
    conn.send(text);
    for answer in answers {
        let given = conn.response();
        assert_eq!((given.status, given.text()), (200, answer));
    }
    assert_eq!(scene.upstream.count(), 200);
}

#[test]
fn requests_that_come_byte_by_byte_are_the_same() {
    let scene = scene(told);
    let (text, answers) = requests(8, scene.sidekey.proxy);
    let mut conn = Conn::to(scene.sidekey.proxy);
    for byte in text.as_bytes() {
        conn.send([*byte]);
    }
    for answer in answers {
        assert_eq!(conn.response().text(), answer);
    }
}

#[test]
fn large_bodies_go_both_ways_with_the_next_request_behind() {
    let scene = scene(|request| Answer::ok(request.body.clone()));
    let host = scene.sidekey.proxy;
    let body: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number / 7) as u8)
        .collect();
    let length = body.len();
    let head = format!("POST /api/ HTTP/1.1\r\nHost: {host}\r\n");
    let sized = format!("{head}Content-Length: {length}\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
    let both = [
        sized.as_bytes(),
        &body,
        chunked.as_bytes(),
        &body,
        b"\r\n0\r\n\r\n",
        sized.as_bytes(),
        &body,
    ];
    let mut conn = Conn::to(host);
    let mut writer = Conn::of(conn.stream.try_clone().unwrap());
    let sending = both.concat();
    let sending = std::thread::spawn(move || writer.send(sending));
    for _ in 0..3 {
        let given = conn.response();
        assert!(given.status == 200 && given.body == body);
    }
    sending.join().unwrap();
}

#[test]
fn an_answer_in_pieces_goes_out_in_pieces() {
    let gate = crate::support::Gate::closed();
    let at_gate = gate.clone();
    let scene = scene(move |_| Answer::ok("first half, second half").halfway(&at_gate));
    let mut conn = Conn::to(scene.sidekey.proxy);
    conn.ask("/api/");
    conn.until("first half");
    gate.open();
    assert_eq!(conn.response().text(), "first half, second half");
}
