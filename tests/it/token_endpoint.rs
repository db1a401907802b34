//! Token endpoints that fail in every way, at the start and later.

use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey, eventually, free_port, get};

const WAIT: &str = "refresh: {token_wait: 200ms}";

/// A sidekey whose first token request gets this answer. Then the server
/// recovers, and whatever the answer was, the account has to as well.
fn first_answer(what: &str, answer: Answer) -> (AuthServer, Sidekey) {
    let auth = AuthServer::start();
    auth.fail(answer);
    let upstream = auth.upstream();
    let sidekey = Sidekey::run_unready(&Conf::new(&auth, &upstream).top(WAIT));
    let answer = sidekey.get("/api/");
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "token_unavailable"),
        "{what}"
    );
    assert_eq!(upstream.count(), 0, "{what}");
    (auth, sidekey)
}

/// Transient failures are tried again by themselves.
fn recovers(what: &str, answer: Answer) {
    let (auth, sidekey) = first_answer(what, answer);
    eventually("another attempt", || auth.count() > 1);
    auth.recover();
    eventually(what, || get(sidekey.admin, "/readyz").status == 200);
    eventually(what, || {
        sidekey.metric("sidekey_account_connected", &[("account", "one")]) == 1.0
    });
}

fn answer_with(head: &str, body: &str) -> Answer {
    Answer::raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"))
}

#[test]
fn statuses_that_pass() {
    for status in [500, 502, 503, 429] {
        recovers(&status.to_string(), Answer::json(status, "{}"));
    }
}

#[test]
fn an_empty_answer() {
    recovers("empty", Answer::ok(""));
}

#[test]
fn an_unreadable_answer() {
    recovers("not JSON", Answer::json(200, "{\"access_token\": "));
}

#[test]
fn an_answer_that_is_cut() {
    recovers(
        "a length that is a lie",
        answer_with("Content-Length: 500", "{\"access_token\":\"a\"}"),
    );
}

#[test]
fn an_answer_with_too_short_a_length() {
    let whole = "{\"access_token\":\"abcdefgh\",\"token_type\":\"Bearer\"}";
    recovers(
        "cut by its length",
        answer_with("Content-Length: 20", whole),
    );
}

#[test]
fn an_answer_with_broken_chunks() {
    recovers(
        "chunks",
        answer_with("Transfer-Encoding: chunked", "5\r\n{\"acc\r\nzz\r\n"),
    );
}

#[test]
fn ten_megabytes() {
    let auth = AuthServer::start();
    auth.fail(Answer::json(
        200,
        &format!("{{\"x\":\"{}\"}}", "y".repeat(10_000_000)),
    ));
    let upstream = auth.upstream();
    let sidekey = Sidekey::run_unready(&Conf::new(&auth, &upstream).top(WAIT));
    eventually("an attempt", || {
        auth.count() > 0 && sidekey.get("/api/").status == 503
    });
    let memory = sidekey.memory("VmHWM");
    assert!(memory < 100 * 1024, "{memory} KiB");
}

#[test]
fn a_connection_that_is_closed_without_a_word() {
    recovers("closed", Answer::raw(""));
}

#[test]
fn html_with_status_200_is_no_token() {
    let html = Answer::ok("<html><body>Sign in</body></html>").header("Content-Type", "text/html");
    let (_auth, sidekey) = first_answer("HTML", html);
    eventually("a state", || {
        get(sidekey.admin, "/readyz")
            .text()
            .contains("misconfigured")
    });
}

#[test]
fn what_only_a_person_can_mend_is_said_and_not_hammered() {
    for error in [
        "invalid_client",
        "unauthorized_client",
        "invalid_scope",
        "invalid_grant",
    ] {
        let body = format!("{{\"error\":\"{error}\",\"error_description\":\"no\"}}");
        let (auth, sidekey) = first_answer(error, Answer::json(400, &body));
        let ready = || get(sidekey.admin, "/readyz").text();
        eventually(error, || ready().contains("misconfigured"));
        for _ in 0..5 {
            sidekey.get("/api/");
        }
        assert_eq!(auth.count(), 1, "{error}: tried again at once");
        eventually(error, || sidekey.logs().contains(error));
    }
}

