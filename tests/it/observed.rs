//! What can be seen of a running sidekey: access log and metrics.

use crate::support::{AuthServer, Conf, Server, Sidekey, eventually, get};

fn started(log: &str) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream).log(log));
    (auth, upstream, sidekey)
}

/// The line of the log that holds this text.
fn line(sidekey: &Sidekey, part: &str) -> String {
    let found = || {
        sidekey
            .logs()
            .lines()
            .find(|l| l.contains(part))
            .map(str::to_owned)
    };
    crate::support::eventually_some(part, found)
}

#[test]
fn the_access_log_as_text() {
    let (auth, _upstream, sidekey) = started("{format: text}");
    sidekey.get("/api/items/7?token=of-the-caller");
    let ok = line(&sidekey, "/api/items/7");
    for part in ["GET", "200", "route=main", "account=one", "127.0.0.1"] {
        assert!(ok.contains(part), "{part}: {ok}");
    }
    assert!(!ok.contains("of-the-caller"), "no query: {ok}");
    auth.revoke();
    sidekey.get("/api/replayed-one");
    assert!(line(&sidekey, "/api/replayed-one").contains(" replayed"));
    sidekey.get("/elsewhere");
    let refused = line(&sidekey, "/elsewhere");
    assert!(
        refused.contains("404") && refused.contains("error=route_not_found"),
        "{refused}"
    );
}

#[test]
fn the_access_log_as_json() {
    let (_auth, _upstream, sidekey) = started("{format: json}");
    sidekey.get("/api/items/7?token=of-the-caller");
    let text = line(&sidekey, "/api/items/7");
    let json: serde_json::Value = serde_json::from_str(&text).expect("a JSON line");
    assert_eq!(json["method"], "GET");
    assert_eq!(json["path"], "/api/items/7");
    assert_eq!(json["status"], 200);
    assert_eq!(
        (&json["route"], &json["account"]),
        (&"main".into(), &"one".into())
    );
    assert!(json["duration_ms"].is_number() && json["upstream_ms"].is_number());
    for text in sidekey.logs().lines() {
        serde_json::from_str::<serde_json::Value>(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    }
}

#[test]
fn the_access_log_can_be_switched_off() {
    let (_auth, _upstream, mut sidekey) = started("{access: false}");
    sidekey.get("/api/items/7");
    sidekey.signal("TERM");
    sidekey.ended();
    assert!(!sidekey.logs().contains("items/7"));
}

#[test]
fn every_line_is_written_before_the_end() {
    let (_auth, _upstream, mut sidekey) = started("{}");
    for n in 0..200 {
        sidekey.get(&format!("/api/number/{n}."));
    }
    sidekey.signal("TERM");
    sidekey.ended();
    eventually("all lines", || {
        let logs = sidekey.logs();
        (0..200).all(|n| logs.contains(&format!("/api/number/{n}.")))
    });
}

#[test]
fn metrics_tell_of_the_traffic() {
    let (auth, _upstream, sidekey) = started("{}");
    for _ in 0..3 {
        sidekey.get("/api/");
    }
    auth.revoke();
    sidekey.get("/api/");
    sidekey.get("/elsewhere");
    let metric = |name: &str, labels: &[(&str, &str)]| sidekey.metric(name, labels);
    // A request is counted when all of it is done, which its caller may precede.
    let reaches = |name: &str, labels: &[(&str, &str)], value: f64| {
        eventually(name, || metric(name, labels) == value);
    };
    let main = [("route", "main")];
    reaches(
        "sidekey_requests_total",
        &[("route", "main"), ("code", "200")],
        4.0,
    );
    reaches("sidekey_request_duration_seconds_count", &main, 4.0);
    reaches("sidekey_upstream_duration_seconds_count", &main, 4.0);
    reaches("sidekey_overhead_seconds_count", &main, 4.0);
    reaches("sidekey_replays_total", &[("outcome", "cured")], 1.0);
    let refused = [("reason", "route_not_found")];
    reaches("sidekey_refused_total", &refused, 1.0);
    for trigger in ["initial", "rejected"] {
        let labels = [
            ("account", "one"),
            ("trigger", trigger),
            ("outcome", "success"),
        ];
        reaches("sidekey_token_refreshes_total", &labels, 1.0);
    }
    let account = [("account", "one")];
    reaches("sidekey_account_connected", &account, 1.0);
    reaches("sidekey_accounts", &[("state", "connected")], 1.0);
    assert!(metric("sidekey_token_expiration_timestamp_seconds", &account) > 1e9);
}

#[test]
fn every_metric_of_the_contract_is_there() {
    let (_auth, _upstream, sidekey) = started("{}");
    sidekey.get("/api/");
    for name in [
        "sidekey_requests_total",
        "sidekey_request_duration_seconds",
        "sidekey_upstream_duration_seconds",
        "sidekey_overhead_seconds",
        "sidekey_replays_total",
        "sidekey_token_wait_seconds",
        "sidekey_refused_total",
        "sidekey_token_refreshes_total",
        "sidekey_token_expiration_timestamp_seconds",
        "sidekey_account_connected",
        "sidekey_accounts",
        "sidekey_store_write_failures_total",
        "sidekey_config_last_reload_successful",
        "sidekey_build_info",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        let line = format!("# TYPE {name} ");
        eventually(&line, || sidekey.metrics().contains(&line));
    }
}

#[test]
fn readiness_lists_the_accounts() {
    let (_auth, _upstream, sidekey) = started("{}");
    let ready = get(sidekey.admin, "/readyz");
    assert_eq!(ready.status, 200);
    let text = ready.text();
    assert!(text.contains("one") && text.contains("connected"), "{text}");
    assert_eq!(get(sidekey.admin, "/livez").status, 200);
}
