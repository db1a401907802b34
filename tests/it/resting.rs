//! Connections that are idle for a while give their buffers back, which nobody
//! must notice.

use crate::support::wait::PATIENCE;
use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey, eventually};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

struct Scene {
    sidekey: Sidekey,
    _auth: AuthServer,
    _upstream: Server,
}

fn scene() -> Scene {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| Answer::ok(format!("for {}", request.target)));
    let conf = Conf::new(&auth, &upstream).log("{level: trace}");
    Scene {
        sidekey: Sidekey::run(&conf),
        _auth: auth,
        _upstream: upstream,
    }
}

impl Scene {
    fn rests(&self, times: usize) {
        eventually("the connection rests", || {
            self.sidekey.logs().matches("rests").count() >= times
        });
    }

    fn head(&self, path: &str) -> String {
        format!(
            "GET /api/{path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.sidekey.proxy
        )
    }
}

#[test]
fn a_connection_that_rested_serves_again_and_again() {
    let scene = scene();
    let mut conn = Conn::to(scene.sidekey.proxy);
    for round in 1..=3 {
        conn.send(scene.head(&round.to_string()));
        assert_eq!(conn.response().text(), format!("for /{round}"));
        scene.rests(round);
    }
}

#[test]
fn half_a_head_that_came_before_the_rest_is_not_lost() {
    let scene = scene();
    let mut conn = Conn::to(scene.sidekey.proxy);
    let second = scene.head("second");
    let (half, rest) = second.split_at(20);
    conn.send(scene.head("first") + half);
    assert_eq!(conn.response().text(), "for /first");
    // Long enough for another one, which has nothing to wait for.
    let mut other = Conn::to(scene.sidekey.proxy);
    other.send(scene.head("other"));
    assert_eq!(other.response().text(), "for /other");
    scene.rests(1);
    conn.send(rest);
    assert_eq!(conn.response().text(), "for /second");
}

#[test]
fn half_a_head_that_came_with_a_request_has_the_time_of_a_head() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let conf = Conf::new(&auth, &upstream).top("limits: {header_timeout: 1s, idle_timeout: 10m}");
    let sidekey = Sidekey::run(&conf);
    let mut conn = Conn::to(sidekey.proxy);
    let head = format!("GET /api/ HTTP/1.1\r\nHost: {}\r\n\r\n", sidekey.proxy);
    conn.send(format!("{head}GET /api/ HTTP/1.1\r\n"));
    assert_eq!(conn.response().text(), "content");
    assert!(conn.closed());
}

#[test]
fn a_connection_closed_while_it_rests_leaves_nothing_behind() {
    let scene = scene();
    let mut conn = Conn::to(scene.sidekey.proxy);
    conn.send(scene.head("1"));
    assert_eq!(conn.response().status, 200);
    scene.rests(1);
    let open = || scene.sidekey.metric("sidekey_connections", &[]);
    assert!(open() >= 1.0);
    drop(conn);
    eventually("the connection is gone", || open() == 0.0);
}

/// Takes nothing of the body, answers all the same when it is told to, and keeps
/// the connection open.
fn answers_without_reading(go: mpsc::Receiver<()>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            go.recv().unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
            open.push(stream);
        }
    });
    address
}

#[test]
fn a_body_that_is_still_to_come_is_never_read_as_a_request() {
    let auth = AuthServer::start();
    let (go, told) = mpsc::channel();
    let upstream = answers_without_reading(told);
    let conf = Conf::at(&auth.endpoint(), &format!("http://{upstream}/"))
        .log("{level: trace}")
        .top("limits: {idle_timeout: 4s}");
    let sidekey = Sidekey::run(&conf);
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000000\r\n\r\n",
        sidekey.proxy
    ));
    // More than all buffers on the way take: sidekey has stopped reading.
    let patience = Some(Duration::from_millis(500));
    conn.stream.set_write_timeout(patience).unwrap();
    let body = vec![b'x'; 1 << 20];
    while conn.stream.write(&body).is_ok() {}
    go.send(()).unwrap();
    assert_eq!(conn.response().text(), "ok");
    // It is closed as one that is silent; until then nothing more is answered.
    let rest = conn.rest();
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert!(!sidekey.logs().contains("rests"));
}

#[test]
fn a_connection_that_ends_slowly_ends_all_the_same() {
    let auth = AuthServer::start();
    let chunked = |length: usize| {
        let mut body = format!("{length:x}\r\n").into_bytes();
        body.resize(body.len() + length, b'y');
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        [&head[..], &body, b"\r\n0\r\n\r\n"].concat()
    };
    let upstream = Server::start(move |request| {
        Answer::raw(chunked(
            request.target.trim_start_matches('/').parse().unwrap(),
        ))
    });
    let conf = Conf::new(&auth, &upstream).log("{level: trace}");
    let sidekey = Sidekey::run(&conf);
    // Of these some end while a little is left that the caller does not take.
    let lengths = (1..40).map(|n| n * 16 * 1024);
    let open: Vec<_> = lengths
        .map(|length| (slow_caller(sidekey.proxy, length), length))
        .collect();
    let mut other = Conn::to(sidekey.proxy);
    assert_eq!(other.get("/api/2").status, 200);
    eventually("another connection rests", || {
        sidekey.logs().contains("rests")
    });
    for (mut stream, length) in open {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let body = answer.iter().filter(|byte| **byte == b'y').count();
        assert_eq!(body, length);
    }
}

/// Asks by HTTP/1.0, whose answer ends with the connection, and takes little.
fn slow_caller(proxy: std::net::SocketAddr, length: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(&proxy.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let request = format!("GET /api/{length} HTTP/1.0\r\nHost: {proxy}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}
