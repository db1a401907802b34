//! Proxies that refuse, and worse.

use crate::support::authority::{Authority, TlsFront};
use crate::support::client::Conn;
use crate::support::outgoing::{Tunnels, scripted};
use crate::support::peer::Peer;
use crate::support::real::Http2Nginx;
use crate::support::sidekey::Launch;
use crate::support::wait::PATIENCE;
use crate::support::{
    Answer, AuthServer, Conf, Server, Sidekey, eventually, eventually_some, local,
};
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// sidekey before an upstream that is reached by a tunnel of this proxy only.
fn before(auth: &AuthServer, proxy: &str) -> Sidekey {
    in_time(auth, proxy, "60s")
}

fn in_time(auth: &AuthServer, proxy: &str, connect_timeout: &str) -> Sidekey {
    let conf = Conf::at(&auth.endpoint(), "https://api.test/")
        .route(&format!("connect_timeout: {connect_timeout}"));
    let conf = conf.top("workers: {count: 1}");
    Sidekey::run(&conf.top(&format!("proxy: {{upstreams: \"{proxy}\"}}")))
}

/// What the caller is told, which is a 502 of this code.
fn told(sidekey: &Sidekey, code: &str) -> String {
    let answer = sidekey.get("/api/");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(answer.problem(), code, "{}", answer.text());
    answer.json()["detail"].as_str().unwrap().to_owned()
}

fn answering(answer: impl Into<Vec<u8>>) -> Peer {
    let answer = answer.into();
    scripted(move |_, mut caller: Conn| {
        caller.try_send(&answer);
    })
}

#[test]
fn a_refusal_is_said_with_its_status_to_the_caller_and_in_the_log() {
    let auth = AuthServer::start();
    for status in [302, 403, 407, 502] {
        let proxy = answering(format!(
            "HTTP/1.1 {status} <b>nasty</b>\r\nContent-Length: 4\r\n\r\nfour"
        ));
        let url = format!("http://{}", proxy.address);
        let sidekey = before(&auth, &url);
        for _ in 0..3 {
            let detail = told(&sidekey, "upstream_unreachable");
            let said = format!("the proxy {url} refused: it answered with {status}");
            assert!(
                detail.contains(&said) && !detail.contains("nasty"),
                "{detail}"
            );
            eventually("the log", || sidekey.logs().contains(&said));
        }
    }
}

#[test]
fn what_is_no_answer_to_connect_is_no_tunnel() {
    let auth = AuthServer::start();
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1024 * 1024));
    for (answer, part) in [
        (
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            "does not answer as an HTTP proxy",
        ),
        (
            "HTTP/1.1 2x0 OK\r\n\r\n".to_owned(),
            "does not answer as an HTTP proxy",
        ),
        (String::new(), "closed the connection"),
        (
            "HTTP/1.1 200 OK\r\nVia:".to_owned(),
            "closed the connection",
        ),
        (long, "a head of more than 16384 bytes"),
    ] {
        let proxy = answering(answer);
        let sidekey = before(&auth, &format!("http://{}", proxy.address));
        let detail = told(&sidekey, "upstream_unreachable");
        assert!(detail.contains(part), "{detail}");
    }
    let nobody = "http://127.0.0.1:1";
    let detail = told(&before(&auth, nobody), "upstream_unreachable");
    assert!(detail.contains("can't be reached"), "{detail}");
}

#[test]
fn what_ends_or_talks_nonsense_behind_the_200_is_a_fault_of_tls() {
    let auth = AuthServer::start();
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nglued to it",
    ] {
        let proxy = answering(answer);
        let sidekey = before(&auth, &format!("http://{}", proxy.address));
        told(&sidekey, "upstream_tls_error");
    }
}

#[test]
fn one_that_never_answers_is_given_up_within_connect_timeout() {
    let auth = AuthServer::start();
    // Until it is left.
    let proxy = scripted(|_, mut caller| drop(caller.rest()));
    let sidekey = in_time(&auth, &format!("http://{}", proxy.address), "500ms");
    let answer = sidekey.get("/api/");
    assert_eq!(answer.problem(), "upstream_timeout");
    let said = format!(
        "through the proxy http://{} took no connection",
        proxy.address
    );
    assert!(answer.text().contains(&said), "{}", answer.text());
}

/// Servers of HTTP/2 may speak before they are spoken to.
#[test]
fn what_the_origin_has_said_already_is_not_lost() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let authority = Authority::new("Works CA");
    let pair = authority.issue(&["localhost"]);
    let auth = AuthServer::start();
    let nginx = Http2Nginx::start(local(1), &pair.certificate, &pair.key);
    let proxy = Tunnels::with(nginx.plain, ANSWER);
    let conf = Conf::at(&auth.endpoint(), "h2c://api.test/").route("allow_plaintext: true");
    let top = format!("proxy: {{upstreams: \"{}\"}}", proxy.url());
    let sidekey = Sidekey::run(&conf.top(&top));
    for _ in 0..3 {
        let answer = sidekey.get("/api/");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().starts_with("HTTP/2.0 "), "{}", answer.text());
    }
    assert_eq!(proxy.asked()[0].target, "api.test:80");
}

