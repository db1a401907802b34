//! HTTP/2 to upstreams, frame by frame: what goes out once more and what does
//! not, how many streams a connection takes, and when it is given up.

use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, HEADERS, PING, RST_STREAM,
    SETTINGS, frame, head, settings,
};
use crate::support::peer::Peer;
use crate::support::{AuthServer, Conf, Conn, Sidekey, call, eventually};
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

// RFC 9113, 6.5.2 and 7.
const MAX_CONCURRENT_STREAMS: u16 = 3;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const HTTP_1_1_REQUIRED: u32 = 13;
const INTERNAL_ERROR: u32 = 2;

/// One worker, so that requests meet on its connection.
fn conf(auth: &AuthServer, peer: &Peer) -> Conf {
    Conf::at(&auth.endpoint(), &peer.h2c_url()).top("workers: {count: 1}")
}

fn started(peer: &Peer) -> (AuthServer, Sidekey) {
    let auth = AuthServer::start();
    let sidekey = Sidekey::run(&conf(&auth, peer));
    (auth, sidekey)
}

/// Answers every request with the connection's number.
fn obliging(number: usize, frames: &mut Frames) {
    while let Some(stream) = frames.request() {
        frames.answer(stream, &number.to_string());
    }
}

/// A test's word to a script, and a script's to its test.
fn wire<T: Send + 'static>() -> (Sender<T>, Mutex<Receiver<T>>) {
    let (sender, receiver) = channel();
    (sender, Mutex::new(receiver))
}

fn hear<T>(receiver: &Mutex<Receiver<T>>) -> T {
    let receiver = receiver.lock().unwrap();
    receiver
        .recv_timeout(crate::support::wait::PATIENCE)
        .unwrap()
}

fn in_thread(sidekey: &Sidekey, target: &'static str) -> thread::JoinHandle<(u16, String)> {
    let proxy = sidekey.proxy;
    thread::spawn(move || {
        let answer = call(proxy, "GET", target, &[], b"");
        (answer.status, answer.text())
    })
}

#[test]
fn many_requests_share_one_connection() {
    let peer = Peer::start(|number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        // Nobody is answered before all are here.
        let streams: Vec<_> = (0..10).map(|_| frames.request().unwrap()).collect();
        for stream in streams {
            frames.answer(stream, &number.to_string());
        }
        obliging(number, &mut frames);
    });
    let (_auth, sidekey) = started(&peer);
    let calls: Vec<_> = (0..10).map(|_| in_thread(&sidekey, "/api/")).collect();
    for call in calls {
        assert_eq!(call.join().unwrap(), (200, "0".into()));
    }
    assert_eq!(sidekey.get("/api/").text(), "0");
    assert_eq!(peer.opened(), 1);
}

#[test]
fn what_was_refused_unread_goes_out_once_more() {
    let peer = Peer::start(|number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        let stream = frames.request().unwrap();
        let body = frames.body(stream);
        if number == 0 {
            frames.reset(stream, REFUSED_STREAM);
        } else {
            frames.answer(stream, &String::from_utf8(body).unwrap());
        }
        obliging(number, &mut frames);
    });
    let (_auth, sidekey) = started(&peer);
    let answer = call(sidekey.proxy, "POST", "/api/", &[], b"a body");
    assert_eq!((answer.status, answer.text()), (200, "a body".into()));
    assert_eq!(peer.opened(), 2);
}

#[test]
fn what_was_refused_twice_is_a_502() {
    let peer = Peer::start(|_, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        while let Some(stream) = frames.request() {
            frames.reset(stream, REFUSED_STREAM);
        }
    });
    let (_auth, sidekey) = started(&peer);
    let answer = sidekey.get("/api/");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(answer.problem(), "upstream_unreachable");
    assert_eq!(peer.opened(), 2);
}

#[test]
fn another_reset_sends_nothing_twice() {
    let peer = Peer::start(|_, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        let stream = frames.request().unwrap();
        frames.reset(stream, INTERNAL_ERROR);
        obliging(0, &mut frames);
    });
    let (_auth, sidekey) = started(&peer);
    let answer = sidekey.get("/api/");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(sidekey.get("/api/").text(), "0", "the connection serves on");
    assert_eq!(peer.opened(), 1);
}

