//! The configuration contract, every key of it, on a local server: what a call
//! without a credential looks like when it arrives.

use crate::support::conf::{CLIENT_ID, CLIENT_SECRET};
use crate::support::sidekey::Launch;
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey, call, free_port};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

const CONTRACT: &str = r#"
listen: 127.0.0.1:@PROXY@
admin:
  listen: 127.0.0.1:@ADMIN@
  public_url: http://127.0.0.1:@ADMIN@
  token: {file: admin-token}
probes: {listen: "127.0.0.1:@PROBES@"}
store: {path: ./sidekey.db, key: {env: SIDEKEY_STORE_KEY}}
integrations:
  - key: crm
    name: Example CRM
    parameters: [serverName, {name: tenant, title: Tenant, pattern: "[a-z0-9]+", default: t1}]
    oauth2:
      grant_type: client_credentials
      authorization_endpoint: http://127.0.0.1:@AUTH@/{serverName}/authorize?tenant={tenant}
      token_endpoint: http://127.0.0.1:@AUTH@/{serverName}/token
      token_endpoint_method: POST
      token_endpoint_auth_method: client_secret_basic
      revocation_endpoint: http://127.0.0.1:@AUTH@/{serverName}/revoke
      scope: api offline_access
      client_id: abc
      client_secret: {file: crm-secret}
      code_challenge_method: S256
      authorization_parameters: {access_type: offline}
      token_parameters: {audience: "https://{serverName}.example.com"}
    token: {in: header, name: Authorization, value: "Bearer {token}"}
    request_parameters:
      - {in: header, name: X-Tenant, value: "{tenant}"}
    refresh: {before_expiry: 30m, retry_on: [401, 403], reuse_grace: 0s}
accounts:
  - {key: crmDev, integration: crm, parameters: {serverName: dev, tenant: t1}}
routes:
  - {name: crm, path: /crm/, upstream: "http://127.0.0.1:@UP@/{serverName}/api/", account: crmDev}
  - match: {host: "*.internal", path: {exact: /v1/report}, methods: [GET], headers: {x-team: blue}}
    upstream: http://127.0.0.1:@UP@/
    account: crmDev
    timeout: 60s
    replay_body_limit: 64KiB
    allow_plaintext: false
    allow_origins: []
log: {level: info, format: text, access: true}
"#;

struct Contract {
    auth: AuthServer,
    upstream: Server,
    sidekey: Sidekey,
}

