use super::{ConnectedAccount, ResolveError, SecretSource, create, upstream};
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::base::template::{Template, UrlTemplate};
use crate::config::checked::{
    Account, ClientAuth, ClientSecret, CodeChallenge, GrantType, Integration, OAuth2,
    ParameterSpec, ParameterValue, Placement, RefreshRules, RequestParameter, SecretTemplate,
    TokenMethod, TokenTemplate,
};
use std::sync::Arc;
use std::time::Duration;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn integration() -> Integration {
    Integration {
        key: "crm".to_owned(),
        name: "Example CRM".to_owned(),
        parameters: Vec::new(),
        oauth2: OAuth2 {
            grant_type: GrantType::ClientCredentials,
            authorization_endpoint: None,
            token_endpoint: UrlTemplate::parse("https://{server}.example.com/token?t={tenant}")
                .unwrap(),
            token_endpoint_method: TokenMethod::Post,
            token_endpoint_auth_method: ClientAuth::Basic,
            revocation_endpoint: None,
            proxy: None,
            redirect_uri: None,
            issuer: None,
            scope: Some(template("api {tenant}")),
            client_id: template("{tenant}-client"),
            client_secret: Some(ClientSecret::Text(SecretTemplate(template("{key}!")))),
            code_challenge_method: CodeChallenge::S256,
            authorization_parameters: Vec::new(),
            token_parameters: vec![("audience".to_owned(), template("https://{server}"))],
        },
        token: TokenTemplate {
            place: Placement::Header,
            name: template("X-{tenant}"),
            value: template("{tenant} {token} {{x}}"),
        },
        request_parameters: vec![
            RequestParameter {
                place: Placement::Header,
                name: template("X-Key"),
                value: template("{key}"),
            },
            RequestParameter {
                place: Placement::Query,
                name: template("a b"),
                value: template("{tenant}&"),
            },
        ],
        refresh: RefreshRules {
            before_expiry: Duration::from_mins(30),
            retry_on: vec![401, 403],
            reuse_grace: Duration::ZERO,
        },
    }
}

fn account(integration: Integration, tenant: &str, key: &str) -> Account {
    let plain = |text: &str| ParameterValue::Plain(text.to_owned());
    Account {
        key: AccountKey::new("crmDev").unwrap(),
        integration: Arc::new(integration),
        parameters: [
            ("server".to_owned(), plain("dev")),
            ("tenant".to_owned(), plain(tenant)),
            (
                "key".to_owned(),
                ParameterValue::Secret(Secret::new(key.to_owned())),
            ),
        ]
        .into(),
    }
}

fn mistake(change: impl FnOnce(&mut Integration)) -> ResolveError {
    let mut integration = integration();
    change(&mut integration);
    ConnectedAccount::resolve(&account(integration, "t1", "hunter2")).unwrap_err()
}

#[test]
fn every_input_is_filled_in() {
    let resolved = ConnectedAccount::resolve(&account(integration(), "t1", "hunter2")).unwrap();
    let oauth = &resolved.oauth;
    assert_eq!(
        oauth.token_endpoint.as_str(),
        "https://dev.example.com/token?t=t1"
    );
    assert_eq!(oauth.scope.as_deref(), Some("api t1"));
    assert_eq!(oauth.client_id, "t1-client");
    assert_eq!(
        oauth.token_parameters,
        [("audience".to_owned(), "https://dev".to_owned())]
    );
    let Some(SecretSource::Text(secret)) = oauth.client_secret.as_deref() else {
        panic!("no secret")
    };
    assert_eq!(secret.expose(), "hunter2!");
    let attach = &resolved.attach;
    assert_eq!(attach.name, "X-t1");
    let value = attach
        .value
        .expand(&|name| (name == "token").then_some("T"));
    assert_eq!(value.unwrap(), "t1 T {x}");
    assert_eq!(attach.headers[0].1, "hunter2");
    assert!(attach.headers[0].1.is_sensitive());
    assert_eq!(attach.query, [("a b".to_owned(), "t1&".to_owned())]);
}

#[test]
fn accounts_share_what_is_equal_and_nothing_else() {
    let integration = Arc::new(integration());
    let account = |tenant: &str| Account {
        integration: integration.clone(),
        ..account(self::integration(), tenant, "hunter2")
    };
    let first = ConnectedAccount::resolve(&account("t1")).unwrap();
    let like = |tenant| ConnectedAccount::resolve_like(&account(tenant), Some(&first)).unwrap();
    let (same, other) = (like("t1"), like("t2"));
    assert!(Arc::ptr_eq(&first.attach, &same.attach));
    assert!(Arc::ptr_eq(
        &first.oauth.token_endpoint,
        &same.oauth.token_endpoint
    ));
    assert_eq!(other.attach.name, "X-t2");
    assert_eq!(
        other.oauth.token_endpoint.as_str(),
        "https://dev.example.com/token?t=t2"
    );
}

#[test]
fn a_value_is_no_template() {
    let resolved =
        ConnectedAccount::resolve(&account(integration(), "t1", "{token}{tenant}")).unwrap();
    assert_eq!(resolved.attach.headers[0].1, "{token}{tenant}");
}

