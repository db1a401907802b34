use super::secret;
use crate::base::clock::Wall;
use crate::oauth::FailureKind::{self, Dead, Misconfigured, Transient, Unreadable};
use crate::oauth::{Failure, RawAnswer, Redactor, TokenAnswer, read};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};
use std::time::Duration;

const NOW: Wall = Wall::new(Duration::from_secs(1_700_000_000));
const SECRET: &str = "the-client-secret-9f8e7d6c5b4a";

fn raw(status: u16, content_type: &str, body: &str) -> RawAnswer {
    RawAnswer {
        status,
        content_type: Some(content_type.to_owned()),
        retry_after: None,
        body: body.as_bytes().to_vec().into(),
    }
}

fn json(status: u16, body: &str) -> RawAnswer {
    raw(status, "application/json", body)
}

fn redactor() -> Redactor {
    let mut redactor = Redactor::new();
    redactor.add_pair("my-client", &secret(SECRET));
    redactor
}

fn personal(raw: &RawAnswer) -> Result<TokenAnswer, Failure> {
    read(raw, true, NOW, &redactor())
}

fn token(raw: &RawAnswer) -> TokenAnswer {
    read(raw, false, NOW, &redactor()).unwrap()
}

fn life(expires_in: &str) -> Option<u64> {
    let body = format!(r#"{{"access_token":"t","expires_in":{expires_in}}}"#);
    token(&json(200, &body)).life.map(|l| l.as_secs())
}

fn kind(raw: &RawAnswer) -> FailureKind {
    personal(raw).unwrap_err().kind
}

fn jwt(claims: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn a_whole_answer() {
    let answer = token(&json(
        200,
        r#"{"access_token":"t","token_type":"Bearer","expires_in":3600,"refresh_token":"r","scope":"a b","more":[1]}"#,
    ));
    assert_eq!(answer.access_token.expose(), "t");
    assert_eq!(answer.token_type.as_deref(), Some("Bearer"));
    assert_eq!(answer.life, Some(Duration::from_secs(3_600)));
    assert_eq!(answer.refresh_token.unwrap().expose(), "r");
    assert_eq!(answer.scope.as_deref(), Some("a b"));
}

#[test]
fn forms_are_answers_too_whatever_their_content_type_says() {
    for content_type in [
        "application/x-www-form-urlencoded",
        "text/plain; charset=utf-8",
        "application/json",
    ] {
        let raw = raw(
            200,
            content_type,
            "access_token=t%2B1&expires_in=60&scope=a+b\n",
        );
        let answer = token(&raw);
        assert_eq!(answer.access_token.expose(), "t+1");
        assert_eq!(answer.life, Some(Duration::from_secs(60)));
        assert_eq!(answer.scope.as_deref(), Some("a b"));
    }
    let raw = raw(200, "text/plain", "\u{feff}{\"access_token\":\"t\"}");
    assert_eq!(token(&raw).access_token.expose(), "t");
}

#[test]
fn lives_come_in_many_spellings() {
    assert_eq!(life("3600"), Some(3_600));
    assert_eq!(life("\"3600\""), Some(3_600));
    assert_eq!(life("3599.9"), Some(3_599));
    assert_eq!(life("\" 60.5 \""), Some(60));
    for nonsense in [
        "0",
        "-1",
        "null",
        "true",
        "\"\"",
        "\"soon\"",
        "\"NaN\"",
        "\"inf\"",
        "[]",
        "{}",
        "1e300",
        "9223372036854775807",
        "-0.0",
        "\"-60\"",
    ] {
        assert_eq!(life(nonsense), None, "{nonsense}");
    }
}

#[test]
fn a_jwt_tells_its_own_end() {
    let of = |token: &str| {
        let body = format!(r#"{{"access_token":"{token}"}}"#);
        self::token(&json(200, &body)).life.map(|l| l.as_secs())
    };
    assert_eq!(of(&jwt(r#"{"exp":1700000600}"#)), Some(600));
    assert_eq!(of(&jwt(r#"{"exp":1700000600.5}"#)), Some(600));
    assert_eq!(of(&jwt(r#"{"exp":1600000000}"#)), None, "past");
    assert_eq!(of(&jwt(r#"{"exp":"soon"}"#)), None);
    assert_eq!(of(&jwt("[]")), None);
    assert_eq!(of("a.b"), None);
    assert_eq!(of("a.b.c.d"), None);
    assert_eq!(of(&format!("e30.{}.x", "A".repeat(70_000))), None);
    let body = format!(
        r#"{{"access_token":"{}","expires_in":0}}"#,
        jwt(r#"{"exp":1700000600}"#)
    );
    assert_eq!(
        self::token(&json(200, &body)).life,
        Some(Duration::from_secs(600))
    );
}

#[test]
fn named_errors() {
    let named = |code: &str| json(400, &format!(r#"{{"error":"{code}"}}"#));
    for (code, expected) in [
        ("invalid_grant", Dead),
        ("interaction_required", Dead),
        ("invalid_client", Misconfigured),
        ("unauthorized_client", Misconfigured),
        ("invalid_scope", Misconfigured),
        ("unsupported_grant_type", Misconfigured),
        ("invalid_request", Misconfigured),
        ("something_new", Misconfigured),
        ("temporarily_unavailable", Transient),
        ("server_error", Transient),
    ] {
        assert_eq!(kind(&named(code)), expected, "{code}");
    }
    let client = read(&named("invalid_grant"), false, NOW, &redactor());
    assert_eq!(client.unwrap_err().kind, Misconfigured);
}

#[test]
fn an_error_under_200_and_in_a_form() {
    let raw = raw(
        200,
        "application/x-www-form-urlencoded",
        "error=bad_refresh_token&error_description=It+is+gone",
    );
    let failure = personal(&raw).unwrap_err();
    assert_eq!(failure.kind, Dead);
    assert!(failure.what.contains("It is gone"), "{}", failure.what);
    assert!(failure.what.contains("connect this account again"));
    assert_eq!(
        kind(&json(200, r#"{"error":"invalid_client"}"#)),
        Misconfigured
    );
}

#[test]
fn statuses_without_a_readable_error() {
    let html = "<!DOCTYPE html><title>Error</title>";
    for (status, expected) in [
        (301, Misconfigured),
        (302, Misconfigured),
        (400, Unreadable),
        (401, Unreadable),
        (403, Misconfigured),
        (404, Misconfigured),
        (405, Misconfigured),
        (418, Misconfigured),
        (408, Transient),
        (429, Transient),
        (500, Transient),
        (503, Transient),
    ] {
        for body in ["", html, "no", "{}", "[1]", r#"{"error":{"code":1}}"#] {
            assert_eq!(
                kind(&raw(status, "text/html", body)),
                expected,
                "{status} {body}"
            );
        }
    }
    assert_eq!(kind(&json(503, r#"{"error":"invalid_grant"}"#)), Transient);
    assert_eq!(kind(&json(403, r#"{"error":"invalid_grant"}"#)), Dead);
}

#[test]
fn only_a_breakdown_may_have_spent_what_was_sent() {
    for (status, expected) in [
        (500, true),
        (502, true),
        (504, true),
        (503, false),
        (429, false),
        (400, false),
    ] {
        let failure = personal(&json(status, "")).unwrap_err();
        assert_eq!(failure.maybe_spent, expected, "{status}");
    }
}

#[test]
fn successes_without_a_token() {
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "hello",
        r#"{"access_token":""}"#,
        r#"{"access_token":7}"#,
    ] {
        let failure = personal(&json(200, body)).unwrap_err();
        assert_eq!(failure.kind, Transient, "{body}");
        assert!(failure.maybe_spent, "{body}");
    }
    assert_eq!(
        kind(&raw(200, "text/html", "<html>access_token=x")),
        Misconfigured
    );
    assert_eq!(kind(&raw(200, "", "  <html>")), Misconfigured);
}

#[test]
fn pauses_that_servers_ask_for() {
    let pause = |text: &str| {
        let mut raw = json(429, "");
        raw.retry_after = Some(text.to_owned());
        personal(&raw).unwrap_err().retry_after.map(|p| p.as_secs())
    };
    assert_eq!(pause("120"), Some(120));
    assert_eq!(pause(" 7 "), Some(7));
    assert_eq!(pause("Tue, 14 Nov 2023 22:14:20 GMT"), Some(60));
    assert_eq!(pause("99999999999999999999999"), Some(3_600), "capped");
    assert_eq!(pause("Fri, 31 Dec 9999 23:59:59 GMT"), Some(3_600));
    for nothing in ["0", "-5", "soon", "", "Tue, 14 Nov 2000 22:14:20 GMT"] {
        assert_eq!(pause(nothing), None, "{nothing}");
    }
}

#[test]
fn what_a_server_says_repeats_no_secret_and_no_control_character() {
    let said = format!(r#"{{"error":"invalid_client","error_description":"bad secret {SECRET}"}}"#);
    let failure = personal(&json(401, &said)).unwrap_err();
    assert!(!failure.what.contains("9f8e7d6c"), "{}", failure.what);
    assert!(failure.what.contains("check client_id"), "{}", failure.what);
    let said = format!(r#"{{"error":"{SECRET}"}}"#);
    let failure = personal(&json(401, &said)).unwrap_err();
    assert!(!failure.what.contains("9f8e7d6c"), "{}", failure.what);
    let said = r#"{"error":"invalid_scope","error_description":"a\r\n\u001b[2Jb"}"#;
    let failure = personal(&json(400, said)).unwrap_err();
    assert!(failure.what.contains("(\"a[2Jb\")"), "{}", failure.what);
    let long = format!(
        r#"{{"error":"invalid_scope","error_description":"{}"}}"#,
        "x".repeat(200_000)
    );
    assert!(personal(&json(400, &long)).unwrap_err().what.len() < 600);
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        "[a-z_]{1,12}",
        proptest::strategy::Just("access_token".to_owned()),
        proptest::strategy::Just("expires_in".to_owned()),
        proptest::strategy::Just("error".to_owned()),
    ];
    let value = prop_oneof![
        "\"[ -~]{0,20}\"",
        "-?[0-9]{1,30}",
        "[0-9]\\.[0-9]e[0-9]{1,3}",
        "null",
        "\\[\\[\\[\\]"
    ];
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        "[a-z_=&%+0-9]{0,200}".prop_map(String::into_bytes),
        proptest::collection::vec((field, value), 0..6).prop_map(|fields| {
            let fields: Vec<String> = fields.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
            format!("{{{}}}", fields.join(",")).into_bytes()
        }),
        (1_usize..5_000).prop_map(|n| "[".repeat(n).into_bytes()),
    ]
}

proptest! {
    #[test]
    fn no_answer_panics(
        status in 0_u16..1_000, body in bodies(), personal in any::<bool>(),
        content_type in proptest::option::of("[ -~]{0,40}"),
        retry_after in proptest::option::of("[ -~]{0,40}"),
    ) {
        let raw = RawAnswer { status, content_type, retry_after, body: body.into() };
        match read(&raw, personal, NOW, &redactor()) {
            Ok(answer) => prop_assert!(!answer.access_token.is_empty()),
            Err(failure) => {
                prop_assert!(failure.what.len() < 2_000);
                prop_assert!(!failure.what.chars().any(char::is_control));
                prop_assert!(personal || failure.kind != Dead);
            }
        }
    }
}
