//! Lives, stopped machines and stepped clocks.

use crate::support::sidekey::Launch;
use crate::support::{AuthServer, Conf, Conn, Sidekey, eventually};
use std::path::Path;
use std::time::{Duration, Instant};

/// Debian's place for it (package `libfaketime`).
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// By so much a life of eight seconds is shortened. A request that is held up for
/// longer, by a busy machine, may arrive after its token's end.
const MARGIN: Duration = Duration::from_millis(800);

const SCHEDULED: [(&str, &str); 2] = [("trigger", "scheduled"), ("outcome", "success")];

/// One request after another until so many refreshes have come by themselves.
/// All of them are answered; none is sent with a dead token.
fn never_shows(auth: &AuthServer, sidekey: &Sidekey, refreshes: f64) {
    let mut conn = Conn::to(sidekey.proxy);
    let mut slowest = Duration::ZERO;
    eventually("refreshes ahead of expiry", || {
        let sent = Instant::now();
        assert_eq!(conn.get("/api/").status, 200);
        slowest = slowest.max(sent.elapsed());
        sidekey.metric("sidekey_token_refreshes_total", &SCHEDULED) >= refreshes
    });
    assert!(auth.tokens().len() > 1);
    let cured = sidekey.metric("sidekey_replays_total", &[("outcome", "cured")]);
    assert!(
        cured == 0.0 || slowest > MARGIN / 2,
        "{cured} replays, and no request took longer than {slowest:?}"
    );
}

#[test]
fn a_life_of_eight_seconds_never_shows() {
    let auth = AuthServer::start();
    auth.life(Some(8));
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    never_shows(&auth, &sidekey, 3.0);
    assert_eq!(upstream.count(), upstream.answered());
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
fn with_stepped_clock(conf: &Conf) -> (Sidekey, impl Fn(&str) + use<>) {
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
    let step = move |offset: &str| std::fs::write(clock.path(), offset).unwrap();
    (sidekey, step)
}

#[test]
fn a_clock_stepped_forward_makes_the_token_old() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let (sidekey, step) = with_stepped_clock(&Conf::new(&auth, &upstream));
    assert_eq!(auth.count(), 1);
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
    let (sidekey, step) = with_stepped_clock(&Conf::new(&auth, &upstream));
    step("-2h");
    never_shows(&auth, &sidekey, 2.0);
}
