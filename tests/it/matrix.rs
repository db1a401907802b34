//! Real callers through sidekey to real servers, each with each; and real
//! servers in front of it.

use crate::support::feature::shown;
use crate::support::real::{file, output};
use crate::support::relay::Relay;
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// What each round of calls consists of (`tests/real/callers`).
const ROUND: &str = "GET, HEAD, POST, upload in pieces, a replay after a 401";

/// What is behind every relay: says what came, to those with a live token.
fn behind(auth: &AuthServer) -> Server {
    let live = auth.checker();
    Server::start(move |request| match live(request) {
        true => Answer::ok(format!(
            "{} {} {}",
            request.method,
            request.target,
            request.body.len()
        )),
        false => Answer::rejected(),
    })
}

fn sidekey(auth: &AuthServer, upstream: &str) -> Sidekey {
    let conf = Conf::at(&auth.endpoint(), upstream).route("replay_body_limit: 1MiB");
    Sidekey::run(&conf)
}

/// A caller that fails on a wrong answer.
struct Caller {
    name: &'static str,
    protocol: &'static str,
    command: fn(&str) -> Command,
}

const CALLERS: [Caller; 8] = [
    Caller {
        name: "curl",
        protocol: "HTTP/1.1",
        command: |base| curl(base, "--http1.1"),
    },
    Caller {
        name: "Python requests",
        protocol: "HTTP/1.1",
        command: |base| python(base, "requests"),
    },
    Caller {
        name: "Python httpx",
        protocol: "HTTP/1.1",
        command: |base| python(base, "httpx"),
    },
    Caller {
        name: "Node fetch",
        protocol: "HTTP/1.1",
        command: |base| node(base, "fetch"),
    },
    Caller {
        name: "Java HttpClient",
        protocol: "HTTP/1.1",
        command: java,
    },
    Caller {
        name: "curl",
        protocol: "HTTP/2",
        command: |base| curl(base, "--http2-prior-knowledge"),
    },
    Caller {
        name: "Python httpx",
        protocol: "HTTP/2",
        command: |base| python(base, "httpx-h2"),
    },
    Caller {
        name: "Node http2",
        protocol: "HTTP/2",
        command: |base| node(base, "http2"),
    },
];

fn curl(base: &str, version: &str) -> Command {
    let mut sh = Command::new("sh");
    sh.arg(file("callers/calls.sh")).arg(version).arg(base);
    sh
}

fn python(base: &str, library: &str) -> Command {
    let mut python = Command::new(file(".venv/bin/python"));
    python.arg(file("callers/calls.py")).arg(library).arg(base);
    python
}

fn node(base: &str, how: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(file("callers/calls.mjs")).arg(how).arg(base);
    node
}

fn java(base: &str) -> Command {
    static CLASSES: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let classes = tempfile::tempdir().unwrap();
        let mut javac = Command::new("javac");
        javac.arg("-d").arg(classes.path());
        output(javac.arg(file("callers/Calls.java")));
        classes
    });
    let mut java = Command::new("java");
    let classes: &Path = CLASSES.path();
    java.arg("-cp").arg(classes).arg("Calls").arg(base);
    java
}

/// Every caller, each with a token that the upstream takes no longer.
fn everybody_calls(auth: &AuthServer, proxy: SocketAddr, through: &str, upstream: &str) {
    // What is in front here takes HTTP/1.1 alone where there is no TLS.
    let all = CALLERS.iter();
    for caller in all.filter(|caller| through.is_empty() || caller.protocol == "HTTP/1.1") {
        let before = auth.count();
        auth.revoke();
        let said = output(&mut (caller.command)(&format!("http://{proxy}/api")));
        assert!(said.contains("done"), "{}: {said}", caller.name);
        assert_eq!(auth.count(), before + 1, "{}: one refresh", caller.name);
        let name = format!("{}{through}", caller.name);
        shown(caller.protocol, ROUND, &name, upstream);
    }
}

fn to(relay: fn(SocketAddr) -> Relay) {
    let auth = AuthServer::start();
    let behind = behind(&auth);
    let relay = relay(behind.address);
    for (scheme, address, version) in [
        ("http", relay.plain, "HTTP/1.1"),
        ("h2c", relay.h2c, "HTTP/2"),
    ] {
        let sidekey = sidekey(&auth, &format!("{scheme}://{address}/"));
        let upstream = format!("{}, {version}", relay.name);
        everybody_calls(&auth, sidekey.proxy, "", &upstream);
    }
}

/// What curl sends in pieces of a length that nobody knows; it asks nobody first.
fn streamed(relay: fn(SocketAddr) -> Relay) {
    let auth = AuthServer::start();
    let behind = behind(&auth);
    let relay = relay(behind.address);
    for (scheme, address, said) in [
        ("http", relay.plain, "HTTP/1.1"),
        ("h2c", relay.h2c, "HTTP/2"),
    ] {
        let sidekey = sidekey(&auth, &format!("{scheme}://{address}/"));
        let url = format!("http://{}/api/stream", sidekey.proxy);
        for (version, protocol) in [
            ("--http1.1", "HTTP/1.1"),
            ("--http2-prior-knowledge", "HTTP/2"),
        ] {
            let before = auth.count();
            auth.revoke();
            let mut sh = Command::new("sh");
            let upload = "seq 20000 | curl -sS --fail --noproxy '*' -H Expect: \"$0\" -T - \"$1\"";
            let answer = output(sh.args(["-c", upload, version, &url]));
            assert_eq!(answer, "PUT /stream 108894", "{version} to {}", relay.name);
            assert_eq!(auth.count(), before + 1, "one refresh");
            let upstream = format!("{}, {said}", relay.name);
            let what = "a body streamed in pieces, replayed after a 401";
            shown(protocol, what, "curl", &upstream);
        }
    }
}

fn from(relay: fn(SocketAddr) -> Relay) {
    let auth = AuthServer::start();
    let behind = behind(&auth);
    let upstream = Relay::nginx(behind.address);
    let sidekey = sidekey(&auth, &format!("http://{}/", upstream.plain));
    let front = relay(sidekey.proxy);
    let through = format!(" through {}", front.name);
    everybody_calls(&auth, front.plain, &through, "nginx, HTTP/1.1");
}

#[test]
fn to_nginx() {
    to(Relay::nginx);
}

#[test]
fn to_haproxy() {
    to(Relay::haproxy);
}

#[test]
fn to_envoy() {
    to(Relay::envoy);
}

#[test]
fn streamed_to_nginx() {
    streamed(Relay::nginx);
}

#[test]
fn streamed_to_haproxy() {
    streamed(Relay::haproxy);
}

#[test]
fn streamed_to_envoy() {
    streamed(Relay::envoy);
}

#[test]
fn from_nginx() {
    from(Relay::nginx);
}

#[test]
fn from_haproxy() {
    from(Relay::haproxy);
}

#[test]
fn from_envoy() {
    from(Relay::envoy);
}
