//! `Expect: 100-continue`: the upstream's word is the caller's.

use crate::support::feature::shown;
use crate::support::real::{Nginx, Oidc, Part, file, output, serving};
use crate::support::relay::Relay;
use crate::support::{Answer, AuthServer, Conf, Conn, Scripted, Server, Sidekey, eventually};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

const LENGTH: usize = 300_000;

struct Stage {
    auth: AuthServer,
    upstream: Scripted,
    sidekey: Sidekey,
    caller: Conn,
}

/// A caller that waits for a word before it sends more than is kept for a replay.
fn stage() -> Stage {
    let auth = AuthServer::start();
    let upstream = Scripted::start();
    let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), &upstream.url()));
    let mut caller = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    caller.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: {LENGTH}\r\n\
         Expect: 100-continue\r\n\r\n"
    ));
    Stage {
        auth,
        upstream,
        sidekey,
        caller,
    }
}

impl Stage {
    /// The request's head at the upstream.
    fn head(&self) -> Conn {
        let (upstream, request) = self.upstream.request();
        assert_eq!(request.header("expect"), Some("100-continue"));
        assert_eq!(request.bearer(), Some(self.auth.token().as_str()));
        upstream
    }

    /// Sends the body and reads it at the upstream, which answers.
    fn finish(&mut self, mut upstream: Conn) {
        assert_eq!(self.caller.until("\r\n\r\n"), CONTINUE);
        assert_eq!(self.caller.exactly(CONTINUE.len()), CONTINUE.as_bytes());
        let body: Vec<u8> = (0..LENGTH).map(|n| (n % 251) as u8).collect();
        let mut sending = Conn::of(self.caller.stream.try_clone().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| sending.send(&body));
            assert!(upstream.exactly(LENGTH) == body);
        });
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        assert_eq!(self.caller.response().text(), "done");
    }
}

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn the_body_comes_when_the_upstream_says_so() {
    let mut stage = stage();
    let mut upstream = stage.head();
    upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n");
    upstream.send(CONTINUE);
    stage.finish(upstream);
}

#[test]
fn a_last_word_before_the_body_is_passed_on_at_once() {
    let mut stage = stage();
    let mut upstream = stage.head();
    upstream.send("HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large");
    let answer = stage.caller.response();
    assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(stage.caller.closed());
    assert!(upstream.closed(), "and not a byte of the body");
}

#[test]
fn a_rejection_is_replayed_whatever_the_bodys_size() {
    let mut stage = stage();
    let mut first = stage.head();
    first.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\n\r\nrejected");
    let (mut second, request) = stage.upstream.request();
    assert_eq!(stage.auth.count(), 2);
    assert_eq!(request.bearer(), Some(stage.auth.token().as_str()));
    assert_eq!(request.header("expect"), Some("100-continue"));
    second.send(CONTINUE);
    stage.finish(second);
    assert!(first.closed(), "and not a byte of the body");
    let cured = [("outcome", "cured")];
    eventually("a count of it", || {
        stage.sidekey.metric("sidekey_replays_total", &cured) == 1.0
    });
}

#[test]
fn an_upstream_without_a_word_gets_the_body_all_the_same() {
    let mut stage = stage();
    let upstream = stage.head();
    stage.finish(upstream);
}

#[test]
fn hints_are_none_of_the_callers_business() {
    let auth = AuthServer::start();
    let raw = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
               HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let upstream = Server::start(move |_| Answer::raw(raw.as_bytes()));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let answer = sidekey.get("/api/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

#[test]
fn curl_and_nginx_agree_on_when_a_large_body_comes() {
    let oidc = Oidc::start();
    let behind = Server::start(|request| Answer::ok(request.body.len().to_string()));
    let nginx = Nginx::start(oidc.address, behind.address);
    let upstream = format!("http://{}/", nginx.address);
    let conf = Conf::at(&oidc.token_endpoint(), &upstream);
    let yaml = conf.yaml();
    let yaml = yaml.replace(crate::support::conf::CLIENT_ID, "basic");
    let secret = format!("client_secret: \"{}\"", Oidc::secret("basic"));
    let yaml = yaml.replace("client_secret: {env: TEST_CLIENT_SECRET}", &secret);
    let sidekey = Sidekey::run_yaml(&yaml);
    let body = vec![b'x'; 8_000_000];
    for _ in 0..2 {
        // nginx asks about the token before it lets the body come.
        oidc.revoke_all();
        let mut curl = Command::new("curl")
            .args([
                "-sS",
                "--fail",
                "--noproxy",
                "*",
                "-H",
                "Expect: 100-continue",
            ])
            .args(["--expect100-timeout", "60", "--data-binary", "@-"])
            .arg(format!("http://{}/api/", sidekey.proxy))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = curl.stdin.take().unwrap();
        stdin.write_all(&body).unwrap();
        drop(stdin);
        let output = curl.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"8000000");
        assert_eq!(oidc.issued(), 1);
    }
    assert_eq!(behind.count(), 2);
    let what = "Expect: 100-continue, a large upload replayed after a 401";
    shown("HTTP/1.1", what, "curl", "nginx, HTTP/1.1");
}

/// curl waits for a word before it sends this many bytes; gives the answer.
fn upload(relay: &Relay, length: usize) -> String {
    let auth = AuthServer::start();
    let upstream = format!("http://{}/", relay.plain);
    let conf = Conf::at(&auth.endpoint(), &upstream).route("replay_body_limit: 1MiB");
    let sidekey = Sidekey::run(&conf);
    let url = format!("http://{}/api/", sidekey.proxy);
    let mut sh = Command::new("sh");
    let command = "head -c \"$0\" /dev/zero | curl -sS --fail --noproxy '*' --data-binary @- \
                   -H 'Expect: 100-continue' --expect100-timeout 60 \"$1\"";
    let said = output(sh.args(["-c", command, &length.to_string(), &url]));
    assert_eq!(auth.count(), 2, "one replay");
    said
}

fn node() -> (SocketAddr, Part) {
    serving("expect", |port| {
        let mut server = Command::new("node");
        server.arg(file("expect.mjs")).arg(port.to_string());
        server
    })
}

/// Its word is that of the server behind it.
#[test]
fn curl_and_node_agree_on_it_through_haproxy() {
    let (behind, _part) = node();
    assert_eq!(upload(&Relay::haproxy(behind), 8_000_000), "8000000 asked");
    let what = "Expect: 100-continue, a large upload replayed after a 401";
    shown(
        "HTTP/1.1",
        what,
        "curl",
        "HAProxy, HTTP/1.1, before Node http",
    );
}

/// It gives the word itself: what it has taken is replayed as any other body is.
#[test]
fn curl_and_envoy_agree_on_when_a_body_comes() {
    let (behind, _part) = node();
    assert_eq!(upload(&Relay::envoy(behind), 100_000), "100000 came");
    let what = "Expect: 100-continue, an upload replayed after a 401";
    shown(
        "HTTP/1.1",
        what,
        "curl",
        "Envoy, HTTP/1.1, before Node http",
    );
}
