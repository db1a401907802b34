//! The admin and probes listeners, over real sockets, with a real refresh wing
//! and an authorization server that answers as told.

use crate::account::ConnectedAccount;
use crate::admin::{self, Desk, Readiness, Surface};
use crate::base::clock::SystemClock;
use crate::base::secret::Secret;
use crate::config;
use crate::connect::Connector;
use crate::refresh::{self, Setup};
use crate::store::memory::MemoryStore;
use crate::telemetry::refreshes::{NamedAccounts, RefreshMetrics};
use crate::token;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const TOKEN: &str = "Authorization: Bearer admin-s3cret\r\n";

/// Gives `good` tokens, then refuses the client.
fn authorization_server(good: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let given = AtomicUsize::new(0);
        for stream in listener.incoming() {
            let number = given.fetch_add(1, Ordering::Relaxed);
            answer_token(stream.unwrap(), number, number < good);
        }
    });
    address
}

fn answer_token(mut stream: TcpStream, number: usize, good: bool) {
    read_request(&stream);
    let (status, body) = if good {
        let body = format!(r#"{{"access_token":"t{number}","expires_in":3600}}"#);
        ("200 OK", body)
    } else {
        (
            "401 Unauthorized",
            r#"{"error":"invalid_client"}"#.to_owned(),
        )
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn read_request(stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
}

/// Both listeners, with one account `one` that has had its first attempt.
struct Running {
    admin: SocketAddr,
    probes: SocketAddr,
    readiness: Arc<Readiness>,
    _runtime: tokio::runtime::Runtime,
}

fn start(good_tokens: usize) -> Running {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let accounts = start_wing(authorization_server(good_tokens));
    runtime.block_on(async {
        while !accounts.accounts()[0].first_attempt_ended {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let readiness = Arc::new(Readiness::new(Vec::new()));
    let scrape: admin::Scrape = Arc::new(|| Box::pin(async { "up 1\n".to_owned() }));
    let token = Secret::new("admin-s3cret".into());
    let clock = Arc::new(SystemClock::start());
    let public_url = "http://127.0.0.1:7481".to_owned();
    let timeout = Duration::from_secs(10);
    let connector = Connector::new(accounts.clone(), clock, &public_url, timeout);
    let desk = Arc::new(Desk::new(admin::Parts {
        accounts,
        connector: Arc::new(connector),
        site: admin::Site {
            public_url: public_url.clone(),
            proxy: Vec::new(),
            integrations: Vec::new(),
            routes: Vec::new().into(),
            file: "sidekey.yaml".to_owned(),
            reloads: Arc::default(),
        },
        readiness: readiness.clone(),
        scrape,
        token,
        public_url,
    }));
    let serve = |surface| {
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(admin::serve(listener, surface, desk.clone()));
        address
    };
    let (admin, probes) = (serve(Surface::Admin), serve(Surface::Probes));
    Running {
        admin,
        probes,
        readiness,
        _runtime: runtime,
    }
}

fn start_wing(token_server: SocketAddr) -> refresh::Handle {
    let yaml = format!(
        "integrations:\n  - key: demo\n    oauth2: {{grant_type: client_credentials, \
         token_endpoint: 'http://{token_server}/token', client_id: a, client_secret: b}}\n\
         accounts:\n  - {{key: one, integration: demo}}\n"
    );
    let config = config::load_text("test.yaml", &yaml, &|_| None).unwrap();
    let (_, asks) = token::channel();
    let (publisher, _) = token::slot();
    let account = Arc::new(ConnectedAccount::resolve(&config.accounts[0]).unwrap());
    refresh::start(refresh::Parts {
        accounts: vec![Setup {
            account,
            publisher,
            created: false,
        }],
        asks,
        store: Arc::new(MemoryStore::new()),
        clock: Arc::new(SystemClock::start()),
        metrics: Arc::new(RefreshMetrics::new(NamedAccounts::default())),
        settings: config.refresh,
    })
}

/// Sends a request with these further fields; gives the whole answer.
fn call(to: SocketAddr, method: &str, path: &str, fields: &str) -> String {
    call_as(to, method, path, &format!("Host: {to}\r\n{fields}"))
}

fn call_as(to: SocketAddr, method: &str, path: &str, fields: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn assert_problem(answer: &str, status: u16, code: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(
        answer.contains("content-type: application/problem+json"),
        "{answer}"
    );
    assert!(
        answer.contains(&format!("sidekey-error: {code}\r\n")),
        "{answer}"
    );
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["code"], code);
}

fn assert_ok(answer: &str, part: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(part), "{part} is not in {answer}");
}

#[test]
fn health_and_metrics_need_neither_token_nor_host() {
    let running = start(1);
    for to in [running.admin, running.probes] {
        for (path, part) in [
            ("/livez", "live"),
            ("/readyz", "one connected"),
            ("/metrics", "up 1"),
        ] {
            assert_ok(
                &call_as(to, "GET", path, "Host: what.ever.example\r\n"),
                part,
            );
        }
    }
    let json = call(
        running.probes,
        "GET",
        "/readyz",
        "Accept: application/json\r\n",
    );
    assert_ok(&json, r#"{"key":"one","state":"connected"}"#);
    let head = call(running.probes, "HEAD", "/livez", "");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    running.readiness.drain();
    let draining = call(running.probes, "GET", "/readyz", "");
    assert!(draining.starts_with("HTTP/1.1 503 "), "{draining}");
    assert!(draining.contains("not ready: shutting down"), "{draining}");
}

#[test]
fn the_probes_listener_answers_nothing_else() {
    let running = start(1);
    for path in ["/", "/api/accounts", "/api/accounts/one"] {
        assert_problem(&call(running.probes, "GET", path, TOKEN), 404, "not_found");
    }
    let nowhere = call(running.admin, "GET", "/nowhere", TOKEN);
    assert_problem(&nowhere, 404, "not_found");
    let posted = call(running.admin, "POST", "/livez", "");
    assert_problem(&posted, 405, "method_not_allowed");
    assert!(posted.contains("allow: GET, HEAD\r\n"), "{posted}");
}

#[test]
fn accounts_are_shown_to_those_with_the_token() {
    let running = start(1);
    let to = running.admin;
    assert_ok(&call(to, "GET", "/api/accounts", TOKEN), r#""key":"one""#);
    let one = call(to, "GET", "/api/accounts/one", TOKEN);
    assert_ok(&one, r#""state":"connected""#);
    assert!(!one.contains("t0"), "no token is shown: {one}");
    let unknown = call(to, "GET", "/api/accounts/two", TOKEN);
    assert_problem(&unknown, 404, "account_not_found");
    let closed = call(to, "GET", "/api/accounts", "");
    assert_problem(&closed, 401, "admin_token_required");
    assert!(closed.contains("www-authenticate: Bearer"), "{closed}");
    let foreign = format!("{TOKEN}Origin: https://evil.example\r\n");
    let refused = call(to, "POST", "/api/accounts/one/refresh", &foreign);
    assert_problem(&refused, 403, "caller_not_allowed");
    let rebound = format!("{TOKEN}Host: evil.example\r\n");
    let refused = call_as(to, "GET", "/api/accounts", &rebound);
    assert_problem(&refused, 403, "caller_not_allowed");
    assert_problem(
        &call_as(to, "GET", "/api/accounts", TOKEN),
        400,
        "bad_request",
    );
}

#[test]
fn a_refresh_brings_a_new_generation_or_says_why_not() {
    let running = start(2);
    let to = running.admin;
    let path = "/api/accounts/one/refresh";
    assert_ok(&call(to, "POST", path, TOKEN), r#""generation":2"#);
    let failed = call(to, "POST", path, TOKEN);
    assert_problem(&failed, 502, "refresh_failed");
    assert!(failed.contains("invalid_client"), "{failed}");
    let unknown = call(to, "POST", "/api/accounts/two/refresh", TOKEN);
    assert_problem(&unknown, 404, "account_not_found");
    assert_problem(&call(to, "GET", path, TOKEN), 405, "method_not_allowed");
}

#[test]
fn heads_have_a_limit() {
    let running = start(1);
    let long = format!("Cookie: theirs={}\r\n", "x".repeat(32 * 1024));
    let answer = call(running.admin, "GET", "/livez", &long);
    assert_problem(&answer, 431, "headers_too_large");
    let page = format!("{long}Accept: text/html\r\n");
    let answer = call(running.admin, "GET", "/", &page);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(answer.contains("clear the cookies"), "{answer}");
    let longest = format!("X-Long: {}\r\n", "x".repeat(200 * 1024));
    let answer = call(running.admin, "GET", "/livez", &longest);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}
