//! A person in Chromium connects an account at oidc-provider, by the page and
//! by the command: sign-in, consent, rotation, revocation.

use crate::support::real::{Oidc, consent_in_chromium};
use crate::support::sidekey::Launch;
use crate::support::{Answer, Server, Sidekey, eventually, free_port};
use std::io::{BufRead, BufReader};

struct Stage {
    oidc: Oidc,
    upstream: Server,
    sidekey: Sidekey,
}

fn started() -> Stage {
    let admin = free_port();
    let redirect = format!("http://127.0.0.1:{admin}/oauth/callback");
    let oidc = Oidc::for_people(&redirect);
    let upstream = Server::start(|_| Answer::ok("content"));
    let yaml = yaml(admin, &oidc, &upstream);
    let mut sidekey = Sidekey::launch_at(
        &Launch {
            yaml,
            ..Launch::default()
        },
        admin,
    );
    sidekey.wait_for("/readyz");
    Stage {
        oidc,
        upstream,
        sidekey,
    }
}

fn yaml(admin: u16, oidc: &Oidc, upstream: &Server) -> String {
    let (server, secret) = (format!("http://{}", oidc.address), Oidc::secret("personal"));
    format!(
        "listen: 127.0.0.1:@PROXY@\n\
         admin: {{listen: 127.0.0.1:{admin}}}\n\
         store: {{memory: true}}\n\
         integrations:\n\
         - key: real\n\
         \x20 name: Real\n\
         \x20 oauth2:\n\
         \x20   grant_type: authorization_code\n\
         \x20   authorization_endpoint: {server}/auth\n\
         \x20   token_endpoint: {server}/token\n\
         \x20   revocation_endpoint: {server}/token/revocation\n\
         \x20   scope: openid offline_access api\n\
         \x20   client_id: personal\n\
         \x20   client_secret: \"{secret}\"\n\
         \x20   authorization_parameters: {{prompt: consent}}\n\
         accounts:\n\
         - {{key: ada, integration: real}}\n\
         routes:\n\
         - {{name: main, path: /api/, upstream: \"{}/\", account: ada}}\n",
        upstream.url()
    )
}

impl Stage {
    /// One call through the proxy; gives the token that arrived.
    fn call(&self) -> String {
        assert_eq!(self.sidekey.get("/api/").status, 200);
        self.upstream.last().bearer().expect("a token").to_owned()
    }

    fn is_live(&self, token: &str) -> bool {
        self.oidc.introspect(token)["active"] == true
    }
}

#[test]
fn by_the_page() {
    let stage = started();
    let link = stage.sidekey.api("POST", "/api/links", "").json()["url"].clone();
    let said = consent_in_chromium(link.as_str().unwrap(), &["/connect/ada"]);
    assert_eq!(said, "ada is connected");
    let first = stage.call();
    assert!(stage.is_live(&first));
    // Each refresh spends the refresh token that the one before has brought.
    for generation in 2..5 {
        let refreshed = stage.sidekey.api("POST", "/api/accounts/ada/refresh", "");
        assert_eq!(
            refreshed.json()["generation"],
            generation,
            "{}",
            refreshed.text()
        );
    }
    let last = stage.call();
    assert_ne!(first, last);
    assert!(stage.is_live(&last));
    let revoked = stage.sidekey.api("POST", "/api/accounts/ada/revoke", "");
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    assert!(!stage.is_live(&last));
    assert_eq!(
        stage.sidekey.get("/api/").problem(),
        "account_not_connected"
    );
}

#[test]
fn by_the_command() {
    let stage = started();
    let mut command = stage.sidekey.cli(&["connect", "ada", "--no-browser"]);
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = said.by_ref().map(Result::unwrap);
    let address = said.find(|line| line.contains("/auth?")).unwrap();
    assert_eq!(consent_in_chromium(address.trim(), &[]), "ada is connected");
    let status = child.wait().unwrap();
    assert!(status.success(), "{}", said.collect::<String>());
    eventually("a call that works", || {
        stage.sidekey.get("/api/").status == 200
    });
    assert!(stage.is_live(&stage.call()));
}
