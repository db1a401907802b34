//! HTTP/2 frame by frame: how a connection begins and ends, what is refused,
//! and callers that mean harm.

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PREFACE,
    RST_STREAM, SETTINGS, fields, frame, get,
};
use crate::support::{Answer, AuthServer, Conf, Conn, Gate, Server, Sidekey, eventually};
use std::io::Read;
use std::net::TcpStream;
use std::thread;

const CANCEL: u32 = 8;
const INTERNAL_ERROR: u32 = 2;
const PROTOCOL_ERROR: u32 = 1;

struct Scene {
    sidekey: Sidekey,
    upstream: Server,
    _auth: AuthServer,
}

impl Scene {
    fn new(top: &str, upstream: Server) -> Self {
        let auth = AuthServer::start();
        let conf = Conf::new(&auth, &upstream).top("workers: {count: 1}");
        let conf = if top.is_empty() { conf } else { conf.top(top) };
        Self {
            sidekey: Sidekey::run(&conf),
            upstream,
            _auth: auth,
        }
    }

    fn with(top: &str) -> Self {
        Self::new(top, Server::start(|_| Answer::ok("content")))
    }

    fn host(&self) -> String {
        self.sidekey.proxy.to_string()
    }

    /// A well-formed caller gets its answer.
    fn serves(&self) {
        let mut caller = Frames::to(self.sidekey.proxy);
        caller.ask(1, &get(&self.host(), "/api/"));
        assert_eq!(caller.until(HEADERS).status(), 200);
        assert_eq!(caller.until(DATA).payload, b"content");
    }
}

/// Waits until the other end has taken everything off its receive queue, or has
/// ended the connection.
fn wait_until_taken(stream: &TcpStream, by: std::net::SocketAddr) {
    let ours = format!(":{:04X}", stream.local_addr().unwrap().port());
    let theirs = format!(":{:04X}", by.port());
    eventually("the bytes are taken", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = table.lines().map(|row| row.split_whitespace().collect());
        let row = rows.find(|row: &Vec<&str>| row[1].ends_with(&theirs) && row[2].ends_with(&ours));
        row.is_none_or(|row| row[4].ends_with(":00000000"))
    });
}

#[test]
fn a_preface_may_be_split_anywhere() {
    // Byte by byte it may take long on a busy machine.
    let scene = Scene::with("limits: {header_timeout: 5m}");
    let host = scene.host();
    let head = fields(&get(&host, "/api/"));
    let settings = frame(SETTINGS, 0, 0, b"");
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head);
    let first = [PREFACE, &settings, &request].concat();
    // Where HTTP/1.1 takes it for a request, where it does no longer, and inside of frames.
    for at in [1, 4, 11, 12, 13, 14, 18, 22, 23, 24, 29] {
        let mut caller = Frames::silent(scene.sidekey.proxy);
        caller.send(&first[..at]);
        wait_until_taken(&caller.stream, scene.sidekey.proxy);
        caller.send(&first[at..]);
        assert_eq!(caller.until(HEADERS).status(), 200, "split at {at}");
    }
    let mut caller = Frames::silent(scene.sidekey.proxy);
    for byte in PREFACE {
        caller.send([*byte]);
        wait_until_taken(&caller.stream, scene.sidekey.proxy);
    }
    caller.send(&first[PREFACE.len()..]);
    assert_eq!(caller.until(HEADERS).status(), 200, "byte by byte");
}

#[test]
fn what_only_begins_like_a_preface_is_answered_by_http1() {
    let scene = Scene::with("");
    for (first, rest) in [
        ("PRI * HTTP/2.0\r\n\r\nSM", "S\r\n\r\n"),
        ("PRI * HTTP/2.", "1\r\n\r\n"),
        ("PRI * HTTP/2.0\r\nHost: a\r\n\r\n", ""),
    ] {
        let mut conn = Conn::to(scene.sidekey.proxy);
        conn.send(first);
        wait_until_taken(&conn.stream, scene.sidekey.proxy);
        conn.try_send(rest);
        assert_eq!(conn.response().status, 400, "{first:?}");
        assert!(conn.closed());
    }
    assert_eq!(scene.upstream.count(), 0);
}

#[test]
fn half_a_preface_does_not_hold_a_connection() {
    let scene = Scene::with("limits: {header_timeout: 3s}");
    for length in [1, 13, 20, PREFACE.len()] {
        let mut conn = Conn::to(scene.sidekey.proxy);
        conn.send(&PREFACE[..length]);
        conn.rest();
    }
    scene.serves();
}

