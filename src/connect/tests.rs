use super::attempts::{Attempt, Attempts, Bad, Binding, LIFE, Outcome};
use super::callback::{self, Answer, Refusal};
use super::url::authorization_url;
use crate::account::{OAuthClient, OAuthTerms};
use crate::base::clock::Mono;
use crate::base::crypto::sha256_text;
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::config::checked::{CodeChallenge, GrantType};
use ::url::Url;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const REDIRECT: &str = "http://127.0.0.1:7481/oauth/callback";

fn client(endpoint: &str) -> OAuthClient {
    OAuthClient {
        token_endpoint: "https://a.example/token"
            .parse::<url::Url>()
            .unwrap()
            .into(),
        client_id: "my client".to_owned(),
        client_secret: None,
        secret_values: Box::default(),
        terms: Arc::new(OAuthTerms {
            authorization_endpoint: Some(Box::new(endpoint.parse().unwrap())),
            ..OAuthTerms::sample(GrantType::AuthorizationCode, "api offline_access")
        }),
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn key(text: &str) -> AccountKey {
    AccountKey::new(text).unwrap()
}

fn pairs(url: &Url) -> BTreeMap<String, String> {
    url.query_pairs().into_owned().collect()
}

fn built(client: &OAuthClient) -> Url {
    authorization_url(client, REDIRECT, &secret("S"), Some(&secret("verifier"))).unwrap()
}

#[test]
fn the_address_asks_for_a_code_with_pkce() {
    let url = built(&client("https://a.example/authorize?tenant=t1"));
    assert!(
        url.as_str()
            .starts_with("https://a.example/authorize?tenant=t1&")
    );
    let challenge = sha256_text("verifier");
    let expected = [
        ("tenant", "t1"),
        ("response_type", "code"),
        ("client_id", "my client"),
        ("redirect_uri", REDIRECT),
        ("scope", "api offline_access"),
        ("state", "S"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(pairs(&url), expected);
}

#[test]
fn pkce_can_be_plain_or_left_out() {
    let mut plain = client("https://a.example/authorize");
    plain.code_challenge_method = CodeChallenge::Plain;
    let found = pairs(&built(&plain));
    assert_eq!(found["code_challenge"], "verifier");
    assert_eq!(found["code_challenge_method"], "plain");
    let none = authorization_url(&plain, REDIRECT, &secret("S"), None).unwrap();
    assert!(!none.as_str().contains("code_challenge"), "{none}");
}

#[test]
fn what_is_ours_can_not_be_set_elsewhere() {
    for name in ["state", "redirect_uri", "code_challenge", "response_type"] {
        let mut extra = client("https://a.example/authorize");
        extra.authorization_parameters = vec![(name.to_owned(), "x".to_owned())];
        assert!(authorization_url(&extra, REDIRECT, &secret("S"), None).is_err());
        let own = client(&format!("https://a.example/authorize?{name}=x"));
        assert!(authorization_url(&own, REDIRECT, &secret("S"), None).is_err());
    }
}

proptest! {
    #[test]
    fn whatever_is_asked_for_arrives_as_it_is(
        scope in "[ -~äöü]{0,40}", name in "x[a-z]{1,8}", value in "\\PC{0,40}", state in "[A-Za-z0-9_-]{43}",
    ) {
        let mut client = client("https://a.example/authorize?own=1");
        client.scope = Some(scope.clone());
        client.authorization_parameters = vec![(name.clone(), value.clone())];
        let url = authorization_url(&client, REDIRECT, &secret(&state), None).unwrap();
        prop_assert_eq!(url.host_str(), Some("a.example"));
        prop_assert_eq!(url.path(), "/authorize");
        let found = pairs(&url);
        prop_assert_eq!(found.get("scope"), (!scope.is_empty()).then_some(&scope));
        prop_assert_eq!(&found[&name], &value);
        prop_assert_eq!(&found["state"], &state);
        prop_assert_eq!(&found["own"], "1");
    }

    #[test]
    fn no_callback_makes_it_panic(query in "\\PC{0,200}") {
        let _ = callback::read(&query);
    }
}

fn at(seconds: u64) -> Mono {
    Mono::new(Duration::from_secs(seconds))
}

fn browser(session: &str) -> Binding {
    Binding::Browser(session.to_owned())
}

fn attempt(number: usize, binding: Binding) -> Attempt {
    Attempt {
        id: format!("id{number}"),
        account: key("one"),
        client: "client".to_owned(),
        binding,
        verifier: Some(secret("v")),
        redirect_uri: REDIRECT.to_owned(),
    }
}

#[test]
fn a_state_is_good_once() {
    let mut attempts = Attempts::default();
    attempts.begin(at(0), "d".to_owned(), attempt(1, Binding::Api));
    assert_eq!(
        attempts.take(at(1), "other", None).unwrap_err(),
        Bad::Unknown
    );
    assert_eq!(attempts.take(at(1), "d", None).unwrap().id, "id1");
    assert_eq!(attempts.take(at(2), "d", None).unwrap_err(), Bad::Used);
    attempts.end("d", Outcome::Connected(None));
    assert_eq!(attempts.take(at(3), "d", None).unwrap_err(), Bad::Used);
    let ended = attempts.outcome(at(3), &key("one"), "id1");
    assert_eq!(ended, Some(Outcome::Connected(None)));
    assert_eq!(attempts.outcome(at(3), &key("two"), "id1"), None);
}

#[test]
fn a_state_expires() {
    let mut attempts = Attempts::default();
    attempts.begin(at(0), "d".to_owned(), attempt(1, Binding::Api));
    let late = Mono::new(LIFE);
    assert_eq!(attempts.take(late, "d", None).unwrap_err(), Bad::Expired);
    let ended = attempts.outcome(late, &key("one"), "id1");
    assert_eq!(ended, Some(Outcome::Expired));
}

#[test]
fn another_browser_can_neither_finish_nor_spoil_it() {
    let mut attempts = Attempts::default();
    attempts.begin(at(0), "d".to_owned(), attempt(1, browser("mine")));
    for other in [None, Some(browser("theirs")), Some(Binding::Api)] {
        let taken = attempts.take(at(1), "d", other.as_ref());
        assert_eq!(taken.unwrap_err(), Bad::Foreign);
    }
    assert!(attempts.take(at(2), "d", Some(&browser("mine"))).is_ok());
}

#[test]
fn there_are_never_too_many() {
    let mut attempts = Attempts::default();
    for number in 0..1_000 {
        let second = number as u64 / 10;
        let attempt = attempt(number, Binding::Api);
        attempts.begin(at(second), format!("d{number}"), attempt);
    }
    assert_eq!(
        attempts.take(at(100), "d0", None).unwrap_err(),
        Bad::Unknown
    );
    assert!(attempts.take(at(100), "d999", None).is_ok());
}

#[test]
fn a_callback_is_read_or_refused_in_words() {
    let read = callback::read("code=a%2Bb&state=S&iss=x").unwrap();
    assert_eq!(read.state.expose(), "S");
    let Answer::Code(code) = read.answer else {
        panic!("no code")
    };
    assert_eq!(code.expose(), "a+b");
    for bad in [
        "",
        "code=a",
        "state=S",
        "code=a&code=b&state=S",
        "code=a&state=S&state=T",
        "code=&state=S",
    ] {
        let refused = callback::read(bad);
        assert!(matches!(refused, Err(Refusal::Unreadable(_))), "{bad}");
    }
}

#[test]
fn errors_are_explained_and_repeat_no_nonsense() {
    let words = |query: &str| match callback::read(query).unwrap().answer {
        Answer::Error(what) => what,
        Answer::Code(_) => panic!("no error"),
    };
    let denied = words("error=access_denied&error_description=No+way&state=S");
    assert!(denied.contains("access_denied (\"No way\")"), "{denied}");
    assert!(denied.contains("refused consent"), "{denied}");
    let odd = words("error=%3Cscript%3E&error_description=%1b%5b31m&state=S&code=x");
    assert!(odd.contains("without a proper name"), "{odd}");
    assert!(!odd.contains('<') && !odd.contains('\u{1b}'), "{odd}");
}