#[test]
fn a_missing_page_is_a_misconfiguration() {
    for status in [403, 404] {
        let (_auth, sidekey) = first_answer(&status.to_string(), Answer::new(status).body("no"));
        eventually("a state", || {
            get(sidekey.admin, "/readyz")
                .text()
                .contains("misconfigured")
        });
    }
}

#[test]
fn an_error_within_a_200() {
    let body = "{\"error\":\"invalid_client\"}";
    let (_auth, sidekey) = first_answer("error in 200", Answer::json(200, body));
    eventually("a state", || {
        get(sidekey.admin, "/readyz")
            .text()
            .contains("misconfigured")
    });
}

#[test]
fn a_redirect_is_not_followed_with_the_secret() {
    let elsewhere = Server::start(|_| Answer::ok("{\"access_token\":\"stolen\"}"));
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/token", elsewhere.url());
        let answer = Answer::new(status).header("Location", &location);
        first_answer(&status.to_string(), answer);
    }
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn a_slow_answer_is_given_up_and_asked_for_again() {
    let auth = AuthServer::start();
    let gate = auth.hold();
    let upstream = auth.upstream();
    let impatient = "refresh: {token_wait: 200ms, timeout: 2s}";
    let sidekey = Sidekey::run_unready(&Conf::new(&auth, &upstream).top(impatient));
    let answer = sidekey.get("/api/");
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "token_unavailable")
    );
    eventually("a second attempt", || gate.came() >= 2);
    gate.open();
    eventually("a token", || sidekey.get("/api/").status == 200);
}

#[test]
fn down_and_up_again() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let port = free_port();
    let endpoint = format!("http://127.0.0.1:{port}/token");
    let conf = Conf::at(&endpoint, &format!("{}/", upstream.url())).top(WAIT);
    let sidekey = Sidekey::run_unready(&conf);
    for _ in 0..3 {
        assert_eq!(sidekey.get("/api/").problem(), "token_unavailable");
    }
    let late = AuthServer::on_port(port);
    eventually("a token", || {
        late.count() > 0 && sidekey.get("/api/").status == 401
    });
}

#[test]
fn retry_after_is_honoured() {
    let auth = AuthServer::start();
    auth.next(Answer::json(503, "{}").header("Retry-After", "120"));
    let upstream = auth.upstream();
    let sidekey = Sidekey::run_unready(&Conf::new(&auth, &upstream).top(WAIT));
    let answer = sidekey.get("/api/");
    assert_eq!(answer.problem(), "token_unavailable");
    let retry: u64 = answer
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .unwrap();
    assert!((100..=150).contains(&retry), "{retry}");
    assert_eq!(auth.count(), 1);
}

#[test]
fn odd_but_good_answers_are_taken() {
    let form = Answer::ok("access_token=tokA&token_type=bearer&expires_in=3600")
        .header("Content-Type", "application/x-www-form-urlencoded");
    let answers = [
        ("form-encoded", form),
        (
            "a number in quotes",
            Answer::json(200, r#"{"access_token":"tokA","expires_in":"3600"}"#),
        ),
        ("no life", Answer::json(200, r#"{"access_token":"tokA"}"#)),
        (
            "a null life",
            Answer::json(200, r#"{"access_token":"tokA","expires_in":null}"#),
        ),
        (
            "a life of nonsense",
            Answer::json(200, r#"{"access_token":"tokA","expires_in":"soon"}"#),
        ),
        (
            "a negative life",
            Answer::json(200, r#"{"access_token":"tokA","expires_in":-5}"#),
        ),
        (
            "a boundless life",
            Answer::json(200, r#"{"access_token":"tokA","expires_in":1e300}"#),
        ),
    ];
    for (what, answer) in answers {
        let auth = AuthServer::start();
        auth.next(answer);
        let upstream = Server::start(|_| Answer::ok("content"));
        let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
        assert_eq!(Conn::to(sidekey.proxy).get("/api/").status, 200, "{what}");
        assert_eq!(upstream.only().bearer(), Some("tokA"), "{what}");
    }
}

#[test]
fn a_token_that_cannot_be_written_is_a_failed_refresh() {
    let (_auth, sidekey) = first_answer(
        "a line break",
        Answer::json(
            200,
            "{\"access_token\":\"a\\r\\nX-Evil: b\",\"expires_in\":3600}",
        ),
    );
    assert_eq!(
        sidekey.metric("sidekey_account_connected", &[("account", "one")]),
        0.0
    );
}
