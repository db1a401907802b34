//! WebSockets and event streams between real clients and servers, nginx in the
//! middle; and what large bodies past slow readers take of memory.

use crate::support::feature::shown;
use crate::support::real::{Nginx, file, output, python, serving};
use crate::support::relay::Relay;
use crate::support::{AuthServer, Conf, Conn, Scripted, Sidekey, call};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

struct Parts {
    auth: AuthServer,
    sidekey: Sidekey,
    server: SocketAddr,
    _running: (crate::support::real::Part, Nginx),
}

fn started(name: &'static str, command: impl FnOnce(u16) -> Command) -> Parts {
    let (server, part) = serving(name, command);
    let nginx = Nginx::plain(server);
    let auth = AuthServer::start();
    let conf = Conf::at(&auth.endpoint(), &format!("http://{}/", nginx.address));
    Parts {
        auth,
        sidekey: Sidekey::run(&conf),
        server,
        _running: (part, nginx),
    }
}

fn websockets() -> Parts {
    started("websockets", |port| {
        let mut server = python("websocket.py");
        server.arg("serve").arg(port.to_string());
        server
    })
}

fn events() -> Parts {
    started("events", event_server)
}

fn event_server(port: u16) -> Command {
    let mut server = Command::new("node");
    server.arg(file("events.mjs")).arg(port.to_string());
    server
}

/// curl at the event stream, and the lines that it writes.
fn listening(sidekey: &Sidekey, version: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut curl = Command::new("curl")
        .args(["-sSN", "--noproxy", "*", version])
        .arg(format!("http://{}/api/events", sidekey.proxy))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    (curl, lines.map(Result::unwrap))
}

/// The next event, whole.
fn comes(number: usize, lines: &mut impl Iterator<Item = String>) {
    let wanted = [
        format!("id: {number}"),
        format!("data: {number}"),
        String::new(),
    ];
    for line in wanted {
        assert_eq!(lines.next(), Some(line));
    }
}

fn next(server: SocketAddr) {
    assert_eq!(call(server, "POST", "/next", &[], b"").status, 204);
}

#[test]
fn pythons_websockets_at_both_ends() {
    let parts = websockets();
    let url = format!("ws://{}/api/chat?a=b", parts.sidekey.proxy);
    let said = output(python("websocket.py").arg("call").arg(url));
    let token = parts.auth.token();
    assert_eq!(said, format!("/chat?a=b Bearer {token}\n1000\n"));
    let what = "handshake with a token, messages, close";
    shown(
        "WebSocket",
        what,
        "Python websockets",
        "nginx before Python websockets",
    );
}

#[test]
fn nodes_websocket_at_a_python_server() {
    let parts = websockets();
    let url = format!("ws://{}/api/chat", parts.sidekey.proxy);
    let mut node = Command::new("node");
    // Newer ones have it without.
    node.arg("--experimental-websocket");
    let said = output(node.arg(file("websocket.mjs")).arg(url));
    let token = parts.auth.token();
    assert_eq!(said, format!("/chat Bearer {token}\nthe same\n1000 true\n"));
    let what = "handshake with a token, messages, close";
    shown(
        "WebSocket",
        what,
        "Node WebSocket",
        "nginx before Python websockets",
    );
}

#[test]
fn each_event_reaches_curl_before_the_next_is_sent() {
    let parts = events();
    let (mut curl, mut lines) = listening(&parts.sidekey, "--http1.1");
    for number in 1..6 {
        comes(number, &mut lines);
        next(parts.server);
    }
    curl.kill().unwrap();
    curl.wait().unwrap();
    let what = "each event before the next is sent";
    shown("Server-sent events", what, "curl", "nginx before Node http");
}

/// Each kind of relay, by both versions to it and from the caller.
#[test]
fn each_event_passes_haproxy_and_envoy_at_once() {
    let (server, _part) = serving("events", event_server);
    let auth = AuthServer::start();
    for relay in [Relay::haproxy(server), Relay::envoy(server)] {
        for (scheme, address, said) in [
            ("http", relay.plain, "HTTP/1.1"),
            ("h2c", relay.h2c, "HTTP/2"),
        ] {
            let upstream = format!("{scheme}://{address}/");
            let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), &upstream));
            for version in ["--http1.1", "--http2-prior-knowledge"] {
                let (mut curl, mut lines) = listening(&sidekey, version);
                for number in 1..4 {
                    comes(number, &mut lines);
                    next(server);
                }
                curl.kill().unwrap();
                curl.wait().unwrap();
            }
            let what = "each event before the next is sent";
            let upstream = format!("{}, {said}, before Node http", relay.name);
            shown("Server-sent events", what, "curl", &upstream);
        }
    }
}

