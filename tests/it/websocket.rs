//! WebSockets between peers that the test plays itself.

use crate::support::scripted::{ACCEPTED, ASKING, ask, close, frame, masked};
use crate::support::{Answer, AuthServer, Conf, Conn, Scripted, Server, Sidekey, eventually};
use std::net::Shutdown;

struct Stage {
    auth: AuthServer,
    upstream: Scripted,
    sidekey: Sidekey,
}

fn staged(change: impl FnOnce(Conf) -> Conf) -> Stage {
    let auth = AuthServer::start();
    let upstream = Scripted::start();
    let conf = change(Conf::at(&auth.endpoint(), &upstream.url()));
    let sidekey = Sidekey::run(&conf);
    Stage {
        auth,
        upstream,
        sidekey,
    }
}

impl Stage {
    /// A tunnel: its caller, its upstream.
    fn tunnel(&self) -> (Conn, Conn) {
        let mut caller = ask(self.sidekey.proxy, "/api/ws", "");
        let (upstream, _) = self.upstream.websocket();
        assert_eq!(caller.response().status, 101);
        (caller, upstream)
    }

    fn closed(&self, reason: &str) -> f64 {
        let labels = [("route", "main"), ("reason", reason)];
        self.sidekey.metric("sidekey_streams_closed_total", &labels)
    }
}