fn contract() -> Contract {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let yaml = CONTRACT
        .replace("@PROBES@", &free_port().to_string())
        .replace("@AUTH@", &auth.server.address.port().to_string())
        .replace("@UP@", &upstream.address.port().to_string());
    let file = |name: &str, content: &str| (name.to_owned(), content.to_owned());
    let mut sidekey = Sidekey::launch(&Launch {
        yaml,
        environment: vec![("SIDEKEY_STORE_KEY".into(), "5e".repeat(32))],
        files: vec![
            file("admin-token", "an-admin-token"),
            file("crm-secret", "a crm secret\n"),
        ],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    Contract {
        auth,
        upstream,
        sidekey,
    }
}

#[test]
fn a_call_without_a_credential_reaches_the_upstream_with_the_token() {
    let c = contract();
    let answer = c.sidekey.get("/crm/contacts/7?fields=name");
    assert_eq!((answer.status, answer.text().as_str()), (200, "content"));
    let seen = c.upstream.only();
    assert_eq!(seen.method, "GET");
    assert_eq!(seen.target, "/dev/api/contacts/7?fields=name");
    assert_eq!(seen.bearer(), Some(c.auth.token().as_str()));
    assert_eq!(seen.header("x-tenant"), Some("t1"));
    let authority = c.upstream.address.to_string();
    assert_eq!(seen.header("host"), Some(authority.as_str()));
    for added in ["x-forwarded-for", "x-forwarded-host", "forwarded", "via"] {
        assert_eq!(seen.header(added), None, "{added}");
    }
}

#[test]
fn the_token_request_is_the_one_of_the_contract() {
    let c = contract();
    let request = c.auth.server.only();
    assert_eq!(request.method, "POST");
    assert_eq!(request.target, "/dev/token");
    let basic = format!("Basic {}", BASE64_STANDARD.encode("abc:a+crm+secret"));
    assert_eq!(request.header("authorization"), Some(basic.as_str()));
    assert_eq!(
        request.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    let mut form = request.form();
    form.sort();
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    let expected = [
        pair("audience", "https://dev.example.com"),
        pair("grant_type", "client_credentials"),
        pair("scope", "api offline_access"),
    ];
    assert_eq!(form, expected);
}

#[test]
fn a_route_matches_by_host_path_method_and_header() {
    let c = contract();
    let report = |host: &str, path: &str, method: &str, team: &str| {
        let headers = [("Host", host), ("X-Team", team)];
        call(c.sidekey.proxy, method, path, &headers, b"")
    };
    assert_eq!(
        report("a.internal", "/v1/report", "GET", "blue").status,
        200
    );
    // An exact path is no prefix to replace: all of it goes on.
    assert_eq!(c.upstream.only().target, "/v1/report");
    let no_route = [
        report("a.internal", "/v1/report/", "GET", "blue"),
        report("a.internal", "/v1/report", "GET", "red"),
        report("127.0.0.1", "/v1/report", "GET", "blue"),
    ];
    for answer in &no_route {
        assert_eq!((answer.status, answer.problem()), (404, "route_not_found"));
    }
    let method = report("a.internal", "/v1/report", "POST", "blue");
    assert!([404, 405].contains(&method.status), "{method:?}");
    assert_eq!(c.upstream.count(), 1);
}

#[test]
fn the_secret_goes_into_the_body_where_that_is_asked_for() {
    let auth = AuthServer::start();
    let conf = Conf::new(&auth, &auth.upstream());
    let conf = conf.oauth2("token_endpoint_auth_method: client_secret_post");
    let _sidekey = Sidekey::run(&conf);
    let request = auth.server.only();
    assert_eq!(request.header("authorization"), None);
    let form = request.form();
    for (name, value) in [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)] {
        assert!(form.contains(&(name.into(), value.into())), "{form:?}");
    }
}

#[test]
fn a_public_client_sends_its_name_alone() {
    let auth = AuthServer::start();
    let conf = Conf::new(&auth, &auth.upstream());
    let conf = conf.oauth2("token_endpoint_auth_method: none");
    let _sidekey = Sidekey::run(&conf);
    let request = auth.server.only();
    assert_eq!(request.header("authorization"), None);
    let form = request.form();
    assert!(form.contains(&("client_id".into(), CLIENT_ID.into())));
    assert!(form.iter().all(|(name, _)| name != "client_secret"));
}

#[test]
fn a_get_carries_everything_in_the_query() {
    let auth = AuthServer::start();
    let conf = Conf::new(&auth, &auth.upstream())
        .oauth2("token_endpoint_method: GET")
        .oauth2("token_endpoint_auth_method: client_secret_post");
    let _sidekey = Sidekey::run(&conf);
    let request = auth.server.only();
    assert_eq!((request.method.as_str(), request.path()), ("GET", "/token"));
    assert!(request.body.is_empty());
    let form = request.form();
    for (name, value) in [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("scope", "api"),
    ] {
        assert!(form.contains(&(name.into(), value.into())), "{form:?}");
    }
}

#[test]
fn basic_form_encodes_name_and_secret_first() {
    let auth = AuthServer::start();
    let _sidekey = Sidekey::run(&Conf::new(&auth, &auth.upstream()));
    let request = auth.server.only();
    let sent = request.header("authorization").expect("Authorization");
    let sent = BASE64_STANDARD.decode(sent.strip_prefix("Basic ").unwrap());
    let sent = String::from_utf8(sent.unwrap()).unwrap();
    let (id, secret) = sent.split_once(':').expect("a colon");
    let decode = |text: &str| {
        let form = format!("x={text}");
        let mut pairs = url::form_urlencoded::parse(form.as_bytes());
        pairs.next().unwrap().1.into_owned()
    };
    assert_eq!(
        (decode(id), decode(secret)),
        (CLIENT_ID.into(), CLIENT_SECRET.into())
    );
}
