//! curl and Python's requests as callers.

use crate::support::real::{file, output};
use crate::support::{AuthServer, Conf, Sidekey};
use std::process::Command;

#[test]
fn curl_needs_no_credential() {
    let auth = AuthServer::start();
    let upstream = auth.echo();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let url = format!("http://{}/api/x?y=z", sidekey.proxy);
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        output(
            curl.args(["-sS", "--fail", "--noproxy", "*"])
                .args(arguments)
                .arg(&url),
        )
    };
    assert_eq!(curl(&[]), "GET /x?y=z ");
    auth.revoke();
    assert_eq!(curl(&["-d", "a body"]), "POST /x?y=z a body");
    assert_eq!(curl(&["-T", "/dev/null"]), "PUT /x?y=z ");
    let expect = ["-H", "Expect: 100-continue", "-d", "waits"];
    assert_eq!(curl(&expect), "POST /x?y=z waits");
    assert_eq!(curl(&["-0"]), "GET /x?y=z ", "HTTP/1.0");
    assert!(curl(&["-I"]).starts_with("HTTP/1.1 200"));
}

#[test]
fn python_requests_needs_no_credential() {
    let auth = AuthServer::start();
    let upstream = auth.echo();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut python = Command::new(file(".venv/bin/python"));
    python.env("NO_PROXY", "*");
    python
        .arg(file("caller.py"))
        .arg(format!("http://{}/api", sidekey.proxy));
    let said: serde_json::Value = serde_json::from_str(&output(&mut python)).unwrap();
    assert_eq!(said["get"][1], "GET /items?q=a+b%26c&n=1&n=2 ");
    assert_eq!(said["post"][0], 200);
    let length = "PUT /stream ".len()
        + (0..1000)
            .map(|n| format!("piece {n};").len())
            .sum::<usize>();
    assert_eq!(said["stream"], serde_json::json!([200, length]));
    assert_eq!(auth.count(), 1);
}