#[test]
fn goaway_lets_earlier_streams_end_and_sends_later_ones_anew() {
    let (arrived, arrivals) = wire();
    let arrived = Mutex::new(arrived);
    let peer = Peer::start(move |number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        if number == 0 {
            let first = frames.request().unwrap();
            arrived.lock().unwrap().send(()).unwrap();
            let second = frames.request().unwrap();
            frames.body(second);
            frames.go_away(first);
            frames.answer(first, "the first");
            assert!(frames.request().is_none(), "nothing more comes here");
        } else {
            let stream = frames.request().unwrap();
            let body = frames.body(stream);
            frames.answer(stream, &String::from_utf8(body).unwrap());
            obliging(number, &mut frames);
        }
    });
    let (_auth, sidekey) = started(&peer);
    let first = in_thread(&sidekey, "/api/");
    let proxy = sidekey.proxy;
    hear(&arrivals);
    let second = thread::spawn(move || call(proxy, "POST", "/api/", &[], b"the second").text());
    assert_eq!(first.join().unwrap(), (200, "the first".into()));
    assert_eq!(second.join().unwrap(), "the second");
    assert_eq!(sidekey.get("/api/").text(), "1");
}

#[test]
fn an_upstream_may_insist_on_http1() {
    let peer = Peer::start(|number, mut stream| {
        if number == 0 {
            let mut frames = Frames::of_upstream(stream, &[]);
            let stream = frames.request().unwrap();
            frames.reset(stream, HTTP_1_1_REQUIRED);
            frames.rest();
            return;
        }
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
    });
    let (_auth, sidekey) = started(&peer);
    for _ in 0..3 {
        let answer = sidekey.get("/api/");
        assert_eq!((answer.status, answer.text()), (200, "old".into()));
    }
    assert_eq!(peer.opened(), 2, "it is remembered");
}

/// The first request's stream, once both it and the word that our SETTINGS are
/// in force have come.
fn request_and_acknowledgement(frames: &mut Frames) -> u32 {
    let (mut stream, mut acknowledged) = (None, false);
    loop {
        let frame = frames.next().unwrap();
        match frame.kind {
            HEADERS => stream = Some(frame.stream),
            SETTINGS => acknowledged |= frame.flags & ACK != 0,
            _ => {}
        }
        if let Some(stream) = stream.filter(|_| acknowledged) {
            return stream;
        }
    }
}

#[test]
fn the_number_of_streams_is_the_upstreams_to_change() {
    let (arrived, arrivals) = wire();
    let (raise, raised) = wire();
    let arrived = Mutex::new(arrived);
    let peer = Peer::start(move |number, stream| {
        let mut frames = Frames::of_upstream(stream, &[(MAX_CONCURRENT_STREAMS, 1)]);
        let say = |number| arrived.lock().unwrap().send(number).unwrap();
        let first = request_and_acknowledgement(&mut frames);
        say(number);
        if number == 0 {
            hear(&raised);
            frames.send(settings(&[(MAX_CONCURRENT_STREAMS, 10)]));
            while frames.until(SETTINGS).flags != ACK {}
            say(100);
            let second = frames.request().unwrap();
            frames.answer(second, "shared");
        }
        frames.answer(first, &number.to_string());
        obliging(number, &mut frames);
    });
    let (_auth, sidekey) = started(&peer);
    let first = in_thread(&sidekey, "/api/");
    assert_eq!(hear(&arrivals), 0);
    // Its one stream is in use: the next request gets a connection of its own.
    assert_eq!(sidekey.get("/api/").text(), "1");
    assert_eq!(hear(&arrivals), 1);
    raise.send(()).unwrap();
    assert_eq!(hear(&arrivals), 100);
    assert_eq!(sidekey.get("/api/").text(), "shared");
    assert_eq!(first.join().unwrap(), (200, "0".into()));
    assert_eq!(peer.opened(), 2);
}

