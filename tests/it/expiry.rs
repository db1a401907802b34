//! What becomes of streams whose token is no longer good.

use crate::support::scripted::{ask, close, masked};
use crate::support::{
    AuthServer, Browser, Conf, Conn, Consent, Scripted, Server, Sidekey, eventually,
};

/// Two routes to one scripted upstream, `main` with these lines and `keeps`
/// without; a third to an upstream that rejects what is not a live token.
struct Stage {
    auth: AuthServer,
    upstream: Scripted,
    _judge: Server,
    sidekey: Sidekey,
}

fn staged(life: Option<u64>, lines: &[&str]) -> Stage {
    let auth = AuthServer::start();
    auth.life(life);
    let upstream = Scripted::start();
    let judge = auth.upstream();
    let mut conf = Conf::at(&auth.endpoint(), &upstream.url()).top("workers: {count: 1}");
    for line in lines {
        conf = conf.route(line);
    }
    let more = format!(
        "  - {{name: keeps, path: /keeps/, upstream: \"{}\", account: one}}\n\
         \x20 - {{name: idles, path: /idles/, upstream: \"{}\", account: one, \
         tunnel_idle_timeout: 300ms}}\n\
         \x20 - {{name: judged, path: /judged/, upstream: \"{}/\", account: one}}\n",
        upstream.url(),
        upstream.url(),
        judge.url()
    );
    let sidekey = Sidekey::run_yaml(&format!("{}{more}", conf.yaml()));
    Stage {
        auth,
        upstream,
        _judge: judge,
        sidekey,
    }
}

impl Stage {
    fn tunnel(&self, target: &str) -> (Conn, Conn) {
        let mut caller = ask(self.sidekey.proxy, target, "");
        let (upstream, _) = self.upstream.websocket();
        assert_eq!(caller.response().status, 101);
        (caller, upstream)
    }

    /// An answer in chunks, of which this has come.
    fn stream(&self, kind: &str, first: &str) -> (Conn, Conn) {
        let mut caller = Conn::to(self.sidekey.proxy);
        caller.ask("/api/");
        let (mut upstream, _) = self.upstream.request();
        upstream.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        upstream.send(chunk(first));
        caller.until(&chunk(first));
        (caller, upstream)
    }

    /// An upstream rejects the token, and there is a new one.
    fn reject(&self) {
        self.auth.revoke();
        assert_eq!(self.sidekey.get("/judged/").status, 200);
    }

    fn closed(&self, route: &str, reason: &str) -> u64 {
        let labels = [("route", route), ("reason", reason)];
        let counted = self.sidekey.metric("sidekey_streams_closed_total", &labels);
        counted as u64
    }

    /// It is counted when both sides are done, which the peers may see first.
    fn closes(&self, count: u64, reason: &str) {
        eventually(reason, || self.closed("main", reason) == count);
    }
}

fn chunk(text: &str) -> String {
    format!("{:X}\r\n{text}\r\n", text.len())
}

#[test]
fn a_websocket_is_closed_between_frames_when_its_token_is_replaced() {
    let stage = staged(Some(3600), &["on_expiry: close", "expiry_grace: 60s"]);
    let (mut kept, mut keeping) = stage.tunnel("/keeps/");
    let (mut caller, mut upstream) = stage.tunnel("/api/");
    let said = masked("in two parts");
    caller.send(&said[..9]);
    assert_eq!(upstream.exactly(9), said[..9]);
    stage.reject();
    let (code, reason) = close(&mut caller, false);
    assert_eq!(code, 1008);
    assert!(reason.contains("replaced"), "{reason}");
    // The frame under way comes to its end, and what follows it does not.
    caller.send(&said[9..]);
    caller.send(masked("too late"));
    assert_eq!(upstream.exactly(said.len() - 9), said[9..]);
    assert_eq!(close(&mut upstream, true), (code, reason));
    caller.send([0x88, 0x80, 1, 2, 3, 4]);
    upstream.send([0x88, 0x00]);
    assert!(caller.closed());
    assert!(upstream.closed());
    stage.closes(1, "replaced");
    // The other has had the same token.
    kept.send(masked("x"));
    assert_eq!(keeping.exactly(7), masked("x"));
    assert_eq!(stage.closed("keeps", "replaced"), 0);
    let said = "was rejected and has been replaced";
    eventually(said, || stage.sidekey.logs().contains(said));
}

#[test]
fn a_token_refreshed_in_time_ends_nothing_before_the_old_one_expires() {
    let stage = staged(Some(4), &["on_expiry: close"]);
    let (mut caller, mut upstream) = stage.tunnel("/api/");
    eventually("the next token", || stage.auth.count() > 1);
    assert_eq!(close(&mut caller, false).0, 1008);
    let (_, reason) = close(&mut upstream, true);
    assert!(reason.contains("expired"), "{reason}");
    stage.closes(1, "expired");
    assert_eq!(stage.closed("main", "replaced"), 0);
}

