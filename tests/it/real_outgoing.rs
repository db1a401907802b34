//! tinyproxy between sidekey and real servers.

use crate::support::authority::{Authority, TlsFront};
use crate::support::conf::CLIENT_ID;
use crate::support::feature::shown;
use crate::support::outgoing::Tinyproxy;
use crate::support::real::{Http2Nginx, Nginx, Oidc, output, python, serving};
use crate::support::sidekey::Launch;
use crate::support::tls::curled;
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey, eventually, local};

const CLIENT: &str = "curl";

fn run(yaml: String, files: &[(&str, &str)]) -> Sidekey {
    let files = files.iter().map(|(n, c)| ((*n).into(), (*c).into()));
    let mut sidekey = Sidekey::launch(&Launch {
        yaml,
        files: files.collect(),
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    sidekey
}

fn curl(sidekey: &Sidekey, more: &[&str]) -> String {
    let url = format!("http://{}/api/a", sidekey.proxy);
    curled(&[more, &["--fail-with-body", url.as_str()]].concat())
}

/// The upstreams' proxy, with what its users are told.
fn upstreams(proxy: &Tinyproxy, more: &str) -> String {
    format!("proxy: {{upstreams: {{url: \"{}\"{more}}}}}", proxy.url())
}

#[test]
fn nginx_over_tls_in_either_version() {
    let authority = Authority::new("Works CA");
    let pair = authority.issue(&["127.0.0.1"]);
    let auth = AuthServer::start();
    let nginx = Http2Nginx::start(local(1), &pair.certificate, &pair.key);
    let proxy = Tinyproxy::start();
    let conf = |version: &str| {
        Conf::at(&auth.endpoint(), &format!("https://{}/", nginx.tls))
            .route("tls: {ca: ca.pem}")
            .route(&format!("http2: {version}"))
            .top("workers: {count: 1}")
            .top(&upstreams(&proxy, ""))
    };
    for (version, protocol) in [("auto", "HTTP/2.0"), ("off", "HTTP/1.1")] {
        let asked = proxy.asked().len();
        let sidekey = run(conf(version).yaml(), &[("ca.pem", &authority.pem)]);
        for _ in 0..3 {
            let said = curl(&sidekey, &[]);
            assert!(said.starts_with(protocol), "{said}");
        }
        eventually("one tunnel", || proxy.asked().len() == asked + 1);
        assert_eq!(proxy.asked()[asked], format!("CONNECT {}", nginx.tls));
        let upstream = format!("nginx with TLS, {}", protocol.trim_end_matches(".0"));
        shown(
            "Outgoing proxy",
            "a tunnel by CONNECT through tinyproxy",
            CLIENT,
            &upstream,
        );
    }
}

#[test]
fn nginx_without_tls_and_a_login() {
    let auth = AuthServer::start();
    let behind = auth.echo();
    let nginx = Nginx::application(behind.address);
    let proxy = Tinyproxy::for_user("sidekey", "hunter2");
    let conf = |login: &str| {
        let conf = Conf::at(&auth.endpoint(), &format!("http://{}/", nginx.address));
        conf.top(&upstreams(&proxy, login)).yaml()
    };
    let sidekey = run(conf(", username: sidekey, password: hunter2"), &[]);
    for _ in 0..3 {
        assert_eq!(curl(&sidekey, &["-d", "body"]), "POST /a body");
    }
    auth.revoke();
    assert_eq!(curl(&sidekey, &["-d", "body"]), "POST /a body", "replayed");
    let asked = proxy.asked();
    assert!(
        asked
            .iter()
            .all(|line| *line == format!("POST http://{}/a", nginx.address)),
        "{asked:?}"
    );
    for request in behind.requests() {
        assert_eq!(request.header("proxy-authorization"), None);
        assert_eq!(
            request.header("host"),
            Some(nginx.address.to_string().as_str())
        );
    }
    let nobody = run(conf(""), &[]).get("/api/a");
    assert_eq!(
        nobody.problem(),
        "upstream_unreachable",
        "{}",
        nobody.text()
    );
    let said = "refused: it answered with 407, as it wants a user and a password";
    assert!(nobody.text().contains(said), "{}", nobody.text());
    let what = "whole requests through tinyproxy with a user and a password, a replay after a 401";
    shown("Outgoing proxy", what, CLIENT, "nginx, HTTP/1.1");
}

/// Each of the two proxies sees what is its own, and nothing else.
#[test]
fn tokens_of_oidc_provider_come_another_way_than_answers() {
    let oidc = Oidc::start();
    let behind = Server::start(|_| Answer::ok("content"));
    let nginx = Nginx::start(oidc.address, behind.address);
    let (ours, theirs) = (Tinyproxy::start(), Tinyproxy::start());
    let top = format!(
        "proxy: {{upstreams: \"{}\", token_requests: \"{}\"}}",
        ours.url(),
        theirs.url()
    );
    let conf = Conf::at(
        &oidc.token_endpoint(),
        &format!("http://{}/", nginx.address),
    );
    let yaml = conf.top(&top).yaml().replace(CLIENT_ID, "basic");
    let secret = format!("client_secret: \"{}\"", Oidc::secret("basic"));
    let yaml = yaml.replace("client_secret: {env: TEST_CLIENT_SECRET}", &secret);
    let sidekey = run(yaml, &[]);
    assert_eq!(curl(&sidekey, &[]), "content");
    oidc.revoke_all();
    assert_eq!(curl(&sidekey, &[]), "content");
    let get = format!("GET http://{}/a", nginx.address);
    assert_eq!(ours.asked(), [get.as_str(); 3]);
    let post = format!("POST {}", oidc.token_endpoint());
    assert_eq!(theirs.asked(), [post.as_str(); 2]);
    shown(
        "Outgoing proxy",
        "token requests to oidc-provider through tinyproxy, upstreams through another",
        CLIENT,
        "nginx, HTTP/1.1",
    );
}

/// TLS to the proxy, and within that to the authorization server and the upstream,
/// both of which only the company's authority vouches for.
#[test]
fn tls_within_tls() {
    let company = Authority::new("Company CA");
    let pair = company.issue(&["127.0.0.1"]);
    let oidc = Oidc::start();
    let endpoint = TlsFront::start(&pair, None, oidc.address);
    let nginx = Http2Nginx::start(local(1), &pair.certificate, &pair.key);
    let proxy = Tinyproxy::for_user("sidekey", "hunter2");
    let front = TlsFront::start(&pair, None, proxy.address);
    let way = format!(
        "{{url: \"https://{}\", ca: ca.pem, username: sidekey, password: hunter2}}",
        front.address
    );
    let top = format!("proxy: {{upstreams: {way}, token_requests: {way}}}");
    let token_endpoint = format!("https://{}/token", endpoint.address);
    let conf = Conf::at(&token_endpoint, &format!("https://{}/", nginx.tls));
    let yaml = conf
        .top(&top)
        .top("workers: {count: 1}")
        .yaml()
        .replace(CLIENT_ID, "basic");
    let secret = format!("client_secret: \"{}\"", Oidc::secret("basic"));
    let yaml = yaml.replace("client_secret: {env: TEST_CLIENT_SECRET}", &secret);
    let sidekey = run(yaml, &[("ca.pem", &company.pem)]);
    for _ in 0..3 {
        let said = curl(&sidekey, &[]);
        assert!(said.starts_with("HTTP/2.0"), "{said}");
    }
    let wanted = [endpoint.address, nginx.tls].map(|to| format!("CONNECT {to}"));
    assert_eq!(proxy.asked(), wanted);
    shown(
        "Outgoing proxy",
        "a tunnel within TLS to tinyproxy, token requests too",
        CLIENT,
        "nginx with TLS, HTTP/2",
    );
}

#[test]
fn a_websocket_between_pythons() {
    let (server, _part) = serving("websockets", |port| {
        let mut server = python("websocket.py");
        server.arg("serve").arg(port.to_string());
        server
    });
    let auth = AuthServer::start();
    let proxy = Tinyproxy::start();
    let conf = Conf::at(&auth.endpoint(), &format!("http://{server}/"));
    let sidekey = run(conf.top(&upstreams(&proxy, "")).yaml(), &[]);
    let url = format!("ws://{}/api/chat", sidekey.proxy);
    let said = output(python("websocket.py").arg("call").arg(url));
    assert_eq!(said, format!("/chat Bearer {}\n1000\n", auth.token()));
    assert_eq!(proxy.asked(), [format!("CONNECT {server}")]);
    shown(
        "Outgoing proxy",
        "a WebSocket by a tunnel through tinyproxy",
        "Python websockets",
        "Python websockets",
    );
}