#[test]
fn a_connection_that_has_died_silently_is_given_up() {
    let (seen, pings) = wire();
    let seen = Mutex::new(seen);
    let peer = Peer::start(move |number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        if number > 0 {
            return obliging(number, &mut frames);
        }
        let stream = frames.request().unwrap();
        frames.answer(stream, "0");
        frames.polite = false;
        frames.request().unwrap();
        let ping = frames.until(PING);
        seen.lock().unwrap().send(ping.flags).unwrap();
        frames.rest();
    });
    let auth = AuthServer::start();
    let conf = conf(&auth, &peer).top("limits: {http2_ping_after: 3s}");
    let sidekey = Sidekey::run(&conf);
    assert_eq!(sidekey.get("/api/").text(), "0");
    assert_eq!(sidekey.get("/api/").text(), "1");
    assert_eq!(hear(&pings), 0);
}

#[test]
fn a_slow_upstream_that_answers_pings_is_waited_for() {
    let peer = Peer::start(|number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        while let Some(stream) = frames.request() {
            let _ = frames.until(PING);
            frames.answer(stream, &number.to_string());
        }
    });
    let auth = AuthServer::start();
    let conf = conf(&auth, &peer).top("limits: {http2_ping_after: 3s}");
    let sidekey = Sidekey::run(&conf);
    let answer = call(sidekey.proxy, "POST", "/api/", &[], b"");
    assert_eq!((answer.status, answer.text()), (200, "0".into()));
    assert_eq!(peer.opened(), 1);
}

/// The next RST_STREAM.
fn until_reset(frames: &mut Frames) -> Frame {
    frames.until(RST_STREAM)
}

#[test]
fn a_timeout_ends_its_stream_and_the_next_request_takes_another_connection() {
    let (seen, resets) = wire();
    let seen = Mutex::new(seen);
    let peer = Peer::start(move |number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        if number == 0 {
            let stream = frames.request().unwrap();
            let reset = until_reset(&mut frames);
            let said = (reset.stream == stream, reset.code());
            seen.lock().unwrap().send(said).unwrap();
        }
        obliging(number, &mut frames);
    });
    let auth = AuthServer::start();
    let sidekey = Sidekey::run(&conf(&auth, &peer).route("timeout: 3s"));
    let answer = sidekey.get("/api/");
    assert_eq!(answer.problem(), "upstream_timeout");
    assert_eq!(hear(&resets), (true, CANCEL));
    let sidekey_answers = sidekey.get("/api/");
    assert_eq!(sidekey_answers.text(), "1");
}

#[test]
fn a_caller_that_leaves_cancels_its_stream_alone() {
    let (seen, resets) = wire();
    let seen = Mutex::new(seen);
    let peer = Peer::start(move |number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        let stream = frames.request().unwrap();
        assert_eq!(frames.until(DATA).payload, b"half");
        seen.lock().unwrap().send(0).unwrap();
        let reset = until_reset(&mut frames);
        assert_eq!(reset.stream, stream);
        seen.lock().unwrap().send(reset.code()).unwrap();
        obliging(number, &mut frames);
    });
    let (_auth, sidekey) = started(&peer);
    let mut caller = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    caller.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 8\r\n\r\nhalf"
    ));
    assert_eq!(hear(&resets), 0);
    drop(caller);
    assert_eq!(hear(&resets), CANCEL);
    assert_eq!(sidekey.get("/api/").text(), "0");
    assert_eq!(peer.opened(), 1);
}

#[test]
fn an_answer_before_the_upload_has_ended_ends_it() {
    let (seen, resets) = wire();
    let seen = Mutex::new(seen);
    let peer = Peer::start(move |number, stream| {
        // Its window takes a third of the body, and is never opened further.
        let mut frames = Frames::of_upstream(stream, &[]);
        let stream = frames.request().unwrap();
        frames.answer(stream, "enough");
        let reset = until_reset(&mut frames);
        seen.lock().unwrap().send(reset.code()).unwrap();
        obliging(number, &mut frames);
    });
    let (_auth, sidekey) = started(&peer);
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &vec![b'x'; 200_000]);
    assert_eq!((answer.status, answer.text()), (200, "enough".into()));
    assert_eq!(hear(&resets), CANCEL);
    assert_eq!(sidekey.get("/api/").text(), "0");
    assert_eq!(peer.opened(), 1);
}

