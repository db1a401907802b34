//! When tokens are fetched, and how often.

use crate::support::{
    Answer, AuthServer, Conf, Conn, Gate, Server, Sidekey, eventually, free_port, get,
};
use std::time::Instant;

#[test]
fn the_first_token_is_fetched_before_the_first_request() {
    let auth = AuthServer::start();
    let _sidekey = Sidekey::run(&Conf::new(&auth, &auth.upstream()));
    assert_eq!(auth.count(), 1);
}

#[test]
fn single_flight_for_those_who_wait_for_the_first_token() {
    let auth = AuthServer::start();
    let gate = auth.hold();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top("refresh: {token_wait: 60s, timeout: 60s}");
    let sidekey = Sidekey::run_unready(&conf);
    let mut waiting: Vec<Conn> = (0..50).map(|_| Conn::to(sidekey.proxy)).collect();
    for conn in &mut waiting {
        conn.ask("/api/");
    }
    eventually("the token request", || gate.came() == 1);
    assert_eq!(upstream.count(), 0, "nobody goes on without a token");
    gate.open();
    for conn in &mut waiting {
        assert_eq!(conn.response().status, 200);
    }
    assert_eq!(auth.count(), 1);
}

#[test]
fn a_user_who_lacks_a_right_causes_no_storm() {
    let auth = AuthServer::start();
    let live = auth.checker();
    let upstream = Server::start(move |request| match (live(request), request.path()) {
        (false, _) => Answer::rejected(),
        (true, "/a") => Answer::ok("content"),
        (true, _) => Answer::new(403).body("not yours"),
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let start = Instant::now();
    let mut conn = Conn::to(sidekey.proxy);
    for _ in 0..300 {
        assert_eq!(conn.get("/api/a").status, 200);
        let refused = conn.get("/api/b");
        assert_eq!(
            (refused.status, refused.text().as_str()),
            (403, "not yours")
        );
    }
    // The first token, one for the first 403, and one each time the pause has passed.
    let allowed = 2 + usize::try_from(start.elapsed().as_secs() / 30).unwrap();
    assert!(auth.count() <= allowed, "{} token requests", auth.count());
    // A 401 has a budget of its own and is cured all the same.
    auth.revoke();
    assert_eq!(conn.get("/api/a").status, 200);
}

#[test]
fn insufficient_scope_is_passed_on_at_once() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| {
        let challenge = "Bearer realm=\"x\", error=\"insufficient_scope\", scope=\"admin\"";
        Answer::new(403)
            .header("WWW-Authenticate", challenge)
            .body("more scope")
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    for _ in 0..3 {
        let answer = sidekey.get("/api/");
        assert_eq!((answer.status, answer.text().as_str()), (403, "more scope"));
        assert!(answer.header("www-authenticate").is_some());
    }
    assert_eq!((auth.count(), upstream.count()), (1, 3));
}

#[test]
fn a_403_that_says_invalid_token_counts_as_a_401() {
    let auth = AuthServer::start();
    let live = auth.checker();
    let upstream = Server::start(move |request| match (live(request), request.path()) {
        (true, "/a") => Answer::ok("content"),
        (true, _) => Answer::new(403),
        (false, _) => Answer::new(403).header("WWW-Authenticate", "Bearer error=\"invalid_token\""),
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    // Spends the budget of plain 403s.
    assert_eq!(sidekey.get("/api/b").status, 403);
    auth.revoke();
    assert_eq!(sidekey.get("/api/a").status, 200);
}

#[test]
fn the_same_token_again_means_no_replay() {
    let auth = AuthServer::start();
    auth.repeat_token();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.revoke();
    let answer = sidekey.get("/api/");
    assert_eq!((answer.status, answer.text().as_str()), (401, "rejected"));
    assert_eq!((auth.count(), upstream.count()), (2, 1));
    eventually("the count of it", || {
        sidekey.metric("sidekey_replays_total", &[("outcome", "same_token")]) == 1.0
    });
}

#[test]
fn a_401_for_ever_is_replayed_once_and_then_passed_on() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::rejected());
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let start = Instant::now();
    let first = sidekey.get("/api/");
    assert_eq!((first.status, first.text().as_str()), (401, "rejected"));
    assert_eq!((auth.count(), upstream.count()), (2, 2));
    for _ in 0..20 {
        assert_eq!(sidekey.get("/api/").status, 401);
    }
    let allowed = 2 + usize::try_from(start.elapsed().as_secs() / 30).unwrap();
    assert!(auth.count() <= allowed, "{} token requests", auth.count());
}

#[test]
fn a_refresh_that_fails_passes_the_401_on() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.revoke();
    auth.fail(Answer::new(500));
    let answer = sidekey.get("/api/");
    assert_eq!((answer.status, answer.text().as_str()), (401, "rejected"));
    assert!(answer.header("sidekey-error").is_none());
    assert_eq!(upstream.count(), 1);
    auth.recover();
    eventually("a cure", || sidekey.get("/api/").status == 200);
}

#[test]
fn other_statuses_are_no_business_of_the_proxys() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| {
        let status = request.path().trim_start_matches('/').parse().unwrap();
        Answer::new(status).body(format!("status {status}"))
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    for status in [200, 201, 400, 404, 407, 418, 429, 500, 502, 503, 504, 599] {
        let answer = sidekey.get(&format!("/api/{status}"));
        assert_eq!(answer.status, status);
        assert_eq!(answer.text(), format!("status {status}"));
        assert!(answer.header("sidekey-error").is_none());
    }
    assert_eq!(auth.count(), 1);
}

#[test]
fn retry_on_says_which_statuses_lead_to_a_refresh() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| match request.path() {
        "/403" => Answer::new(403),
        _ => Answer::rejected(),
    });
    let conf = Conf::new(&auth, &upstream).integration("refresh: {retry_on: [401]}");
    let sidekey = Sidekey::run(&conf);
    assert_eq!(sidekey.get("/api/403").status, 403);
    assert_eq!(auth.count(), 1);
    assert_eq!(sidekey.get("/api/401").status, 401);
    assert_eq!(auth.count(), 2);
}