#[test]
fn a_tunnel_carries_what_both_sides_say() {
    let stage = staged(|conf| conf);
    let proxy = stage.sidekey.proxy;
    let mut caller = Conn::to(proxy);
    let early = masked("said before the answer");
    let head = format!(
        "GET /api/ws?x=y HTTP/1.1\r\nHost: {proxy}\r\n{ASKING}\
         Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    );
    caller.send([head.as_bytes(), &early].concat());
    let (mut upstream, request) = stage.upstream.request();
    assert_eq!(request.target, "/ws?x=y");
    assert_eq!(request.bearer(), Some(stage.auth.token().as_str()));
    assert_eq!(request.header("upgrade"), Some("websocket"));
    assert_eq!(request.header("connection"), Some("Upgrade"));
    assert_eq!(request.header("sec-websocket-version"), Some("13"));
    assert_eq!(request.header("sec-websocket-protocol"), Some("chat"));
    let extensions = request.header("sec-websocket-extensions");
    assert_eq!(extensions, Some("permessage-deflate"));
    upstream.send([ACCEPTED.as_bytes(), b"\x81\x05hello"].concat());
    let answer = caller.response();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection"), Some("Upgrade"));
    assert!(answer.header("sec-websocket-accept").is_some());
    assert_eq!(caller.exactly(7), b"\x81\x05hello");
    assert_eq!(upstream.exactly(early.len()), early);
    for _ in 0..10 {
        let said = masked("to and fro");
        caller.send(&said);
        assert_eq!(upstream.exactly(said.len()), said);
        upstream.send(&said);
        assert_eq!(caller.exactly(said.len()), said);
    }
    // Each side ends for itself.
    caller.stream.shutdown(Shutdown::Write).unwrap();
    assert!(upstream.closed());
    upstream.send(b"\x81\x03bye");
    drop(upstream);
    assert_eq!(caller.rest(), b"\x81\x03bye");
    let size = early.len() + 10 * masked("to and fro").len();
    let down = 7 + 5 + 10 * masked("to and fro").len();
    let line = format!(" received={size} sent={down}");
    eventually("the line of the access log", || {
        let logs = stage.sidekey.logs();
        let mut lines = logs.lines().filter(|line| line.contains(" 101 "));
        lines.any(|l| l.contains("GET /api/ws ") && l.contains("route=main") && l.contains(&line))
    });
    let labels = [("route", "main"), ("code", "101")];
    eventually("a count of it", || {
        stage.sidekey.metric("sidekey_requests_total", &labels) == 1.0
    });
}

#[test]
fn a_rejected_handshake_is_replayed_once() {
    let stage = staged(|conf| conf);
    let mut caller = ask(stage.sidekey.proxy, "/api/ws", "");
    let (mut first, request) = stage.upstream.request();
    assert_eq!(request.bearer(), Some(stage.auth.token().as_str()));
    first.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\n\r\nrejected");
    let (mut second, request) = stage.upstream.websocket();
    assert_eq!(stage.auth.count(), 2);
    assert_eq!(request.bearer(), Some(stage.auth.token().as_str()));
    assert_eq!(request.header("upgrade"), Some("websocket"));
    assert_eq!(caller.response().status, 101);
    caller.send(masked("x"));
    assert_eq!(second.exactly(7), masked("x"));
    assert!(first.closed(), "its connection is of no more use");
}

#[test]
fn an_upstream_that_wants_none_gives_its_answer() {
    let stage = staged(|conf| conf);
    let mut caller = ask(stage.sidekey.proxy, "/api/ws", "");
    let (mut upstream, _) = stage.upstream.request();
    upstream.send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
    let answer = caller.response();
    assert_eq!((answer.status, answer.text().as_str()), (404, "none"));
    // It stays a connection for HTTP.
    caller.ask("/api/next");
    let (mut upstream, request) = stage.upstream.request();
    assert_eq!(request.target, "/next");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(caller.response().text(), "ok");
}

#[test]
fn an_answer_that_proves_nothing_is_refused() {
    for (what, with) in [
        (
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ),
        ("Upgrade: websocket\r\n", "Upgrade: other\r\n"),
        ("Connection: Upgrade\r\n", ""),
    ] {
        let stage = staged(|conf| conf);
        let mut caller = ask(stage.sidekey.proxy, "/api/ws", "");
        let (mut upstream, _) = stage.upstream.request();
        upstream.send(ACCEPTED.replace(what, with));
        let answer = caller.response();
        assert_eq!(answer.problem(), "upstream_unreachable", "{what}");
        assert!(upstream.closed());
    }
}

#[test]
fn what_is_not_a_well_formed_handshake_opens_nothing() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let send = |asking: &str| {
        let mut conn = Conn::to(sidekey.proxy);
        let host = sidekey.proxy;
        conn.send(format!(
            "GET /api/ HTTP/1.1\r\nHost: {host}\r\n{asking}\r\n"
        ));
        conn.response()
    };
    for (what, with) in [
        ("Version: 13", "Version: 8"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short"),
        ("\r\nUpgrade", "\r\nContent-Length: 1\r\nUpgrade"),
    ] {
        let answer = send(&ASKING.replace(what, with));
        assert_eq!(answer.problem(), "bad_request", "{with}");
    }
    assert_eq!(upstream.count(), 0);
    for (what, with) in [
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Upgrade: websocket", "Upgrade: h2c, websocket"),
        ("Connection: Upgrade", "Connection: keep-alive"),
    ] {
        assert_eq!(send(&ASKING.replace(what, with)).status, 200, "{with}");
        assert_eq!(upstream.last().header("upgrade"), None);
        assert_eq!(upstream.last().header("connection"), None);
    }
}

#[test]
fn a_foreign_page_opens_no_websocket() {
    let stage = staged(|conf| conf.route("allow_origins: [\"https://app.example.com\"]"));
    for foreign in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: websocket\r\n",
    ] {
        let answer = ask(stage.sidekey.proxy, "/api/ws", foreign).response();
        assert_eq!(answer.problem(), "caller_not_allowed", "{foreign}");
    }
    let own = format!("Origin: http://{}\r\n", stage.sidekey.proxy);
    let allowed = "Origin: https://app.example.com\r\nSec-Fetch-Site: cross-site\r\n";
    for fields in [own.as_str(), allowed] {
        let mut caller = ask(stage.sidekey.proxy, "/api/ws", fields);
        let _upstream = stage.upstream.websocket();
        assert_eq!(caller.response().status, 101, "{fields}");
    }
}