#[test]
fn the_same_token_again_ends_nothing() {
    let stage = staged(Some(3600), &["on_expiry: close"]);
    stage.auth.repeat_token();
    let (mut same, mut upstream) = stage.tunnel("/api/");
    stage.auth.revoke();
    assert_eq!(stage.sidekey.get("/judged/").status, 401);
    assert_eq!(stage.auth.count(), 2, "it was asked for, and is the same");
    let refreshed = stage.sidekey.api("POST", "/api/accounts/one/refresh", "");
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    // The same looks that find one of these silent find whatever is to be closed.
    for _ in 0..2 {
        let (mut silent, _upstream) = stage.tunnel("/idles/");
        assert_eq!(close(&mut silent, false).0, 1001);
    }
    same.send(masked("x"));
    assert_eq!(upstream.exactly(7), masked("x"));
    assert_eq!(stage.closed("main", "replaced"), 0);
}

#[test]
fn an_event_stream_ends_between_two_events() {
    let stage = staged(Some(3600), &["on_expiry: close", "expiry_grace: 60s"]);
    let kind = "text/event-stream; charset=utf-8";
    let (mut between, _quiet) = stage.stream(kind, "data: 1\n\n");
    let (mut within, mut upstream) = stage.stream(kind, "data: 1\n\ndata: 2");
    stage.reject();
    assert_eq!(between.response().text(), "data: 1\n\n");
    // The same look has found the other, whose event is not whole yet.
    upstream.send(chunk("\ndata: 3\n\ndata: 4\n\n"));
    let whole = "data: 1\n\ndata: 2\ndata: 3\n\n";
    assert_eq!(within.response().text(), whole);
    assert!(upstream.closed());
    stage.closes(2, "replaced");
}

#[test]
fn any_other_answer_is_cut_after_its_grace() {
    let stage = staged(Some(3600), &["on_expiry: close", "expiry_grace: 0s"]);
    let (mut caller, mut upstream) = stage.stream("text/plain", "half");
    stage.reject();
    let got = caller.rest();
    assert!(
        got.ends_with(b"4\r\nhalf\r\n"),
        "and no last chunk: {got:?}"
    );
    assert!(upstream.closed());
    stage.closes(1, "replaced");
}

#[test]
fn an_answer_that_comes_to_its_end_within_its_grace_is_whole() {
    let stage = staged(Some(3600), &["on_expiry: close", "expiry_grace: 60s"]);
    let (mut events, _quiet) = stage.stream("text/event-stream", "data: 1\n\n");
    let (mut caller, mut upstream) = stage.stream("text/plain", "half");
    stage.reject();
    assert_eq!(events.response().text(), "data: 1\n\n");
    upstream.send(format!("{}0\r\n\r\n", chunk("and half")));
    assert_eq!(caller.response().text(), "halfand half");
    stage.closes(1, "replaced");
    // Its connection can be used again.
    caller.ask("/api/again");
    assert_eq!(upstream.head().target, "/again");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(caller.response().text(), "ok");
}

#[test]
fn a_disconnected_account_ends_its_streams() {
    let consent = Consent::start();
    let upstream = Scripted::start();
    let token = format!("{}/token", consent.server.url());
    let mut conf = Conf::at(&token, &upstream.url()).route("on_expiry: close");
    conf.oauth2 = consent.lines();
    let yaml = conf.yaml();
    let sidekey = Sidekey::run_yaml(&yaml.replace("      grant_type: client_credentials\n", ""));
    let begun = sidekey.api("POST", "/api/accounts/one/connect", "");
    let address = begun.json()["authorization_url"].clone();
    let consented = Browser::default().get(address.as_str().unwrap());
    let back = consented.header("location").unwrap().to_owned();
    assert_eq!(Browser::default().get(&back).status, 200);
    let mut caller = ask(sidekey.proxy, "/api/", "");
    let (mut played, _) = upstream.websocket();
    assert_eq!(caller.response().status, 101);
    let done = sidekey.api("DELETE", "/api/accounts/one", "");
    assert_eq!(done.status, 200, "{}", done.text());
    let (code, reason) = close(&mut caller, false);
    assert_eq!(code, 1008);
    assert!(reason.contains("revoked"), "{reason}");
    assert_eq!(close(&mut played, true), (code, reason));
}

#[test]
fn an_event_stream_may_be_quiet_for_longer_than_a_connection_may_be_idle() {
    let auth = AuthServer::start();
    let upstream = Scripted::start();
    let conf = Conf::at(&auth.endpoint(), &upstream.url())
        .top("limits: {idle_timeout: 3s, pool_idle_timeout: 3s}");
    let sidekey = Sidekey::run(&conf);
    let mut caller = Conn::to(sidekey.proxy);
    caller.ask("/api/");
    let (mut played, _) = upstream.request();
    played.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n");
    caller.until(": hello\n\n");
    // Idle connections that were opened since end meanwhile.
    let mut silent = Conn::to(sidekey.proxy);
    let mut idle = Conn::to(sidekey.proxy);
    idle.ask("/none");
    assert_eq!(idle.response().status, 404);
    assert!(silent.closed());
    assert!(idle.closed());
    played.send("data: late\n\n");
    caller.until("data: late\n\n");
    drop(played);
    assert!(!caller.rest().is_empty());
}
