//! Limits on how much of something there is at once: requests, connections of
//! one caller, connections to an upstream and the requests that wait for one.

use crate::support::authority::Authority;
use crate::support::feature::shown;
use crate::support::real::{Http2Nginx, output};
use crate::support::{
    Answer, AuthServer, Conf, Conn, Gate, Response, Server, Sidekey, eventually, get,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread::{JoinHandle, spawn};

fn is_overloaded(answer: &Response) -> bool {
    answer.status == 503 && answer.header("Sidekey-Error") == Some("overloaded")
}

/// Answers `/held…` once the gate opens, and everything else at once.
fn holding(gate: &Gate) -> Server {
    let gate = gate.clone();
    Server::start(move |request| match request.target.starts_with("/held") {
        true => Answer::ok("held").after(&gate),
        false => Answer::ok("free"),
    })
}

/// A request that is held at the upstream, on its own connection.
fn held(sidekey: &Sidekey, target: &str) -> JoinHandle<Response> {
    let (proxy, target) = (sidekey.proxy, target.to_owned());
    spawn(move || get(proxy, &target))
}

#[test]
fn past_the_limit_a_request_is_answered_at_once() {
    let (auth, gate) = (AuthServer::start(), Gate::closed());
    let upstream = holding(&gate);
    let conf = Conf::new(&auth, &upstream).top("limits: {requests: 3}");
    let sidekey = Sidekey::run(&conf);
    let running: Vec<_> = (0..3).map(|_| held(&sidekey, "/api/held")).collect();
    eventually("three run", || gate.came() == 3);
    let mut conn = Conn::to(sidekey.proxy);
    let refused = conn.get("/api/free");
    assert!(is_overloaded(&refused), "{}", refused.text());
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert!(refused.text().contains("limits.requests"));
    gate.open();
    for answer in running {
        assert_eq!(answer.join().unwrap().text(), "held");
    }
    // The connection was not closed, and whoever has had an answer counts no more.
    eventually("room for another", || conn.get("/api/free").status == 200);
    let labels = [("reason", "overloaded")];
    assert!(sidekey.metric("sidekey_refused_total", &labels) >= 1.0);
}

#[test]
fn an_answer_counts_until_its_end_and_a_caller_that_is_gone_does_not() {
    let (auth, gate) = (AuthServer::start(), Gate::closed());
    let halfway = gate.clone();
    let upstream = Server::start(move |_| Answer::ok("a body").halfway(&halfway));
    let conf = Conf::new(&auth, &upstream).top("limits: {requests: 1}");
    let sidekey = Sidekey::run(&conf);
    let mut first = Conn::to(sidekey.proxy);
    first.ask("/api/");
    first.skip_head();
    assert!(is_overloaded(&sidekey.get("/api/")));
    drop(first);
    eventually("its place is free", || {
        let mut next = Conn::to(sidekey.proxy);
        next.ask("/api/");
        next.until("\r\n\r\n").starts_with("HTTP/1.1 200")
    });
}

#[test]
fn h2load_runs_into_the_limit_and_is_told_so() {
    let (auth, gate) = (AuthServer::start(), Gate::closed());
    let upstream = holding(&gate);
    let conf = Conf::new(&auth, &upstream).top("limits: {requests: 8}");
    let sidekey = Sidekey::run(&conf);
    let running: Vec<_> = (0..8).map(|_| held(&sidekey, "/api/held")).collect();
    eventually("eight run", || gate.came() == 8);
    let load = |expected: &str| {
        let mut h2load = Command::new("h2load");
        h2load.args(["-n", "200", "-c", "2", "-m", "4"]);
        let said = output(h2load.arg(format!("http://{}/api/free", sidekey.proxy)));
        assert!(said.contains(expected), "{said}");
    };
    load("0 2xx, 0 3xx, 0 4xx, 200 5xx");
    gate.open();
    for answer in running {
        answer.join().unwrap();
    }
    // Eight streams at once are what may run.
    eventually("room", || sidekey.get("/api/free").status == 200);
    load("200 2xx, 0 3xx, 0 4xx, 0 5xx");
    shown(
        "HTTP/2",
        "requests at once, limited (503)",
        "h2load",
        "an HTTP/1.1 server",
    );
}

#[test]
fn a_websocket_is_a_connection_and_no_request() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| match request.header("upgrade") {
        Some(_) => Answer::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        ),
        None => Answer::ok("free"),
    });
    let conf = Conf::new(&auth, &upstream).top("limits: {requests: 1}");
    let sidekey = Sidekey::run(&conf);
    let mut tunnel = Conn::to(sidekey.proxy);
    tunnel.send(format!(
        "GET /api/ HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        sidekey.proxy
    ));
    assert!(tunnel.until("\r\n\r\n").starts_with("HTTP/1.1 101"));
    eventually("a request beside it", || sidekey.get("/api/").status == 200);
}

