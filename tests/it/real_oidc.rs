//! oidc-provider, a certified implementation, as the authorization server.

use crate::support::real::Oidc;
use crate::support::{Answer, Conf, Server, Sidekey, eventually};

fn started(client: &str) -> (Oidc, Server, Sidekey) {
    let oidc = Oidc::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let conf = Conf::at(&oidc.token_endpoint(), &format!("{}/", upstream.url())).oauth2(&format!(
        "token_endpoint_auth_method: client_secret_{client}"
    ));
    let yaml = conf.yaml().replace(crate::support::conf::CLIENT_ID, client);
    let secret = format!("client_secret: \"{}\"", Oidc::secret(client));
    let yaml = yaml.replace("client_secret: {env: TEST_CLIENT_SECRET}", &secret);
    let sidekey = Sidekey::run_yaml(&yaml);
    (oidc, upstream, sidekey)
}

/// The server itself says that what the upstream got is its live token.
fn the_upstream_gets_the_very_token(client: &str) {
    let (oidc, upstream, sidekey) = started(client);
    assert_eq!(sidekey.get("/api/").status, 200);
    let token = upstream.only().bearer().expect("a token").to_owned();
    let about = oidc.introspect(&token);
    assert_eq!(about["active"], true, "{about}");
    assert_eq!(about["client_id"], client, "{about}");
    assert_eq!(about["scope"], "api", "{about}");
    assert_eq!(oidc.issued(), 1);
}

#[test]
fn client_credentials_by_basic_authentication() {
    the_upstream_gets_the_very_token("basic");
}

#[test]
fn client_credentials_in_the_body() {
    the_upstream_gets_the_very_token("post");
}

#[test]
fn a_wrong_secret_is_said_plainly() {
    let oidc = Oidc::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let conf = Conf::at(&oidc.token_endpoint(), &format!("{}/", upstream.url()));
    let yaml = conf
        .yaml()
        .replace(crate::support::conf::CLIENT_ID, "basic");
    let yaml = yaml.replace("{env: TEST_CLIENT_SECRET}", "wrong");
    let sidekey = Sidekey::run_yaml(&yaml);
    assert_eq!(sidekey.get("/api/").problem(), "token_unavailable");
    assert_eq!(upstream.count(), 0);
    eventually("the server's error", || {
        sidekey.logs().contains("invalid_client")
    });
}
