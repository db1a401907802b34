//! Stopping, and starting where somebody already is.

use crate::support::sidekey::Launch;
use crate::support::{
    Answer, AuthServer, Conf, Conn, Gate, Server, Sidekey, eventually, free_port, get, local,
};
use std::net::{TcpListener, TcpStream};

#[test]
fn a_running_response_is_finished_and_the_exit_is_0() {
    let auth = AuthServer::start();
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let upstream = Server::start(move |_| Answer::ok("first half, second half").halfway(&at_gate));
    let mut sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut conn = Conn::to(sidekey.proxy);
    conn.ask("/api/");
    eventually("half of the response", || gate.came() == 1);
    sidekey.signal("TERM");
    let proxy = sidekey.proxy;
    eventually("no new connections", || TcpStream::connect(proxy).is_err());
    gate.open();
    let answer = conn.response();
    assert_eq!(answer.text(), "first half, second half");
    assert!(conn.closed());
    assert_eq!(sidekey.ended().code(), Some(0));
}

#[test]
fn a_silent_connection_does_not_hold_up_the_end() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let mut sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut idle = Conn::to(sidekey.proxy);
    assert_eq!(idle.get("/api/").status, 200);
    let mut silent = Conn::to(sidekey.proxy);
    sidekey.signal("TERM");
    assert!(idle.closed());
    assert_eq!(sidekey.ended().code(), Some(0));
    assert!(silent.closed());
}

#[test]
fn readiness_ends_before_the_listener_does() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top("drain: {delay: 8s}");
    let mut sidekey = Sidekey::run(&conf);
    sidekey.signal("TERM");
    eventually("not ready", || get(sidekey.admin, "/readyz").status == 503);
    assert_eq!(
        sidekey.get("/api/").status,
        200,
        "still served in the delay"
    );
    assert_eq!(sidekey.ended().code(), Some(0));
}

/// With a request under way that is never answered.
fn hanging(top: &str) -> (Sidekey, (Conn, AuthServer, Server)) {
    let auth = AuthServer::start();
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let upstream = Server::start(move |_| Answer::ok("never").after(&at_gate));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream).top(top));
    let mut conn = Conn::to(sidekey.proxy);
    conn.ask("/api/");
    eventually("the request", || gate.came() == 1);
    (sidekey, (conn, auth, upstream))
}

#[test]
fn what_takes_too_long_is_cut_off() {
    let (mut sidekey, _alive) = hanging("drain: {timeout: 300ms}");
    sidekey.signal("TERM");
    assert!(sidekey.ended().code().is_some());
}

#[test]
fn a_second_signal_ends_at_once_and_sighup_is_none() {
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let (mut sidekey, _alive) = hanging("drain: {timeout: 1h}");
        sidekey.signal("TERM");
        eventually("not ready", || get(sidekey.admin, "/readyz").status == 503);
        sidekey.signal("HUP");
        assert_eq!(get(sidekey.admin, "/livez").status, 200);
        sidekey.signal(name);
        assert_eq!(sidekey.ended().code(), Some(code));
    }
}

#[test]
fn a_taken_port_is_named() {
    for taken in ["@PROXY@", "@ADMIN@"] {
        let auth = AuthServer::start();
        let upstream = auth.upstream();
        let port = free_port();
        let _holder = TcpListener::bind(local(port)).unwrap();
        let yaml = Conf::new(&auth, &upstream).yaml();
        let mut sidekey = Sidekey::launch(&Launch {
            yaml: yaml.replace(taken, &port.to_string()),
            ..Launch::default()
        });
        assert_eq!(sidekey.ended().code(), Some(1));
        let address = format!("127.0.0.1:{port}");
        eventually("its last words", || sidekey.logs().contains(&address));
        let said = sidekey.logs();
        assert!(said.contains("in use"), "{said}");
        assert!(said.contains("listen"), "the key or flag to change: {said}");
        assert_eq!(
            auth.count(),
            0,
            "nothing is fetched before the ports are bound"
        );
    }
}

#[test]
fn the_start_says_where_and_what() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let parts = [
        sidekey.proxy.to_string(),
        sidekey.admin.to_string(),
        "/api".to_owned(),
        upstream.url(),
        "one".to_owned(),
        "connected".to_owned(),
    ];
    for part in &parts {
        eventually(part, || sidekey.logs().contains(part));
    }
}