#[test]
fn a_caller_has_so_many_connections_and_others_have_theirs() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top("limits: {connections_per_caller: 2}");
    let yaml = conf.yaml();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("proxy.sock");
    let listeners = format!(
        "listen: [{{address: \"127.0.0.1:@PROXY@\"}}, {{address: \"unix:{}\"}}]",
        socket.display()
    );
    let yaml = yaml.replace("listen: 127.0.0.1:@PROXY@\n", &format!("{listeners}\n"));
    let sidekey = Sidekey::run_yaml(&yaml);
    let mut open: Vec<_> = (0..2).map(|_| Conn::to(sidekey.proxy)).collect();
    for conn in &mut open {
        assert_eq!(conn.get("/api/").status, 200);
    }
    let mut third = Conn::to(sidekey.proxy);
    let refused = third.response();
    assert!(is_overloaded(&refused), "{}", refused.text());
    assert!(refused.text().contains("connections_per_caller"));
    assert!(third.closed());
    // Another caller: the user of the Unix socket, who has a number of its own.
    let ask = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(b"GET /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (stream, String::from_utf8_lossy(&head).into_owned())
    };
    let users = [ask(), ask()];
    assert!(users.iter().all(|(_, said)| said == "HTTP/1.1 200"));
    assert_eq!(ask().1, "HTTP/1.1 503");
    drop((users, open));
    eventually("room for another", || {
        ask().1 == "HTTP/1.1 200" && sidekey.get("/api/").status == 200
    });
}

#[test]
fn requests_wait_for_a_connection_in_their_order() {
    let (auth, gate) = (AuthServer::start(), Gate::closed());
    let upstream = holding(&gate);
    let conf = Conf::new(&auth, &upstream)
        .top("limits: {pool_connections_per_origin: 1, pool_queue: 3}")
        .top("workers: {count: 1}")
        .route("connect_timeout: 60s");
    let sidekey = Sidekey::run(&conf);
    let first = held(&sidekey, "/api/held");
    eventually("it is held", || gate.came() == 1);
    // Each is in the queue before the next comes: the process has no more to do.
    let mut queued = Vec::new();
    for nth in 0..3 {
        let mut conn = Conn::to(sidekey.proxy);
        conn.ask(&format!("/api/{nth}"));
        queued.push(conn);
        eventually("it was taken", || {
            sidekey.metric("sidekey_connections", &[]) == f64::from(nth) + 2.0
        });
        settled(&sidekey);
    }
    let full = sidekey.get("/api/more");
    assert!(is_overloaded(&full), "{}", full.text());
    assert_eq!(full.header("Retry-After"), Some("1"));
    assert!(full.text().contains("limits.pool_queue"), "{}", full.text());
    // One that hangs up leaves the queue to others.
    drop(queued.remove(1));
    eventually("it is gone", || {
        sidekey.metric("sidekey_connections", &[]) == 3.0
    });
    let mut last = Conn::to(sidekey.proxy);
    last.ask("/api/3");
    queued.push(last);
    eventually("it was taken", || {
        sidekey.metric("sidekey_connections", &[]) == 4.0
    });
    settled(&sidekey);
    gate.open();
    assert_eq!(first.join().unwrap().text(), "held");
    for conn in &mut queued {
        assert_eq!(conn.response().text(), "free");
    }
    let came: Vec<_> = upstream
        .requests()
        .iter()
        .map(|r| r.target.clone())
        .collect();
    assert_eq!(came, ["/held", "/0", "/2", "/3"]);
    assert_eq!(upstream.connections(), 1);
}

/// Returns once the one worker has taken up everything that came before: it has
/// served a request that needs no upstream, on a connection made since.
fn settled(sidekey: &Sidekey) {
    for _ in 0..3 {
        assert_eq!(sidekey.get("/nowhere").status, 404);
    }
}

