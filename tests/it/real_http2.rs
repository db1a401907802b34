//! curl, h2load and Python's httpx as callers by HTTP/2.

use crate::support::real::{file, output};
use crate::support::{AuthServer, Conf, Sidekey};
use std::process::Command;

#[test]
fn curl_with_prior_knowledge() {
    let auth = AuthServer::start();
    let upstream = auth.echo();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let url = format!("http://{}/api/x?y=z", sidekey.proxy);
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--noproxy", "*", "--http2-prior-knowledge"]);
        output(curl.args(arguments).arg(&url))
    };
    assert_eq!(curl(&[]), "GET /x?y=z ");
    auth.revoke();
    assert_eq!(curl(&["-d", "a body"]), "POST /x?y=z a body");
    assert_eq!(curl(&["-T", "/dev/null"]), "PUT /x?y=z ");
    assert!(curl(&["-I"]).starts_with("HTTP/2 200"));
    let large = "x".repeat(300_000);
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("large");
    std::fs::write(&place, &large).unwrap();
    let large_file = format!("@{}", place.display());
    assert_eq!(
        curl(&["--data-binary", &large_file]).len(),
        "POST /x?y=z ".len() + large.len()
    );
    assert_eq!(auth.count(), 2);
}

#[test]
fn h2load_with_a_hundred_streams_on_each_connection() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut h2load = Command::new("h2load");
    h2load.args(["-n", "2000", "-c", "4", "-m", "100"]);
    let said = output(h2load.arg(format!("http://{}/api/", sidekey.proxy)));
    let expected = "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
}

#[test]
fn python_httpx_over_http2() {
    let auth = AuthServer::start();
    let upstream = auth.echo();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut python = Command::new(file(".venv/bin/python"));
    python.env("NO_PROXY", "*").arg(file("caller_http2.py"));
    python.arg(format!("http://{}/api", sidekey.proxy));
    let said: serde_json::Value = serde_json::from_str(&output(&mut python)).unwrap();
    assert_eq!(said["version"], "HTTP/2");
    assert_eq!(said["get"], "GET /items?q=a+b%26c ");
    assert_eq!(said["stream"], 1000 * "piece;".len() + "PUT /stream ".len());
    assert_eq!(said["many"], 50);
    assert_eq!(auth.count(), 1);
}