#[test]
fn an_event_stream_of_curl_ends_well_when_its_token_is_replaced() {
    let (server, _part) = serving("events", event_server);
    let nginx = Nginx::plain(server);
    let auth = AuthServer::start();
    let judge = auth.upstream();
    let conf = Conf::at(&auth.endpoint(), &format!("http://{}/", nginx.address));
    let conf = conf.route("on_expiry: close").route("expiry_grace: 60s");
    let judged = format!(
        "  - {{name: judged, path: /judged/, upstream: \"{}/\", account: one}}\n",
        judge.url()
    );
    let sidekey = Sidekey::run_yaml(&(conf.yaml() + &judged));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let (mut curl, mut lines) = listening(&sidekey, version);
        comes(1, &mut lines);
        next(server);
        comes(2, &mut lines);
        auth.revoke();
        assert_eq!(call(sidekey.proxy, "GET", "/judged/", &[], b"").status, 200);
        assert_eq!(lines.next(), None);
        assert!(curl.wait().unwrap().success(), "an end, and no break");
    }
    let what = "on_expiry: close, the end of a stream between two events";
    shown("Server-sent events", what, "curl", "nginx before Node http");
}

#[test]
fn each_event_reaches_node_and_python_before_the_next_is_sent() {
    let parts = events();
    let stream = format!("http://{}/api/events", parts.sidekey.proxy);
    let next = format!("http://{}/next", parts.server);
    let mut node = Command::new("node");
    node.arg(file("listen.mjs"));
    for client in [&mut node, &mut python("listen.py")] {
        let said = output(client.arg(&stream).arg(&next));
        assert_eq!(said.trim(), "text/event-stream 5");
    }
    for client in ["Node fetch", "Python requests"] {
        let what = "each event before the next is sent";
        shown("Server-sent events", what, client, "nginx before Node http");
    }
}

/// Bytes of a large body, and of a part of it that the reader takes at once.
const LARGE: usize = 2 << 30;
const STEP: usize = 4 * 1024 * 1024;
/// What the process may hold more than before, in KiB.
const MORE: u64 = 32 * 1024;

/// A large body from one end to the other. The reader takes a part only after
/// the process has been looked at; gives the most that it held, in KiB.
fn carry(sidekey: &Sidekey, mut from: Conn, mut to: Conn) -> u64 {
    let sender = std::thread::spawn(move || {
        let part = vec![b'x'; STEP];
        for _ in 0..LARGE / STEP {
            from.stream.write_all(&part).unwrap();
        }
        from
    });
    let mut part = vec![0; STEP];
    let mut most = 0;
    let rest = to.take_buffered();
    let mut left = LARGE - rest.len();
    while left > 0 {
        most = most.max(sidekey.memory("VmRSS"));
        let length = left.min(STEP);
        to.stream.read_exact(&mut part[..length]).unwrap();
        assert!(part[..length].iter().all(|byte| *byte == b'x'));
        left -= length;
    }
    sender.join().unwrap();
    most
}

fn carrying() -> (AuthServer, Scripted, Sidekey) {
    let auth = AuthServer::start();
    let upstream = Scripted::start();
    let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), &upstream.url()));
    (auth, upstream, sidekey)
}

#[test]
fn a_large_upload_past_a_slow_upstream_takes_no_memory() {
    let (_auth, upstream, sidekey) = carrying();
    let mut caller = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    let before = sidekey.memory("VmRSS");
    caller.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: {LARGE}\r\n\r\n"
    ));
    let (reader, _) = upstream.request();
    let most = carry(&sidekey, caller, reader);
    assert!(most < before + MORE, "{before} KiB before, {most} KiB then");
}

#[test]
fn a_large_answer_past_a_slow_caller_takes_no_memory() {
    let (_auth, upstream, sidekey) = carrying();
    let mut caller = Conn::to(sidekey.proxy);
    caller.ask("/api/");
    let (mut sender, _) = upstream.request();
    let before = sidekey.memory("VmRSS");
    sender.send(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"
    ));
    caller.skip_head();
    let most = carry(&sidekey, sender, caller);
    assert!(most < before + MORE, "{before} KiB before, {most} KiB then");
}

#[test]
fn a_large_message_past_a_slow_reader_takes_no_memory() {
    let (_auth, upstream, sidekey) = carrying();
    let mut caller = crate::support::scripted::ask(sidekey.proxy, "/api/", "");
    let (mut server, _) = upstream.websocket();
    assert_eq!(caller.response().status, 101);
    let before = sidekey.memory("VmRSS");
    // One frame of this length, to the caller.
    server.send([&[0x82, 127][..], &(LARGE as u64).to_be_bytes()].concat());
    assert_eq!(caller.exactly(10)[..2], [0x82, 127]);
    let most = carry(&sidekey, server, caller);
    assert!(most < before + MORE, "{before} KiB before, {most} KiB then");
}
