use super::{client, secret};
use crate::config::checked::{ClientAuth, TokenMethod};
use crate::oauth::{FailureKind, Grant, TokenRequest, build};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::{any, prop_assert_eq, proptest};
use url::form_urlencoded::parse;

const ENDPOINT: &str = "https://auth.example.com/token?tenant=t%201";

/// The request's parameters as a server decodes them.
fn form(request: &TokenRequest) -> Vec<(String, String)> {
    let text = match &request.body {
        Some(body) => body.as_str(),
        None => request.url.query().unwrap(),
    };
    parse(text.as_bytes()).into_owned().collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    expected.iter().map(owned).collect()
}

/// RFC 6749, 2.3.1, read backwards.
fn basic_of(request: &TokenRequest) -> (String, String) {
    let value = request.authorization.as_ref().unwrap();
    assert!(value.is_sensitive());
    let text = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
    let pair = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
    let (id, secret) = pair.split_once(':').unwrap();
    (decode(id), decode(secret))
}

fn decode(text: &str) -> String {
    let (name, value) = parse(text.as_bytes()).next().unwrap_or_default();
    assert!(value.is_empty());
    name.into_owned()
}

#[test]
fn client_credentials_with_basic() {
    let request = build(
        &client(ENDPOINT),
        &Grant::ClientCredentials,
        Some(&secret("s+c r&t")),
    )
    .unwrap();
    assert_eq!(request.url.as_str(), ENDPOINT);
    assert_eq!(
        form(&request),
        pairs(&[("grant_type", "client_credentials"), ("scope", "api read")])
    );
    assert_eq!(basic_of(&request), ("my:client".into(), "s+c r&t".into()));
}

#[test]
fn in_the_body_with_parameters() {
    let mut client = client(ENDPOINT);
    client.token_endpoint_auth_method = ClientAuth::Post;
    client.scope = None;
    client.token_parameters = pairs(&[("audience", "https://a/?b=c&d"), ("audience", "second")]);
    let request = build(&client, &Grant::ClientCredentials, Some(&secret("s"))).unwrap();
    assert!(request.authorization.is_none());
    let expected = pairs(&[
        ("grant_type", "client_credentials"),
        ("client_id", "my:client"),
        ("client_secret", "s"),
        ("audience", "https://a/?b=c&d"),
        ("audience", "second"),
    ]);
    assert_eq!(form(&request), expected);
}

#[test]
fn by_get_the_endpoints_own_query_stays() {
    let mut client = client(ENDPOINT);
    client.token_endpoint_method = TokenMethod::Get;
    client.token_endpoint_auth_method = ClientAuth::None;
    let request = build(&client, &Grant::ClientCredentials, None).unwrap();
    assert!(request.body.is_none() && request.authorization.is_none());
    let expected = pairs(&[
        ("tenant", "t 1"),
        ("grant_type", "client_credentials"),
        ("scope", "api read"),
        ("client_id", "my:client"),
    ]);
    assert_eq!(form(&request), expected);
    assert!(request.url.as_str().starts_with(&format!("{ENDPOINT}&")));
}

#[test]
fn a_refresh_names_no_scope() {
    let grant = Grant::RefreshToken(secret("r/1"));
    let request = build(&client(ENDPOINT), &grant, Some(&secret("s"))).unwrap();
    let expected = pairs(&[("grant_type", "refresh_token"), ("refresh_token", "r/1")]);
    assert_eq!(form(&request), expected);
}

#[test]
fn a_code_comes_with_its_address_and_verifier() {
    let grant = Grant::AuthorizationCode {
        code: secret("c"),
        redirect_uri: "http://127.0.0.1:7481/oauth/callback".into(),
        code_verifier: Some(secret("v")),
    };
    let request = build(&client(ENDPOINT), &grant, Some(&secret("s"))).unwrap();
    let expected = pairs(&[
        ("grant_type", "authorization_code"),
        ("code", "c"),
        ("redirect_uri", "http://127.0.0.1:7481/oauth/callback"),
        ("code_verifier", "v"),
    ]);
    assert_eq!(form(&request), expected);
}

#[test]
fn what_is_sent_already_cannot_be_repeated() {
    for (name, get) in [
        ("grant_type", false),
        ("scope", false),
        ("client_secret", false),
        ("tenant", true),
    ] {
        let mut client = client(ENDPOINT);
        client.token_endpoint_auth_method = ClientAuth::Post;
        client.token_parameters = pairs(&[(name, "x")]);
        if get {
            client.token_endpoint_method = TokenMethod::Get;
        }
        let failure = build(&client, &Grant::ClientCredentials, Some(&secret("s"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Misconfigured);
        assert!(failure.what.contains(name), "{}", failure.what);
    }
}

#[test]
fn debug_shows_nothing_of_it() {
    let mut client = client(ENDPOINT);
    client.token_endpoint_method = TokenMethod::Get;
    client.token_endpoint_auth_method = ClientAuth::Post;
    let request = build(&client, &Grant::ClientCredentials, Some(&secret("hunter2"))).unwrap();
    let shown = format!("{request:?} {client:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("my:client"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        id in any::<String>(), key in any::<String>(), value in any::<String>(),
        post in any::<bool>(), get in any::<bool>(),
    ) {
        let mut client = client("https://a.example/token");
        client.client_id.clone_from(&id);
        client.scope = Some(value.clone());
        client.token_parameters = vec![("extra".to_owned(), value.clone())];
        if post {
            client.token_endpoint_auth_method = ClientAuth::Post;
        }
        if get {
            client.token_endpoint_method = TokenMethod::Get;
        }
        let request = build(&client, &Grant::ClientCredentials, Some(&secret(&key))).unwrap();
        prop_assert_eq!(request.url.host_str(), Some("a.example"));
        let form = form(&request);
        let get = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        prop_assert_eq!(get("scope"), Some(value.as_str()));
        prop_assert_eq!(get("extra"), Some(value.as_str()));
        if post {
            prop_assert_eq!(get("client_id"), Some(id.as_str()));
            let sent = (!key.is_empty()).then_some(key.as_str());
            prop_assert_eq!(get("client_secret"), sent);
        } else {
            prop_assert_eq!(basic_of(&request), (id, key));
        }
    }
}
