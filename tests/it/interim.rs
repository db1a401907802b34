//! Answers before the answer (1xx), what waits for them, and what HTTP/2 has in
//! their place.

use crate::support::frames::{END_HEADERS, Frame, Frames, HEADERS, RST_STREAM, fields, frame, get};
use crate::support::peer::Peer;
use crate::support::real::{file, output, serving};
use crate::support::tls::curled;
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey, call, eventually};
use std::io::{Read, Write};
use std::process::Command;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";

fn counted(sidekey: &Sidekey, code: &str, n: f64) {
    let labels = [("route", "main"), ("code", code)];
    eventually("the count of interim answers", || {
        sidekey.metric("sidekey_informational_answers_total", &labels) == n
    });
}

#[test]
fn interim_answers_of_http1_end_here_and_are_counted() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| {
        Answer::raw(format!(
            "{HINT}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{HINT}",
            HINT.len()
        ))
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    for _ in 0..2 {
        let answer = sidekey.get("/api/");
        assert_eq!((answer.status, answer.text()), (200, HINT.to_owned()));
    }
    counted(&sidekey, "103", 2.0);
    counted(&sidekey, "102", 2.0);
    let text = sidekey.metrics();
    assert!(!text.contains("code=\"100\""), "{text}");
}

/// However their bytes come, and at a handshake too.
#[test]
fn interim_answers_in_pieces_are_counted() {
    let auth = AuthServer::start();
    let peer = Peer::start(|_, stream| {
        let mut stream = stream;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            request.push(byte[0]);
        }
        let answer = format!("{HINT}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab");
        for byte in answer.as_bytes() {
            stream.write_all(&[*byte]).unwrap();
        }
    });
    let sidekey = Sidekey::run(&Conf::at(
        &auth.endpoint(),
        &format!("http://{}/", peer.address),
    ));
    assert_eq!(sidekey.get("/api/").text(), "ab");
    counted(&sidekey, "103", 1.0);
    let handshake = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = call(sidekey.proxy, "GET", "/api/", &handshake, b"");
    assert_eq!(answer.text(), "ab", "it wants no WebSocket");
    counted(&sidekey, "103", 2.0);
}

#[test]
fn interim_answers_of_http2_end_here_and_are_counted() {
    let auth = AuthServer::start();
    let peer = Peer::start(|_, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        while let Some(stream) = frames.request() {
            let hint = fields(&[(":status", "103"), ("link", "</a.css>; rel=preload")]);
            frames.send(frame(HEADERS, END_HEADERS, stream, &hint));
            frames.answer(stream, "content");
        }
    });
    let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), &peer.h2c_url()));
    let answer = sidekey.get("/api/");
    assert_eq!((answer.status, answer.text()), (200, "content".to_owned()));
    assert_eq!(answer.header("link"), None);
    counted(&sidekey, "103", 1.0);
}

#[test]
fn early_hints_of_node_are_counted() {
    let (address, _node) = serving("node", |port| {
        let mut node = Command::new("node");
        node.arg(file("hints.mjs")).arg(port.to_string());
        node
    });
    let auth = AuthServer::start();
    let conf = Conf::at(&auth.endpoint(), &format!("http://{address}/"));
    let sidekey = Sidekey::run(&conf);
    let url = format!("http://{}/api/", sidekey.proxy);
    assert_eq!(curled(&["--fail", &url]), "content");
    counted(&sidekey, "103", 1.0);
}

/// A caller over HTTP/2 gets no 100: its body is taken as it comes.
#[test]
fn an_expectation_over_http2_holds_nothing_up() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| Answer::ok(request.body.clone()));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let url = format!("http://{}/api/", sidekey.proxy);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--noproxy", "*", "--max-time", "60"]);
    curl.args(["--http2-prior-knowledge", "-H", "Expect: 100-continue"]);
    curl.args(["--data-binary", "content", &url]);
    assert_eq!(output(&mut curl), "content");
    assert!(upstream.only().all("expect").is_empty());
}

/// WebSockets over HTTP/2 (RFC 8441) are not announced. Who asks all the same has
/// made a mistake that costs it the one stream.
#[test]
fn a_websocket_over_http2_is_refused_and_nothing_else_is() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut frames = Frames::to(sidekey.proxy);
    let authority = sidekey.proxy.to_string();
    frames.ask(1, &get(&authority, "/api/"));
    let next = |frames: &mut Frames, wanted: u8| -> Frame {
        loop {
            let frame = frames.next().expect("the connection stays");
            let is_enabled = frame.kind == crate::support::frames::SETTINGS
                && frame.payload.chunks(6).any(|p| p.starts_with(&[0, 8]));
            assert!(!is_enabled, "SETTINGS_ENABLE_CONNECT_PROTOCOL");
            if frame.kind == wanted {
                return frame;
            }
        }
    };
    assert_eq!(next(&mut frames, HEADERS).stream, 1);
    let asked = fields(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", &authority),
        (":path", "/api/socket"),
        ("sec-websocket-version", "13"),
    ]);
    frames.send(frame(HEADERS, END_HEADERS, 3, &asked));
    let reset = next(&mut frames, RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (3, 1), "PROTOCOL_ERROR");
    frames.ask(5, &get(&authority, "/api/"));
    assert_eq!(next(&mut frames, HEADERS).stream, 5);
    assert_eq!(upstream.count(), 2);
}
