//! Every kind of listener of one process, with real callers before it and nginx
//! behind.

use crate::support::authority::Authority;
use crate::support::feature::shown;
use crate::support::real::{Http2Nginx, Nginx};
use crate::support::sidekey::Launch;
use crate::support::tls::{self, curl, curled};
use crate::support::wait::PATIENCE;
use crate::support::{AuthServer, Conf, Server, Sidekey, free_port, local};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

const PLAIN: &str = "listen: 127.0.0.1:@PROXY@\n";
const NGINX: &str = "nginx, HTTP/1.1";

struct Stage {
    sidekey: Sidekey,
    mutual: u16,
    /// nginx with TLS, to which tunnels lead; its certificate is `authority`'s too.
    api: Http2Nginx,
    auth: AuthServer,
    _behind: (Server, Nginx),
}

impl Stage {
    fn start() -> Self {
        let auth = AuthServer::start();
        let behind = auth.echo();
        let nginx = Nginx::application(behind.address);
        let authority = Authority::new("Works CA");
        let pair = authority.issue(&["127.0.0.1"]);
        let api = Http2Nginx::start(local(1), &pair.certificate, &pair.key);
        let callers = tls::Authority::new("callers");
        let caller = callers.called("a caller");
        let mutual = free_port();
        let own = "certificate: tls.crt, key: tls.key";
        let tunnel = format!("connect: {{tunnel: [\"{}\"]}}", api.tls);
        let listen = format!(
            "listen:\n\
             \x20 - {{address: \"127.0.0.1:@PROXY@\", tls: {{{own}}}, {tunnel}}}\n\
             \x20 - {{address: \"127.0.0.1:{mutual}\", tls: {{{own}, client_ca: callers.crt}}}}\n\
             \x20 - {{address: \"unix:app.sock\", {tunnel}}}\n"
        );
        let yaml = Conf::at(&auth.endpoint(), &format!("http://{}/", nginx.address)).yaml();
        let files = [
            ("tls.crt", &pair.certificate),
            ("tls.key", &pair.key),
            ("ca.crt", &authority.pem),
            ("callers.crt", &callers.pem()),
            ("caller.crt", &caller.certificate),
            ("caller.key", &caller.key),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), text.clone()));
        let mut sidekey = Sidekey::launch(&Launch {
            yaml: yaml.replace(PLAIN, &listen),
            files: files.into(),
            ..Launch::default()
        });
        sidekey.wait_for("/readyz");
        Self {
            sidekey,
            mutual,
            api,
            auth,
            _behind: (behind, nginx),
        }
    }

    fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sidekey.configuration().with_file_name(name)
    }

    /// Two uploads, the second of them replayed after a 401.
    fn uploads(&self, arguments: &[&str]) {
        let arguments = [arguments, &["-d", "a body"]].concat();
        for _ in 0..2 {
            assert_eq!(curled(&arguments), "POST /a a body", "{arguments:?}");
            self.auth.revoke();
        }
    }
}

#[test]
fn curl_at_a_listener_with_tls() {
    let stage = Stage::start();
    let (ca, url) = (
        stage.file("ca.crt"),
        format!("https://{}/api/a", stage.sidekey.proxy),
    );
    for (version, protocol) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        stage.uploads(&["--cacert", &ca, version, &url]);
        shown(
            protocol,
            "a listener with TLS, a replay after a 401",
            "curl",
            NGINX,
        );
    }
}

#[test]
fn curl_with_a_certificate() {
    let stage = Stage::start();
    let (ca, url) = (
        stage.file("ca.crt"),
        format!("https://127.0.0.1:{}/api/a", stage.mutual),
    );
    assert!(!curl(&["--cacert", &ca, &url]).status.success());
    let (certificate, key) = (stage.file("caller.crt"), stage.file("caller.key"));
    for (version, protocol) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        let own = ["--cert", &certificate, "--key", &key];
        stage.uploads(&[&["--cacert", &ca, version, &url], &own[..]].concat());
        let what = "a listener with TLS that wants a caller's certificate, a replay after a 401";
        shown(protocol, what, "curl", NGINX);
    }
}

#[test]
fn curl_at_a_unix_socket() {
    let stage = Stage::start();
    let socket = stage.file("app.sock");
    for (version, protocol) in [
        ("--http1.1", "HTTP/1.1"),
        ("--http2-prior-knowledge", "HTTP/2"),
    ] {
        let url = "http://localhost/api/a";
        stage.uploads(&["--unix-socket", &socket, version, url]);
        shown(
            protocol,
            "a listener at a Unix socket, a replay after a 401",
            "curl",
            NGINX,
        );
    }
}

#[test]
fn curl_takes_it_for_its_proxy() {
    let auth = AuthServer::start();
    let behind = auth.echo();
    let nginx = Nginx::application(behind.address);
    let yaml = Conf::at(&auth.endpoint(), &format!("http://{}/", nginx.address)).yaml();
    let route = "match: {host: api.example.com}";
    let sidekey = Sidekey::run_yaml(&yaml.replace("path: /api/", route));
    let proxy = format!("http://{}", sidekey.proxy);
    let call = [
        "-x",
        &proxy,
        "--noproxy",
        "",
        "-d",
        "a body",
        "http://api.example.com/a",
    ];
    for _ in 0..2 {
        assert_eq!(curled(&call), "POST /a a body");
        auth.revoke();
    }
    let what = "sidekey as the caller's HTTP proxy, a replay after a 401";
    shown("HTTP/1.1", what, "curl", NGINX);
}

#[test]
fn curl_through_a_tunnel_at_a_listener_with_tls() {
    let stage = Stage::start();
    let ca = stage.file("ca.crt");
    let proxy = format!("https://{}", stage.sidekey.proxy);
    let url = format!("https://{}/", stage.api.tls);
    for (version, said) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
        let tunnel = ["-x", &proxy, "--proxy-cacert", &ca, "--noproxy", ""];
        let answer = curled(&[&["--cacert", &ca, version, &url], &tunnel[..]].concat());
        assert!(answer.starts_with(said), "{answer}");
        let upstream = format!("nginx with TLS, {}", said.trim_end_matches(".0"));
        shown(
            "CONNECT",
            "a tunnel at a listener with TLS",
            "curl",
            &upstream,
        );
    }
}

/// curl has no way to a proxy at a Unix socket.
#[test]
fn a_tunnel_at_a_unix_socket() {
    let stage = Stage::start();
    let connect = |target: &str| {
        let mut stream = UnixStream::connect(stage.path("app.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        (stream, String::from_utf8(head).unwrap())
    };
    let (mut stream, head) = connect(&stage.api.tls.to_string());
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // nginx says in plain words that it wants TLS.
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains("plain HTTP request was sent to HTTPS port"),
        "{answer}"
    );
    let (_, head) = connect(&stage.api.plain.to_string());
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
}