#[test]
fn start_up_with_the_authorization_server_down_and_later_up() {
    let port = free_port();
    let upstream_auth = AuthServer::start();
    let upstream = upstream_auth.upstream();
    let conf = Conf::at(
        &format!("http://127.0.0.1:{port}/token"),
        &format!("{}/", upstream.url()),
    );
    let conf = conf.top("refresh: {token_wait: 200ms}");
    let sidekey = Sidekey::run_unready(&conf);
    let early = sidekey.get("/api/");
    assert_eq!((early.status, early.problem()), (503, "token_unavailable"));
    let retry: u64 = early
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .unwrap();
    assert!((1..=60).contains(&retry), "{retry}");
    // The outage of the issue: twenty seconds of failed attempts.
    let start = Instant::now();
    eventually("20 s of outage", || start.elapsed().as_secs() >= 20);
    let auth = AuthServer::on_port(port);
    let _ = &upstream_auth;
    eventually("a token", || {
        auth.count() > 0 && get(sidekey.admin, "/readyz").status == 200
    });
    assert_eq!(sidekey.get("/api/").status, 401, "another server's token");
    assert_eq!(
        upstream.last().bearer(),
        auth.tokens().last().map(String::as_str)
    );
}

#[test]
fn an_expired_token_is_never_sent() {
    let auth = AuthServer::start();
    auth.life(Some(4));
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top("refresh: {token_wait: 200ms}");
    let sidekey = Sidekey::run(&conf);
    assert_eq!(sidekey.get("/api/").status, 200);
    auth.fail(Answer::new(503));
    let token = auth.token();
    eventually("its expiry", || !auth.accepts(&token));
    let sent = upstream.count();
    let answer = sidekey.get("/api/");
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "token_unavailable")
    );
    assert_eq!(upstream.count(), sent);
    auth.recover();
    eventually("recovery", || sidekey.get("/api/").status == 200);
}

#[test]
fn the_old_token_serves_while_refreshing_fails() {
    let auth = AuthServer::start();
    // Half of it is left when the refresh has failed.
    auth.life(Some(20));
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.fail(Answer::new(500));
    eventually("a failed refresh ahead of expiry", || auth.count() > 1);
    assert_eq!(sidekey.get("/api/").status, 200);
    auth.recover();
    eventually("the next token", || auth.tokens().len() > 1);
    eventually("its use", || {
        sidekey.get("/api/").status == 200
            && upstream.last().bearer() == auth.tokens().last().map(String::as_str)
    });
}

#[test]
fn a_refresh_belongs_to_nobody_so_hanging_up_cancels_nothing() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    auth.revoke();
    let gate: Gate = auth.hold();
    let mut conn = Conn::to(sidekey.proxy);
    conn.ask("/api/");
    eventually("the refresh", || gate.came() == 1);
    drop(conn);
    gate.open();
    eventually("its end", || {
        sidekey.metric(
            "sidekey_token_refreshes_total",
            &[("trigger", "rejected"), ("outcome", "success")],
        ) == 1.0
    });
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!(auth.count(), 2);
}