#[test]
fn the_first_message_comes_before_the_callers() {
    let stage =
        staged(|conf| conf.route(r#"websocket_first_message: '{"op":"auth","token":"{token}"}'"#));
    let proxy = stage.sidekey.proxy;
    let mut caller = Conn::to(proxy);
    let head = format!("GET /api/ws HTTP/1.1\r\nHost: {proxy}\r\n{ASKING}\r\n");
    caller.send([head.as_bytes(), &masked("from the caller")].concat());
    let (mut upstream, _) = stage.upstream.websocket();
    let (first, message, is_masked) = frame(&mut upstream);
    assert_eq!((first, is_masked), (0x81, true));
    let message: serde_json::Value = serde_json::from_slice(&message).unwrap();
    let token = stage.auth.token();
    assert_eq!(message, serde_json::json!({"op": "auth", "token": token}));
    assert_eq!(frame(&mut upstream).1, b"from the caller");
    assert_eq!(caller.response().status, 101);
    drop((caller, upstream));
    let line = " received=21 sent=0";
    eventually("the log's line", || stage.sidekey.logs().contains(line));
    assert!(!stage.sidekey.logs().contains(&token));
}

#[test]
fn a_first_message_without_a_token_is_a_mistake() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).route("websocket_first_message: hello");
    let launch = crate::support::sidekey::Launch {
        yaml: conf.yaml(),
        ..Default::default()
    };
    let mut sidekey = Sidekey::launch(&launch);
    assert_eq!(sidekey.ended().code(), Some(1));
    assert!(
        sidekey.logs().contains("first message"),
        "{}",
        sidekey.logs()
    );
}

#[test]
fn a_silent_tunnel_ends_with_a_goodbye() {
    let stage = staged(|conf| conf.route("tunnel_idle_timeout: 300ms"));
    let (mut caller, mut upstream) = stage.tunnel();
    let (code, reason) = close(&mut caller, false);
    assert_eq!(code, 1001, "{reason}");
    assert_eq!(close(&mut upstream, true), (code, reason));
    caller.send([0x88, 0x80, 1, 2, 3, 4]);
    upstream.send([0x88, 0x00]);
    assert!(caller.closed());
    assert!(upstream.closed());
    eventually("a count of it", || stage.closed("idle") == 1.0);
}

#[test]
fn the_end_of_the_process_waits_and_then_says_goodbye() {
    let mut stage = staged(|conf| conf.top("drain: {timeout: 6s}"));
    let (mut caller, mut upstream) = stage.tunnel();
    let (mut finished, ending) = stage.tunnel();
    stage.sidekey.signal("TERM");
    // Tunnels go on for now.
    caller.send(masked("still here"));
    assert_eq!(upstream.exactly(16), masked("still here"));
    drop(ending);
    assert!(finished.closed());
    assert_eq!(close(&mut caller, false).0, 1001);
    assert_eq!(close(&mut upstream, true).0, 1001);
    assert!(stage.sidekey.ended().code().is_some());
}

#[test]
fn a_tunnel_outlives_its_route() {
    let auth = AuthServer::start();
    let upstream = Scripted::start();
    let conf = Conf::at(&auth.endpoint(), &upstream.url());
    let sidekey = Sidekey::run(&conf);
    let mut caller = ask(sidekey.proxy, "/api/ws", "");
    let (mut played, _) = upstream.websocket();
    assert_eq!(caller.response().status, 101);
    let other = Server::start(|_| Answer::ok("the other"));
    sidekey.configure(&Conf::new(&auth, &other).yaml());
    sidekey.signal("HUP");
    let reloads = "sidekey_config_reloads_total";
    eventually("the new route", || {
        sidekey.metric(reloads, &[("result", "success")]) > 0.5
    });
    assert_eq!(sidekey.get("/api/").text(), "the other");
    caller.send(masked("x"));
    assert_eq!(played.exactly(7), masked("x"));
    played.send(b"\x81\x01y");
    assert_eq!(caller.exactly(3), b"\x81\x01y");
}