#[test]
fn mistakes_name_the_input_and_no_value() {
    let cases = [
        (
            mistake(|i| i.oauth2.scope = Some(template("{nowhere}"))),
            "oauth2.scope",
        ),
        (
            mistake(|i| i.token.name = template("not a name")),
            "token.name",
        ),
        (
            mistake(|i| i.token.value = template("no place")),
            "token.value",
        ),
        (
            mistake(|i| i.token.value = template("{token} {nowhere}")),
            "token.value",
        ),
        (
            mistake(|i| i.request_parameters[0].name = template("a:b")),
            "request_parameters[0].name",
        ),
        (
            mistake(|i| i.request_parameters[0].value = template("{key}\r\nX: y")),
            "request_parameters[0].value",
        ),
    ];
    for (error, input) in cases {
        assert_eq!(error.input, input);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_value_that_does_not_fit_its_url_is_a_mistake() {
    let mut bad = account(integration(), "t1", "hunter2");
    let value = ParameterValue::Plain("evil.example/".to_owned());
    bad.parameters.insert("server".to_owned(), value);
    let error = ConnectedAccount::resolve(&bad).unwrap_err();
    assert_eq!(error.input, "oauth2.token_endpoint");
    assert!(!error.what.contains("evil"), "{error}");
}

#[test]
fn debug_shows_no_secret() {
    let resolved = ConnectedAccount::resolve(&account(integration(), "t1", "hunter2")).unwrap();
    let shown = format!("{resolved:?} {:?} {:?}", resolved.oauth, resolved.attach);
    assert!(!shown.contains("hunter2"), "{shown}");
}

fn parameter(name: &str) -> ParameterSpec {
    ParameterSpec {
        name: name.to_owned(),
        title: None,
        pattern: None,
        choices: None,
        default: None,
        secret: false,
    }
}

fn declared(token_endpoint: &str) -> Integration {
    let mut integration = integration();
    integration.oauth2.token_endpoint = UrlTemplate::parse(token_endpoint).unwrap();
    let mut key = parameter("key");
    (key.secret, key.default) = (true, Some("hunter2".to_owned()));
    integration.parameters = vec![parameter("server"), parameter("tenant"), key];
    integration
}

fn created(integration: Integration, server: &str) -> Result<String, ResolveError> {
    let values = [("server", server), ("tenant", "t1")];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let key = AccountKey::new("new").unwrap();
    let account = create(key, &Arc::new(integration), &values.into());
    account.map(|account| account.oauth.token_endpoint.to_string())
}

#[test]
fn a_value_that_is_not_trusted_can_only_be_a_label() {
    let with = |server: &str| created(declared("https://{server}.example.com/token"), server);
    assert_eq!(with("dev").unwrap(), "https://dev.example.com/token");
    for bad in [
        "",
        "evil.test/",
        "evil.test",
        "a.b",
        "-a",
        "a-",
        "a@b",
        "ä",
        "a\n",
    ] {
        let error = with(bad).unwrap_err();
        assert_eq!(error.input, "parameters.server", "{bad:?}");
        assert!(bad.is_empty() || !error.what.contains(bad), "{error}");
    }
}

#[test]
fn a_value_that_leads_anywhere_must_be_limited_by_the_integration() {
    for open in [
        "https://{server}/token",
        "https://example.{server}/token",
        "https://{server}.com/token",
        "https://example.com:{server}/token",
    ] {
        let error = created(declared(open), "evil").unwrap_err();
        assert_eq!(error.input, "parameters.server", "{open}");
    }
    let mut limited = declared("https://{server}/token");
    limited.parameters[0].pattern = Some("(a|b)\\.example".to_owned());
    assert!(created(limited, "a.example").is_ok());
    let mut limited = declared("https://{server}/token");
    limited.parameters[0].choices = Some(vec!["a.example".to_owned()]);
    assert!(created(limited, "a.example.evil.test").is_err());
    let mut limited = declared("https://{server}/token");
    limited.parameters[0].pattern = Some("a|b.example".to_owned());
    assert!(
        created(limited, "b.example.evil.test").is_err(),
        "the pattern is anchored"
    );
}

#[test]
fn unknown_and_missing_parameters_are_mistakes() {
    let integration = Arc::new(declared("https://{server}.example.com/token"));
    let key = || AccountKey::new("new").unwrap();
    let missing = create(key(), &integration, &[].into()).unwrap_err();
    assert_eq!(missing.input, "parameters.server");
    let odd = [("nowhere".to_owned(), "x".to_owned())].into();
    let unknown = create(key(), &integration, &odd).unwrap_err();
    assert_eq!(unknown.input, "parameters");
}

#[test]
fn an_upstream_is_filled_in_with_what_may_stand_there() {
    let integration = Arc::new(declared("https://{server}.example.com/token"));
    let values = [("server", "dev"), ("tenant", "t1")];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let key = AccountKey::new("new").unwrap();
    let account = create(key, &integration, &values.into()).unwrap();
    let of = |template: &str| upstream(&UrlTemplate::parse(template).unwrap(), &account);
    let filled = of("https://{server}.api.example.com/{tenant}/").unwrap();
    assert_eq!(filled.as_str(), "https://dev.api.example.com/t1/");
    let error = of("https://{tenant}/").unwrap_err();
    assert_eq!(error.input, "parameters.tenant", "it may lead anywhere");
}

/// Also of an account that is made while it runs, of values that nobody has checked.
#[test]
fn no_value_makes_a_field_that_frames_or_routes_a_message() {
    for name in ["Host", "Content-Length", "transfer_encoding", "Connection"] {
        let mut of_token = integration();
        of_token.token.name = template("{tenant}");
        let mut of_parameter = integration();
        of_parameter.request_parameters[0].name = template("{tenant}");
        for integration in [of_token, of_parameter] {
            let resolved = ConnectedAccount::resolve(&account(integration, name, "hunter2"));
            let why = resolved.unwrap_err().to_string();
            assert!(why.contains("belongs to the connection"), "{name}: {why}");
        }
    }
}