#[test]
fn an_answer_that_is_cut_off_is_not_a_whole_one() {
    let peer = Peer::start(|_, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        while let Some(stream) = frames.request() {
            frames.send([head(stream), frame(DATA, 0, stream, b"half")].concat());
            frames.reset(stream, CANCEL);
        }
    });
    let (_auth, sidekey) = started(&peer);
    let mut caller = Conn::to(sidekey.proxy);
    caller.ask("/api/");
    let said = String::from_utf8(caller.rest()).unwrap();
    assert!(!said.contains("\r\n0\r\n"), "{said}");
}

#[test]
fn a_stalled_answer_holds_up_no_other() {
    let peer = Peer::start(|number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        let stream = frames.request().unwrap();
        frames.send(head(stream));
        // All that its window takes.
        for _ in 0..16 {
            frames.send(frame(DATA, 0, stream, &[b'x'; 16_000]));
        }
        obliging(number, &mut frames);
    });
    let (_auth, sidekey) = started(&peer);
    let mut stalled = Conn::to(sidekey.proxy);
    stalled.ask("/api/");
    stalled.until("\r\n\r\n");
    for _ in 0..3 {
        assert_eq!(sidekey.get("/api/").text(), "0");
    }
    assert_eq!(peer.opened(), 1);
}

#[test]
fn a_token_that_is_rejected_on_a_stream_is_one_replay() {
    let peer = Peer::start(|number, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        let first = frames.request().unwrap();
        // 401, as a new field: `:status` is the eighth of the static table.
        let head = [&[0x08, 3][..], b"401"].concat();
        frames.send(frame(HEADERS, END_HEADERS | END_STREAM, first, &head));
        let second = frames.request().unwrap();
        let body = frames.body(second);
        frames.answer(second, &String::from_utf8(body).unwrap());
        obliging(number, &mut frames);
    });
    let (auth, sidekey) = started(&peer);
    let answer = call(sidekey.proxy, "POST", "/api/", &[], b"a body");
    assert_eq!((answer.status, answer.text()), (200, "a body".into()));
    assert_eq!((auth.count(), peer.opened()), (2, 1));
}

#[test]
fn a_connection_that_is_too_old_takes_no_new_request() {
    let peer = Peer::start(|number, stream| {
        obliging(number, &mut Frames::of_upstream(stream, &[]));
    });
    let auth = AuthServer::start();
    let sidekey = Sidekey::run(&conf(&auth, &peer).top("limits: {max_connection_age: 1s}"));
    assert_eq!(sidekey.get("/api/").text(), "0");
    eventually("another connection", || sidekey.get("/api/").text() == "1");
    let old = crate::support::Server::start(|request| {
        crate::support::Answer::ok(request.connection.to_string())
    });
    let conf = Conf::new(&auth, &old).top("limits: {max_connection_age: 1s}");
    let sidekey = Sidekey::run(&conf.top("workers: {count: 1}"));
    let first = sidekey.get("/api/").text();
    eventually("another connection over HTTP/1.1", || {
        sidekey.get("/api/").text() != first
    });
}

#[test]
fn an_upstream_that_is_gone_is_gone_for_all_who_wait() {
    let peer = Peer::start(|_, stream| drop(stream));
    let (_auth, sidekey) = started(&peer);
    let calls: Vec<_> = (0..5).map(|_| in_thread(&sidekey, "/api/")).collect();
    for call in calls {
        assert_eq!(call.join().unwrap().0, 502);
    }
}

#[test]
fn heads_without_end_are_refused() {
    let peer = Peer::start(|_, stream| {
        let mut frames = Frames::of_upstream(stream, &[]);
        let stream = frames.request().unwrap();
        frames.send(frame(HEADERS, 0, stream, &[0x88]));
        let more = crate::support::frames::fields(&[("x-filler", &"x".repeat(120))]);
        let more = more.repeat(100);
        // CONTINUATION for as long as it is taken.
        while frames.try_send(frame(CONTINUATION, 0, stream, &more)) {}
    });
    let (_auth, sidekey) = started(&peer);
    assert_eq!(sidekey.get("/api/").status, 502);
    assert!(sidekey.memory("VmRSS") < 500_000);
}
