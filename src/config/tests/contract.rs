//! The file that the documentation promises to load, key by key.

use super::load;
use crate::base::key::Key;
use crate::config::checked::listening::Address;
use crate::config::checked::{
    ClientAuth, ClientSecret, CodeChallenge, Config, GrantType, HostMatch, PathMatch, Placement,
    Store, StoreKey, TokenMethod, UpstreamScheme,
};
use std::time::Duration;

const CONTRACT: &str = r#"
listen: 127.0.0.1:7480
admin:
  listen: 127.0.0.1:7481
  public_url: http://127.0.0.1:7481
  token: {file: FOLDER/admin}
probes: {listen: "[::]:7482"}
store: {path: ./sidekey.db, key: {env: SIDEKEY_STORE_KEY}}
integrations:
  - key: crm
    name: Example CRM
    parameters: [serverName, {name: tenant, title: Tenant, pattern: "[a-z0-9]+", default: t1}]
    oauth2:
      grant_type: authorization_code
      authorization_endpoint: https://{serverName}.example.com/authorize?tenant={tenant}
      token_endpoint: https://{serverName}.example.com/token
      token_endpoint_method: POST
      token_endpoint_auth_method: client_secret_basic
      revocation_endpoint: https://{serverName}.example.com/revoke
      redirect_uri: https://sidekey.example.com/oauth/callback
      scope: api offline_access
      client_id: abc
      client_secret: {file: FOLDER/crm}
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
  - {name: crm, path: /crm/, upstream: "https://{serverName}.example.com/api/", account: crmDev}
  - match: {host: "*.internal", path: {exact: /v1/report}, methods: [GET], headers: {x-team: blue}}
    upstream: SCHEME://127.0.0.1:50051/
    account: crmDev
    timeout: 60s
    replay_body_limit: 64KiB
    allow_plaintext: false
    allow_origins: []
log: {level: info, format: text, access: true}
"#;

fn contract(scheme: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["admin", "crm"] {
        std::fs::write(folder.path().join(name), format!("{name}-secret\n")).unwrap();
    }
    let text = CONTRACT.replace("FOLDER", &folder.path().display().to_string());
    (folder, text.replace("SCHEME", scheme))
}

fn loaded() -> Config {
    let (_folder, text) = contract("http");
    load(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn it_loads_and_means_what_it_says() {
    let config = loaded();
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(
        config.listeners[0].address,
        Address::Tcp("127.0.0.1:7480".parse().unwrap())
    );
    assert_eq!(config.admin.public_url, "http://127.0.0.1:7481");
    assert_eq!(
        config.admin.token.as_ref().unwrap().expose(),
        "admin-secret"
    );
    assert_eq!(config.probes, Some("[::]:7482".parse().unwrap()));
    let first = Key::parse(&"00".repeat(32)).unwrap();
    let store = Store::File {
        path: Some("./sidekey.db".into()),
        key: StoreKey::Given {
            first,
            others: vec![],
        },
    };
    assert_eq!(config.store, store);
    assert!(config.log.access);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn its_integration_and_account() {
    let config = loaded();
    let crm = &config.integrations[0];
    assert_eq!(
        (crm.key.as_str(), crm.name.as_str()),
        ("crm", "Example CRM")
    );
    assert_eq!(crm.parameters[1].default.as_deref(), Some("t1"));
    assert_eq!(crm.oauth2.grant_type, GrantType::AuthorizationCode);
    assert_eq!(crm.oauth2.token_endpoint_method, TokenMethod::Post);
    assert_eq!(crm.oauth2.token_endpoint_auth_method, ClientAuth::Basic);
    assert_eq!(crm.oauth2.code_challenge_method, CodeChallenge::S256);
    assert!(
        matches!(&crm.oauth2.client_secret, Some(ClientSecret::File(path)) if path.ends_with("crm"))
    );
    assert_eq!(crm.token.place, Placement::Header);
    assert_eq!(crm.refresh.before_expiry, Duration::from_secs(1800));
    assert_eq!(crm.refresh.retry_on, [401, 403]);
    let account = &config.accounts[0];
    assert_eq!(account.parameters["serverName"].text(), "dev");
}

#[test]
fn its_routes() {
    let config = loaded();
    let [crm, report] = config.routes.as_slice() else {
        panic!("{:?}", config.routes)
    };
    assert_eq!(crm.matcher.path, PathMatch::Prefix("/crm".into()));
    assert_eq!(crm.upstream.scheme, UpstreamScheme::Https);
    assert_eq!(crm.upstream.authority, "dev.example.com");
    assert_eq!(
        (crm.upstream.port, crm.upstream.path.as_str()),
        (443, "/api/")
    );
    assert_eq!(report.name, "*.internal/v1/report");
    assert_eq!(
        report.matcher.host,
        Some(HostMatch::Suffix(".internal".into()))
    );
    assert_eq!(report.matcher.path, PathMatch::Exact("/v1/report".into()));
    assert_eq!(report.upstream.authority, "127.0.0.1:50051");
    assert_eq!(report.connect_timeout, Duration::from_secs(5));
    assert_eq!(report.replay_body_limit, 65_536);
}

#[test]
fn http2_without_tls_is_an_upstream_of_its_own() {
    let (_folder, text) = contract("h2c");
    let config = load(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let upstream = &config.routes[1].upstream;
    assert_eq!(upstream.scheme, UpstreamScheme::H2c);
    assert_eq!((&*upstream.host, upstream.port), ("127.0.0.1", 50_051));
    assert_eq!(upstream.authority, "127.0.0.1:50051");
}

#[test]
fn nothing_written_means_the_defaults() {
    let config = load("").unwrap();
    assert_eq!(
        config.listeners[0].address,
        Address::Tcp("127.0.0.1:7480".parse().unwrap())
    );
    assert_eq!(config.admin.public_url, "http://127.0.0.1:7481");
    let store = Store::File {
        path: None,
        key: StoreKey::Own { generate: false },
    };
    assert_eq!(config.store, store);
    assert_eq!(config.limits.max_connection_age, Duration::from_secs(3600));
    assert_eq!(config.limits.replay_buffer_total, 64 << 20);
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(120));
    assert_eq!(config.refresh.token_wait, Duration::from_secs(5));
    assert_eq!(config.refresh.token_waiters, 1_024);
    assert_eq!(config.metrics_max_accounts, 1_000);
    assert!(config.workers.count >= 1);
}