#[test]
fn a_connection_of_http1_does_not_change_its_mind() {
    let scene = Scene::with("");
    let mut conn = Conn::to(scene.sidekey.proxy);
    assert_eq!(conn.get("/api/").status, 200);
    conn.send([PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
    let answer = conn.response();
    assert_eq!((answer.status, answer.problem()), (400, "bad_request"));
    assert!(conn.closed());
}

/// What became of a request with these fields: a status, or a stream's reset.
fn became(scene: &Scene, head: &[(&str, &str)], body: &[u8]) -> Result<u16, u32> {
    let mut caller = Frames::to(scene.sidekey.proxy);
    let flags = if body.is_empty() { END_STREAM } else { 0 };
    caller.send(frame(HEADERS, flags | END_HEADERS, 1, &fields(head)));
    if !body.is_empty() {
        caller.send(frame(DATA, END_STREAM, 1, body));
    }
    loop {
        let frame = caller.next().expect("an answer");
        match frame.kind {
            HEADERS => return Ok(frame.status()),
            RST_STREAM => return Err(frame.code()),
            _ => {}
        }
    }
}

#[test]
fn ambiguous_requests_are_refused() {
    let scene = Scene::with("");
    let host = scene.host();
    let at = |authority, path, more: &[(&'static str, &'static str)]| {
        [&get(authority, path)[..], more].concat()
    };
    let with_user = format!("user@{host}");
    let refused = |head: &[(&str, &str)]| became(&scene, head, b"");
    assert_eq!(
        refused(&at(&host, "/api/", &[("host", "localhost")])),
        Ok(400)
    );
    assert_eq!(refused(&at(&with_user, "/api/", &[])), Ok(400));
    assert_eq!(refused(&at("evil.example", "/api/", &[])), Ok(403));
    assert_eq!(refused(&at(&host, "/api/../x", &[])), Ok(400));
    assert_eq!(refused(&at(&host, "*", &[])), Ok(400));
    assert_eq!(
        refused(&at(&host, "http://localhost/api/", &[])),
        Err(PROTOCOL_ERROR)
    );
    assert_eq!(
        refused(&at(&host, "/api/", &[("origin", "https://evil.example")])),
        Ok(403)
    );
    let no_authority = [(":method", "GET"), (":scheme", "http"), (":path", "/api/")];
    assert_eq!(refused(&no_authority), Ok(400));
    let other_scheme = [
        (":method", "GET"),
        (":scheme", "ftp"),
        (":authority", &host),
        (":path", "/api/"),
    ];
    assert_eq!(refused(&other_scheme), Ok(400));
    for method in ["CONNECT", "TRACE"] {
        let head = match method {
            "CONNECT" => vec![(":method", method), (":authority", &*host)],
            _ => [&[(":method", method)][..], &get(&host, "/api/")[1..]].concat(),
        };
        assert_eq!(refused(&head), Ok(405), "{method}");
    }
    let extended = [&[(":method", "CONNECT")][..], &get(&host, "/api/")[1..]].concat();
    let extended = [&extended[..], &[(":protocol", "websocket")]].concat();
    assert_eq!(refused(&extended), Err(PROTOCOL_ERROR));
    assert_eq!(scene.upstream.count(), 0);
}

#[test]
fn malformed_requests_end_their_stream() {
    let scene = Scene::with("");
    let host = scene.host();
    for field in [
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        (":path", "/again"),
    ] {
        let head = [&get(&host, "/api/")[..], &[field]].concat();
        assert_eq!(became(&scene, &head, b""), Err(PROTOCOL_ERROR), "{field:?}");
    }
    let post = |length| {
        let rest = &get(&host, "/api/")[1..];
        [
            &[(":method", "POST")][..],
            rest,
            &[("content-length", length)],
        ]
        .concat()
    };
    assert_eq!(became(&scene, &post("3"), b"four"), Err(PROTOCOL_ERROR));
    assert_eq!(became(&scene, &post("3"), b""), Err(PROTOCOL_ERROR));
    assert_eq!(became(&scene, &post("x"), b"four"), Err(PROTOCOL_ERROR));
    assert_eq!(became(&scene, &post("4"), b"four"), Ok(200));
    assert_eq!(scene.upstream.only().body, b"four");
}

#[test]
fn too_many_and_too_long_fields_are_431() {
    let scene = Scene::with("limits: {header_bytes: 8KiB, header_count: 50, uri_bytes: 100}");
    let host = scene.host();
    let names: Vec<String> = (0..50).map(|n| format!("x-{n}")).collect();
    let many = names.iter().map(|name| (name.as_str(), "1"));
    let many: Vec<_> = get(&host, "/api/").into_iter().chain(many).collect();
    assert_eq!(became(&scene, &many, b""), Ok(431));
    let long = "y".repeat(120);
    let large = names.iter().map(|name| (name.as_str(), long.as_str()));
    let large: Vec<_> = get(&host, "/api/").into_iter().chain(large).collect();
    assert_eq!(became(&scene, &large, b""), Ok(431));
    let path = format!("/api/{}", "z".repeat(110));
    assert_eq!(became(&scene, &get(&host, &path), b""), Ok(414));
    assert_eq!(scene.upstream.count(), 0);
}

#[test]
fn silence_ends_with_goaway() {
    let scene = Scene::with("limits: {idle_timeout: 3s}");
    let mut caller = Frames::to(scene.sidekey.proxy);
    caller.ask(1, &get(&scene.host(), "/api/"));
    assert_eq!(caller.until(HEADERS).status(), 200);
    assert_eq!(caller.until(GOAWAY).code(), 0);
    assert!(caller.rest().iter().all(|frame| frame.kind != RST_STREAM));
}

#[test]
fn a_caller_that_does_not_even_acknowledge_is_let_go() {
    let scene = Scene::with("limits: {idle_timeout: 3s, header_timeout: 3s}");
    let mut caller = Frames::to(scene.sidekey.proxy);
    caller.polite = false;
    caller.until(GOAWAY);
    caller.rest();
}

#[test]
fn a_head_that_never_ends_ends_its_connection() {
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let slow = Server::start(move |request| match request.target.as_str() {
        "/slow" => Answer::ok("never").after(&at_gate),
        _ => Answer::ok("content"),
    });
    let scene = Scene::new("limits: {header_timeout: 3s}", slow);
    let head = fields(&get(&scene.host(), "/api/"));
    for with_another in [false, true] {
        let mut caller = Frames::to(scene.sidekey.proxy);
        if with_another {
            caller.ask(1, &get(&scene.host(), "/api/slow"));
            eventually("the slow one", || gate.came() == 1);
        }
        caller.send(frame(HEADERS, END_STREAM, 3, &head));
        caller.rest();
    }
    scene.serves();
}

#[test]
fn a_body_that_breaks_off_is_no_whole_one() {
    let broken =
        Server::start(|_| Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"));
    let scene = Scene::new("", broken);
    let mut caller = Frames::to(scene.sidekey.proxy);
    caller.ask(1, &get(&scene.host(), "/api/"));
    assert_eq!(caller.until(HEADERS).status(), 200);
    let reset = caller.until(RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, INTERNAL_ERROR));
}

/// More than any window that a caller gives by default.
const MUCH: usize = 1 << 20;

#[test]
fn a_stalled_stream_holds_up_no_other_and_is_given_up() {
    let upstream = Server::start(|request| match request.target.as_str() {
        "/much" => Answer::ok(vec![b'x'; MUCH]),
        _ => Answer::ok("content"),
    });
    let scene = Scene::new("limits: {idle_timeout: 3s}", upstream);
    let mut caller = Frames::silent(scene.sidekey.proxy);
    // Streams with little room, in a connection with the usual.
    let little = [0, 4, 0, 0, 0x04, 0];
    caller.send([PREFACE, &frame(SETTINGS, 0, 0, &little)].concat());
    for stream in [1, 3, 5] {
        caller.ask(stream, &get(&scene.host(), "/api/much"));
    }
    eventually("all three", || scene.upstream.count() == 3);
    let mut reset = Vec::new();
    for stream in (7..27).step_by(2) {
        caller.ask(stream, &get(&scene.host(), "/api/"));
        loop {
            let frame = caller.next().expect("an answer");
            if frame.kind == RST_STREAM {
                reset.push((frame.stream, frame.code()));
            }
            if frame.kind == DATA && frame.stream == stream {
                assert_eq!(frame.payload, b"content");
                break;
            }
        }
    }
    while reset.len() < 3 {
        let frame = caller.until(RST_STREAM);
        reset.push((frame.stream, frame.code()));
    }
    reset.sort_unstable();
    assert_eq!(reset, [(1, CANCEL), (3, CANCEL), (5, CANCEL)]);
    eventually("the upstream's connections are given up", || {
        scene.upstream.open() <= 1
    });
}

#[test]
fn a_drain_says_goaway_and_finishes_what_runs() {
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let slow = Server::start(move |_| Answer::ok("content").halfway(&at_gate));
    let mut scene = Scene::new("", slow);
    let mut caller = Frames::to(scene.sidekey.proxy);
    let mut idle = Frames::to(scene.sidekey.proxy);
    idle.until(SETTINGS);
    caller.ask(1, &get(&scene.host(), "/api/"));
    assert_eq!(caller.until(HEADERS).status(), 200);
    let mut body = caller.until(DATA).payload;
    scene.sidekey.signal("TERM");
    assert_eq!(caller.until(GOAWAY).code(), 0);
    assert_eq!(idle.until(GOAWAY).code(), 0);
    idle.rest();
    gate.open();
    loop {
        let frame = caller.until(DATA);
        body.extend(&frame.payload);
        if frame.flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(body, b"content");
    caller.rest();
    assert_eq!(scene.sidekey.ended().code(), Some(0));
}

#[test]
fn what_is_left_at_the_drains_limit_is_cancelled() {
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let slow = Server::start(move |_| Answer::ok("never").after(&at_gate));
    let mut scene = Scene::new("drain: {timeout: 500ms}", slow);
    let mut caller = Frames::to(scene.sidekey.proxy);
    caller.ask(1, &get(&scene.host(), "/api/"));
    eventually("the request", || gate.came() == 1);
    scene.sidekey.signal("TERM");
    let reset = caller.until(RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, CANCEL));
    scene.sidekey.ended();
}

/// Sends without end, as far as it is let, while all answers are thrown away.
fn flood(scene: &Scene, beginning: &[u8], pieces: impl Iterator<Item = Vec<u8>>) {
    let mut caller = Frames::to(scene.sidekey.proxy);
    let mut answers = caller.stream.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let mut some = [0; 65_536];
        while answers.read(&mut some).is_ok_and(|length| length > 0) {}
    });
    caller.send(beginning);
    for piece in pieces {
        if !caller.try_send(piece) {
            break;
        }
    }
    scene.serves();
    let _ = caller.stream.shutdown(std::net::Shutdown::Both);
    reader.join().unwrap();
    scene.serves();
}

