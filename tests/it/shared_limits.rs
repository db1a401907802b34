//! Limits on how many connections to an upstream there are, where requests share
//! them over HTTP/2: one that takes no new request is in nobody's way.

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, frame};
use crate::support::peer::Peer;
use crate::support::wait::PATIENCE;
use crate::support::{AuthServer, Conf, Sidekey, call, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

// RFC 9113, 7.
const REFUSED_STREAM: u32 = 7;
const HTTP_1_1_REQUIRED: u32 = 13;

/// One connection of one worker, and what else its limits are.
fn limited(peer: &Peer, more: &str) -> (AuthServer, Sidekey) {
    let auth = AuthServer::start();
    let limits = format!("limits: {{pool_connections_per_origin: 1{more}}}");
    let conf = Conf::at(&auth.endpoint(), &peer.h2c_url())
        .top("workers: {count: 1}")
        .top(&limits)
        .route("connect_timeout: 20s");
    let sidekey = Sidekey::run(&conf);
    (auth, sidekey)
}

/// A test's word to a script, and a script's to its test.
struct Wire(Mutex<Sender<()>>, Mutex<Receiver<()>>);

impl Wire {
    fn new() -> Self {
        let (sender, receiver) = channel();
        Self(Mutex::new(sender), Mutex::new(receiver))
    }

    fn say(&self) {
        self.0.lock().unwrap().send(()).unwrap();
    }

    fn hear(&self) {
        let word = self.1.lock().unwrap().recv_timeout(PATIENCE);
        word.expect("a word from the other side");
    }
}

/// The first request's connection is held up by it: until the test says so.
#[derive(Clone)]
struct Hold(Arc<(Wire, Wire)>);

impl Hold {
    fn new() -> Self {
        Self(Arc::new((Wire::new(), Wire::new())))
    }

    /// The script: it is here, and waits.
    fn has_come(&self) {
        self.0.0.say();
    }

    fn wait(&self) {
        self.0.1.hear();
    }

    /// The test: once it is there.
    fn came(&self) {
        self.0.0.hear();
    }

    fn end(&self) {
        self.0.1.say();
    }
}

fn in_thread(sidekey: &Sidekey) -> JoinHandle<(u16, String)> {
    let proxy = sidekey.proxy;
    spawn(move || {
        let answer = call(proxy, "GET", "/api/", &[], b"");
        (answer.status, answer.text())
    })
}

fn obliging(number: usize, frames: &mut Frames) {
    while let Some(stream) = frames.request() {
        frames.answer(stream, &number.to_string());
    }
}

/// An upstream of before HTTP/2.
fn old(mut stream: TcpStream) {
    let mut asked = Vec::new();
    let mut some = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut some) {
        asked.extend(&some[..length]);
        if asked.ends_with(b"\r\n\r\n") {
            assert!(asked.starts_with(b"GET / HTTP/1.1\r\n"));
            asked.clear();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold";
            stream.write_all(answer).unwrap();
        }
    }
}

#[test]
fn requests_that_must_go_over_http1_share_the_one_connection() {
    let peer = Peer::start(|number, stream| {
        if number > 0 {
            return old(stream);
        }
        let mut frames = Frames::of_upstream(stream, &[]);
        let both = [0; 2].map(|_| frames.request().unwrap());
        for stream in both {
            frames.reset(stream, HTTP_1_1_REQUIRED);
        }
        frames.rest();
    });
    let (_auth, sidekey) = limited(&peer, "");
    let calls = [0; 2].map(|_| in_thread(&sidekey));
    for call in calls {
        assert_eq!(call.join().unwrap(), (200, "old".into()));
    }
    assert_eq!(sidekey.get("/api/").text(), "old");
    assert_eq!(peer.opened(), 2);
}

#[test]
fn a_request_that_must_go_over_http1_waits_for_none_over_http2() {
    let hold = Hold::new();
    let held = hold.clone();
    let peer = Peer::start(move |number, stream| {
        if number > 0 {
            return old(stream);
        }
        let mut frames = Frames::of_upstream(stream, &[]);
        let first = frames.request().unwrap();
        held.has_come();
        let second = frames.request().unwrap();
        frames.reset(second, HTTP_1_1_REQUIRED);
        held.wait();
        frames.answer(first, "new");
        frames.rest();
    });
    let (_auth, sidekey) = limited(&peer, "");
    let first = in_thread(&sidekey);
    hold.came();
    for _ in 0..3 {
        assert_eq!(sidekey.get("/api/").text(), "old");
    }
    hold.end();
    assert_eq!(first.join().unwrap(), (200, "new".into()));
}

#[test]
fn a_connection_that_has_said_goaway_holds_up_nobody() {
    let hold = Hold::new();
    let held = hold.clone();
    let peer = Peer::start(move |number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        if number > 0 {
            return obliging(number, &mut frames);
        }
        let first = frames.request().unwrap();
        frames.go_away(first);
        held.has_come();
        held.wait();
        frames.answer(first, "the first");
        frames.rest();
    });
    let (_auth, sidekey) = limited(&peer, "");
    let first = in_thread(&sidekey);
    hold.came();
    for _ in 0..3 {
        assert_eq!(sidekey.get("/api/").text(), "1");
    }
    hold.end();
    assert_eq!(first.join().unwrap(), (200, "the first".into()));
}

#[test]
fn a_connection_that_is_too_old_holds_up_nobody() {
    let hold = Hold::new();
    let held = hold.clone();
    let peer = Peer::start(move |number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        if number > 0 {
            return obliging(number, &mut frames);
        }
        let first = frames.request().unwrap();
        held.has_come();
        let (hold, mut writer) = (held.clone(), frames.stream.try_clone().unwrap());
        let late = spawn(move || {
            hold.wait();
            let answer = frame(HEADERS, END_HEADERS | END_STREAM, first, &[0x88]);
            writer.write_all(&answer).unwrap();
        });
        obliging(number, &mut frames);
        late.join().unwrap();
    });
    let (_auth, sidekey) = limited(&peer, ", max_connection_age: 1s");
    let first = in_thread(&sidekey);
    hold.came();
    eventually("another connection", || sidekey.get("/api/").text() == "1");
    hold.end();
    assert_eq!(first.join().unwrap(), (200, String::new()));
}

#[test]
fn a_stream_that_was_refused_is_tried_again_where_there_is_room() {
    let hold = Hold::new();
    let held = hold.clone();
    let peer = Peer::start(move |number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        let first = frames.request().unwrap();
        held.has_come();
        let second = frames.request().unwrap();
        frames.reset(second, REFUSED_STREAM);
        let again = frames.request().unwrap();
        frames.answer(again, "again");
        held.wait();
        frames.answer(first, "the first");
        obliging(number, &mut frames);
    });
    let (_auth, sidekey) = limited(&peer, "");
    let first = in_thread(&sidekey);
    hold.came();
    assert_eq!(sidekey.get("/api/").text(), "again");
    hold.end();
    assert_eq!(first.join().unwrap(), (200, "the first".into()));
    assert_eq!(peer.opened(), 1);
}