#[test]
fn a_proxy_that_wants_a_login_for_whole_requests_is_no_answer_of_the_upstreams() {
    let auth = AuthServer::start();
    let proxy = Server::start(|_| {
        let answer = Answer::new(407).header("Proxy-Authenticate", "Basic realm=\"p\"");
        answer.body("log in")
    });
    let conf = Conf::at(&auth.endpoint(), "http://api.test/").route("allow_plaintext: true");
    let url = format!("http://{}", proxy.address);
    let sidekey = Sidekey::run(&conf.top(&format!("proxy: {{upstreams: \"{url}\"}}")));
    let detail = told(&sidekey, "upstream_unreachable");
    assert!(
        detail.contains(&format!("the proxy {url} refused: it answered with 407")),
        "{detail}"
    );
    assert_eq!(auth.count(), 1, "the token is not to blame");
}

/// The caller stays, and its body never ends.
#[test]
fn an_upload_ends_where_the_proxy_wants_a_login() {
    let auth = AuthServer::start();
    let (ended, end) = channel();
    let ended = Mutex::new(ended);
    let proxy = scripted(move |_, mut caller| {
        caller.try_send("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
        caller.rest();
        ended.lock().unwrap().send(()).unwrap();
    });
    let conf = Conf::at(&auth.endpoint(), "http://api.test/").route("allow_plaintext: true");
    let top = format!("proxy: {{upstreams: \"http://{}\"}}", proxy.address);
    let sidekey = Sidekey::run(&conf.top(&top));
    let mut caller = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    caller.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 8\r\n\r\nhalf"
    ));
    assert_eq!(caller.response().problem(), "upstream_unreachable");
    let end = end.recv_timeout(PATIENCE);
    end.expect("the connection to the proxy ends");
}

/// What a proxy does says nothing about the grant.
#[test]
fn a_refused_token_request_is_the_proxys_doing() {
    let upstream = Server::start(|_| Answer::ok("ok"));
    for (endpoint, answer) in [
        ("https://as.test/token", "HTTP/1.1 403 No\r\n\r\n"),
        (
            "https://as.test/token",
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n",
        ),
        (
            "http://as.test/token",
            "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        let proxy = answering(answer);
        let conf = Conf::at(endpoint, &format!("{}/", upstream.url()));
        let url = format!("http://{}", proxy.address);
        let top = format!(
            "proxy: {{token_requests: {{url: \"{url}\", username: u, password: hunter2}}}}"
        );
        let sidekey = Sidekey::run_unready(&conf.top(&top));
        let said = format!("through the proxy {url}: the proxy ");
        let account = eventually_some("an error", || {
            let account = sidekey.api("GET", "/api/accounts/one", "").json();
            account["last_error"].is_object().then_some(account)
        });
        assert_eq!(account["state"], "waiting", "{account}");
        let error = account["last_error"].to_string();
        assert!(error.contains(&said), "{error}");
        assert!(!sidekey.logs().contains("hunter2"));
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_stranger_in_the_proxys_place_gets_nothing() {
    let (works, strangers) = (Authority::new("Works CA"), Authority::new("Stranger"));
    let auth = AuthServer::start();
    let behind = Server::start(|_| Answer::ok("ok"));
    let front = TlsFront::start(&strangers.issue(&["127.0.0.1"]), None, behind.address);
    let conf = Conf::at(&auth.endpoint(), "http://api.test/").route("allow_plaintext: true");
    let url = format!("https://{}", front.address);
    let with = |ca: &str| {
        let top = format!("proxy: {{upstreams: {{url: \"{url}\", ca: {ca}, username: u}}}}");
        let mut sidekey = Sidekey::launch(&Launch {
            yaml: conf
                .yaml()
                .replace("integrations:", &format!("{top}\nintegrations:")),
            files: vec![
                ("works.pem".into(), works.pem.clone()),
                ("strangers.pem".into(), strangers.pem.clone()),
            ],
            ..Launch::default()
        });
        sidekey.wait_for("/readyz");
        sidekey
    };
    let detail = told(&with("works.pem"), "upstream_unreachable");
    let said =
        format!("TLS to the proxy {url} failed: its certificate was issued by \"CN=Stranger\"");
    assert!(
        detail.contains(&said) && detail.contains("the proxy's `ca`"),
        "{detail}"
    );
    assert_eq!(behind.count(), 0);
    assert_eq!(with("strangers.pem").get("/api/").status, 200);
    assert_eq!(behind.only().target, "http://api.test/");
}
