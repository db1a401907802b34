//! Lives, stopped machines and stepped clocks.

use crate::support::sidekey::Launch;
use crate::support::{AuthServer, Conf, Conn, Sidekey, eventually};
use std::path::Path;

/// Debian's place for it (package `libfaketime`).
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[test]
fn a_life_of_eight_seconds_never_shows() {
    let auth = AuthServer::start();
    auth.life(Some(8));
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut conn = Conn::to(sidekey.proxy);
    eventually("three refreshes ahead of expiry", || {
        assert_eq!(conn.get("/api/").status, 200);
        auth.tokens().len() > 3
    });
    let refreshes = [("trigger", "scheduled"), ("outcome", "success")];
    assert!(sidekey.metric("sidekey_token_refreshes_total", &refreshes) >= 3.0);
    assert_eq!(upstream.count(), upstream.answered());
    assert_eq!(
        sidekey.metric("sidekey_replays_total", &[("outcome", "cured")]),
        0.0
    );
}

#[test]
fn a_life_of_four_minutes_works_and_is_warned_about() {
    let auth = AuthServer::start();
    auth.life(Some(240));
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    assert_eq!(sidekey.get("/api/").status, 200);
    eventually("a warning", || {
        let logs = sidekey.logs();
        let warned = |l: &str| l.contains("WARN") && l.contains("less than 5 minutes");
        logs.lines().any(warned)
    });
    assert_eq!(auth.count(), 1, "not refreshed on every tick");
}

#[test]
fn a_suspended_machine_serves_no_dead_token() {
    let auth = AuthServer::start();
    auth.life(Some(8));
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut conn = Conn::to(sidekey.proxy);
    assert_eq!(conn.get("/api/").status, 200);
    sidekey.signal("STOP");
    eventually("the expiry of every token", || {
        auth.tokens().iter().all(|token| !auth.accepts(token))
    });
    sidekey.signal("CONT");
    assert_eq!(conn.get("/api/").status, 200);
    let replays = [("outcome", "cured")];
    assert_eq!(sidekey.metric("sidekey_replays_total", &replays), 0.0);
}

/// A sidekey whose wall clock (not the monotonic one) is off by what a file says.
fn with_stepped_clock(auth: &AuthServer, conf: &Conf) -> (Sidekey, impl Fn(&str) + use<>) {
    assert!(Path::new(FAKETIME).exists(), "install libfaketime");
    let clock = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(clock.path(), "+0").unwrap();
    let variable = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: conf.yaml(),
        environment: vec![
            variable("LD_PRELOAD", FAKETIME),
            variable("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            variable("FAKETIME_NO_CACHE", "1"),
            variable("FAKETIME_TIMESTAMP_FILE", clock.path().to_str().unwrap()),
        ],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    assert_eq!(auth.count(), 1);
    let step = move |offset: &str| std::fs::write(clock.path(), offset).unwrap();
    (sidekey, step)
}

#[test]
fn a_clock_stepped_forward_makes_the_token_old() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let (sidekey, step) = with_stepped_clock(&auth, &Conf::new(&auth, &upstream));
    step("+2h");
    // Nothing asks for it: the timer itself notices, within its 15 s.
    eventually("a refresh", || auth.tokens().len() == 2);
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!(upstream.only().bearer(), Some(auth.token().as_str()));
}

#[test]
fn a_clock_stepped_back_keeps_no_token_alive() {
    let auth = AuthServer::start();
    auth.life(Some(8));
    let upstream = auth.upstream();
    let (sidekey, step) = with_stepped_clock(&auth, &Conf::new(&auth, &upstream));
    step("-2h");
    let mut conn = Conn::to(sidekey.proxy);
    eventually("two refreshes by the monotonic clock", || {
        assert_eq!(conn.get("/api/").status, 200);
        auth.tokens().len() >= 3
    });
    assert_eq!(
        sidekey.metric("sidekey_replays_total", &[("outcome", "cured")]),
        0.0
    );
}
