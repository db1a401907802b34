//! nginx and gRPC's own server as upstreams over HTTP/2.

use crate::support::feature::shown;
use crate::support::real::{GrpcServer, Http2Nginx, file};
use crate::support::sidekey::Launch;
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey, call};
use std::process::Command;
use std::thread;

/// A certificate for this machine, of an authority of its own: both, and the
/// certificate's key.
fn certificate() -> (String, String, String) {
    let mut authority = rcgen::CertificateParams::new([]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap().pem();
    (root, leaf, key.serialize_pem())
}

struct Parts {
    auth: AuthServer,
    behind: Server,
    nginx: Http2Nginx,
    root: tempfile::NamedTempFile,
}

impl Parts {
    fn start() -> Self {
        let auth = AuthServer::start();
        let live = auth.checker();
        let behind = Server::start(move |request| match live(request) {
            true => Answer::ok(request.body.clone()),
            false => Answer::rejected(),
        });
        let (root, leaf, key) = certificate();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), root).unwrap();
        Self {
            nginx: Http2Nginx::start(behind.address, &leaf, &key),
            auth,
            behind,
            root: file,
        }
    }

    fn sidekey(&self, upstream: &str, route: &str) -> Sidekey {
        let conf = Conf::at(&self.auth.endpoint(), upstream).route(route);
        let trust = self.root.path().display().to_string();
        let mut sidekey = Sidekey::launch(&Launch {
            yaml: conf.top("workers: {count: 1}").yaml(),
            environment: vec![("SSL_CERT_FILE".into(), trust)],
            ..Launch::default()
        });
        sidekey.wait_for("/readyz");
        sidekey
    }
}

/// What nginx says of a request: the protocol, its connection, the host.
fn said(sidekey: &Sidekey) -> (String, String, String) {
    let answer = sidekey.get("/api/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let mut words = text.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap();
    (word(), word(), word())
}

#[test]
fn nginx_is_spoken_to_in_http2_with_tls_and_without() {
    let parts = Parts::start();
    let plain = format!("h2c://{}/", parts.nginx.plain);
    let tls = format!("https://localhost:{}/", parts.nginx.tls.port());
    for (upstream, host) in [
        (&plain, parts.nginx.plain.to_string()),
        (&tls, format!("localhost:{}", parts.nginx.tls.port())),
    ] {
        let sidekey = parts.sidekey(upstream, "replay_body_limit: 2MiB");
        let first = said(&sidekey);
        assert_eq!((first.0.as_str(), &first.2), ("HTTP/2.0", &host));
        assert_eq!(said(&sidekey).1, first.1, "the same connection");
        let body: Vec<u8> = (0..1_500_000u32).map(|n| (n % 253) as u8).collect();
        parts.auth.revoke();
        let answer = call(sidekey.proxy, "POST", "/api/echo", &[], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.body == body, "{upstream}");
    }
    assert_eq!(parts.behind.count(), 4);
}

#[test]
fn http2_is_not_offered_where_it_is_off() {
    let parts = Parts::start();
    let tls = format!("https://localhost:{}/", parts.nginx.tls.port());
    let sidekey = parts.sidekey(&tls, "http2: off");
    assert_eq!(said(&sidekey).0, "HTTP/1.1");
}

#[test]
fn many_callers_of_http1_share_few_connections() {
    let parts = Parts::start();
    let sidekey = parts.sidekey(&format!("h2c://{}/", parts.nginx.plain), "timeout: 60s");
    let calls: Vec<_> = (0..32)
        .map(|n: u8| {
            let proxy = sidekey.proxy;
            thread::spawn(move || {
                for _ in 0..10 {
                    let body = vec![n; 40_000];
                    let answer = call(proxy, "POST", "/api/echo", &[], &body);
                    assert!(answer.status == 200 && answer.body == body, "{n}");
                }
            })
        })
        .collect();
    for call in calls {
        call.join().unwrap();
    }
}

#[test]
fn grpc_of_every_kind_and_a_token_that_is_rejected() {
    let auth = AuthServer::start();
    let server = GrpcServer::start();
    let conf = Conf::at(&auth.endpoint(), &format!("h2c://{}/", server.address));
    let sidekey = Sidekey::run_yaml(&conf.yaml().replace("path: /api/", "path: /"));
    let mut python = Command::new(file(".venv/bin/python"));
    python.arg(file("grpc_client.py"));
    let output = python.arg(sidekey.proxy.to_string()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({
        "unary": "hello",
        "trailers": ["5", "00ff"],
        "large": 3_000_000,
        "server_stream": ["0", "1", "2", "3", "4"],
        "client_stream": "abc",
        "bidi": ["eno", "owt", "eerht"],
        "bidi_end": "the end",
        "fails": ["FAILED_PRECONDITION", "50 % Wörter"],
        "late": ["UNAUTHENTICATED", "too late"],
        "unknown": "UNIMPLEMENTED",
        "slow": "DEADLINE_EXCEEDED",
        "seen": [
            ["/t.T/Unary", "tk1"], ["/t.T/Unary", "tk2"], ["/t.T/Unary", "tk2"],
            ["/t.T/ServerStream", "tk2"], ["/t.T/ClientStream", "tk2"], ["/t.T/Bidi", "tk2"],
            ["/t.T/Fails", "tk2"], ["/t.T/Late", "tk2"], ["/t.T/Nothing", "tk2"],
            ["/t.T/Slow", "tk2"], ["cancelled", ""],
        ],
    });
    assert_eq!(said, expected);
    assert_eq!(auth.count(), 2, "one refresh");
    let what = "unary, streams of every kind, trailers, deadline, a replay after UNAUTHENTICATED";
    shown("gRPC", what, "Python grpcio", "Python grpcio");
}
