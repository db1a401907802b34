//! Prometheus scrapes a running sidekey.

use crate::support::real::Prometheus;
use crate::support::{AuthServer, Conf, Sidekey, eventually};
use std::io::Write;
use std::process::{Command, Stdio};

fn with_traffic() -> (AuthServer, Sidekey) {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    for _ in 0..3 {
        assert_eq!(sidekey.get("/api/").status, 200);
    }
    assert_eq!(sidekey.get("/nowhere").status, 404);
    auth.revoke();
    assert_eq!(sidekey.get("/api/").status, 200);
    (auth, sidekey)
}

#[test]
fn a_query_is_answered_from_a_scrape() {
    let (_auth, sidekey) = with_traffic();
    let prometheus = Prometheus::scraping(sidekey.admin);
    for (query, value) in [
        ("sidekey_requests_total{route=\"main\",code=\"200\"}", 4.0),
        ("sum(sidekey_replays_total)", 1.0),
        ("sidekey_account_connected{account=\"one\"}", 1.0),
        (
            "sidekey_request_duration_seconds_count{route=\"main\"}",
            4.0,
        ),
        ("up", 1.0),
    ] {
        eventually(query, || prometheus.query(query) == Some(value));
    }
    let left = "sidekey_token_expiration_timestamp_seconds - time()";
    let left = prometheus.query(left).expect(left);
    assert!((0.0..3700.0).contains(&left), "{left}");
}

#[test]
fn promtool_finds_no_fault_with_the_metrics() {
    let (_auth, sidekey) = with_traffic();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: ./test installs it");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(sidekey.metrics().as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}