#[test]
fn whoever_waits_in_vain_is_told_so() {
    let (auth, gate) = (AuthServer::start(), Gate::closed());
    let upstream = holding(&gate);
    let conf = Conf::new(&auth, &upstream)
        .top("limits: {pool_connections_per_origin: 1}")
        .top("workers: {count: 1}")
        .route("connect_timeout: 300ms");
    let sidekey = Sidekey::run(&conf);
    let first = held(&sidekey, "/api/held");
    eventually("it is held", || gate.came() == 1);
    let refused = sidekey.get("/api/free");
    assert!(is_overloaded(&refused), "{}", refused.text());
    assert!(refused.text().contains("became free"), "{}", refused.text());
    gate.open();
    first.join().unwrap();
    assert_eq!(sidekey.get("/api/free").text(), "free");
}

#[test]
fn a_connection_that_ends_makes_room() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("once").header("Connection", "close").close());
    let conf = Conf::new(&auth, &upstream)
        .top("limits: {pool_connections_per_origin: 2}")
        .top("workers: {count: 1}")
        .route("connect_timeout: 60s");
    let sidekey = Sidekey::run(&conf);
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let proxy = sidekey.proxy;
            spawn(move || {
                let mut conn = Conn::to(proxy);
                (0..20).all(|_| conn.get("/api/").text() == "once")
            })
        })
        .collect();
    for caller in callers {
        assert!(caller.join().unwrap());
    }
}

#[test]
fn many_share_few_connections_and_none_waits_for_ever() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream)
        .top("limits: {pool_connections_per_origin: 2}")
        .top("workers: {count: 1}")
        .route("connect_timeout: 60s");
    let sidekey = Sidekey::run(&conf);
    let mut h2load = Command::new("h2load");
    h2load.args(["-n", "2000", "-c", "4", "-m", "50"]);
    let said = output(h2load.arg(format!("http://{}/api/", sidekey.proxy)));
    assert!(said.contains("2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
    assert!(upstream.connections() <= 2, "{}", upstream.connections());
    shown(
        "HTTP/2",
        "connections to an origin, limited",
        "h2load",
        "an HTTP/1.1 server",
    );
}

#[test]
fn many_share_one_http2_connection_to_nginx() {
    let auth = AuthServer::start();
    let gone = auth.upstream();
    let authority = Authority::new("the authority");
    let pair = authority.issue(&["localhost"]);
    let nginx = Http2Nginx::start(gone.address, &pair.certificate, &pair.key);
    let conf = Conf::at(&auth.endpoint(), &format!("h2c://{}/", nginx.plain))
        .top("limits: {pool_connections_per_origin: 1}")
        .top("workers: {count: 1}")
        .route("connect_timeout: 60s");
    let sidekey = Sidekey::run(&conf);
    let mut h2load = Command::new("h2load");
    // More at once than nginx takes on a connection (128).
    h2load.args(["-n", "3000", "-c", "5", "-m", "90"]);
    let said = output(h2load.arg(format!("http://{}/api/", sidekey.proxy)));
    assert!(said.contains("3000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
    shown(
        "HTTP/2 upstream",
        "connections to an origin, limited",
        "h2load",
        "nginx",
    );
}

#[test]
fn a_websocket_takes_the_place_of_an_idle_connection() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| match request.header("upgrade") {
        Some(_) => Answer::new(403),
        None => Answer::ok("free"),
    });
    let conf = Conf::new(&auth, &upstream)
        .top("limits: {pool_connections_per_origin: 1}")
        .top("workers: {count: 1}")
        .route("connect_timeout: 60s");
    let sidekey = Sidekey::run(&conf);
    for _ in 0..3 {
        assert_eq!(sidekey.get("/api/").text(), "free");
        let fields = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let fields: String = fields
            .iter()
            .map(|(n, v)| format!("{n}: {v}\r\n"))
            .collect();
        let mut conn = Conn::of(TcpStream::connect(sidekey.proxy).unwrap());
        conn.send(format!(
            "GET /api/ HTTP/1.1\r\nHost: {}\r\n{fields}\r\n",
            sidekey.proxy
        ));
        assert_eq!(conn.response().status, 403);
    }
}