#[test]
fn floods_of_frames_that_carry_nothing_harm_nobody_else() {
    let scene = Scene::with("");
    let ping = frame(PING, 0, 0, b"12345678").repeat(1000);
    flood(&scene, b"", (0..100).map(|_| ping.clone()));
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(1000);
    flood(&scene, b"", (0..100).map(|_| settings.clone()));
    let empty = frame(DATA, 0, 1, b"").repeat(1000);
    let host = scene.host();
    let head = [&[(":method", "POST")][..], &get(&host, "/api/")[1..]].concat();
    let head = frame(HEADERS, END_HEADERS, 1, &fields(&head));
    flood(&scene, &head, (0..100).map(|_| empty.clone()));
}

#[test]
fn streams_reset_as_soon_as_they_are_opened_harm_nobody_else() {
    let scene = Scene::with("");
    let head = fields(&get(&scene.host(), "/api/"));
    let both = |stream: u32| {
        let opened = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head);
        [opened, frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    };
    flood(&scene, b"", (0..2000).map(|n| both(2 * n + 1)));
    let many = |n: u32| (0..100).flat_map(|m| both(2 * (100 * n + m) + 1)).collect();
    flood(&scene, b"", (0..50).map(many));
}

#[test]
fn a_head_without_end_ends_its_connection() {
    let scene = Scene::with("");
    let head = fields(&get(&scene.host(), "/api/"));
    let filler = fields(&[("x-filler", &"z".repeat(100))]).repeat(100);
    for piece in [vec![], filler] {
        let mut caller = Frames::to(scene.sidekey.proxy);
        caller.send(frame(HEADERS, END_STREAM, 1, &head));
        let more = frame(CONTINUATION, 0, 1, &piece);
        for _ in 0..1000 {
            if !caller.try_send(&more) {
                break;
            }
        }
        assert!(caller.rest().iter().all(|frame| frame.kind != DATA));
        scene.serves();
    }
    // Only those that are well-formed came through.
    assert_eq!(scene.upstream.count(), 2);
}

#[test]
fn a_listener_that_lets_in_others_now_says_goaway() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let conf = Conf::new(&auth, &upstream);
    let sidekey = Sidekey::run(&conf);
    let mut caller = Frames::to(sidekey.proxy);
    caller.ask(1, &get(&sidekey.proxy.to_string(), "/api/"));
    assert_eq!(caller.until(HEADERS).status(), 200);
    let yaml = conf.yaml().replace(
        "listen: 127.0.0.1:@PROXY@\n",
        "listen: [{address: \"127.0.0.1:@PROXY@\", hosts: [app.test]}]\n",
    );
    sidekey.configure(&yaml);
    sidekey.signal("HUP");
    assert_eq!(caller.until(GOAWAY).code(), 0);
    caller.rest();
}
