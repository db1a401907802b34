//! nginx as the upstream that asks the authorization server about each token.

use crate::support::real::{Nginx, Oidc};
use crate::support::{Answer, Conf, Server, Sidekey, call, eventually};

struct Parts {
    oidc: Oidc,
    nginx: Nginx,
    behind: Server,
    sidekey: Sidekey,
}

fn started(limit: &str) -> Parts {
    let oidc = Oidc::start();
    let behind = Server::start(|request| Answer::ok(request.body.clone()));
    let nginx = Nginx::start(oidc.address, behind.address);
    let conf = Conf::at(
        &oidc.token_endpoint(),
        &format!("http://{}/", nginx.address),
    )
    .route(&format!("replay_body_limit: {limit}"));
    let yaml = conf
        .yaml()
        .replace(crate::support::conf::CLIENT_ID, "basic");
    let secret = format!("client_secret: \"{}\"", Oidc::secret("basic"));
    let yaml = yaml.replace("client_secret: {env: TEST_CLIENT_SECRET}", &secret);
    let sidekey = Sidekey::run_yaml(&yaml);
    Parts {
        oidc,
        nginx,
        behind,
        sidekey,
    }
}

#[test]
fn a_token_revoked_behind_its_back_is_one_refresh_and_one_replay() {
    let parts = started("64KiB");
    assert_eq!(parts.sidekey.get("/api/a").status, 200);
    parts.oidc.revoke_all();
    assert_eq!(parts.sidekey.get("/api/b").status, 200);
    assert_eq!(parts.sidekey.get("/api/c").status, 200);
    eventually("its log", || parts.nginx.statuses() == [200, 401, 200, 200]);
    assert_eq!(parts.oidc.issued(), 1, "since the revocation");
    let paths: Vec<_> = parts
        .behind
        .requests()
        .iter()
        .map(|r| r.target.clone())
        .collect();
    assert_eq!(paths, ["/a", "/b", "/c"]);
}

#[test]
fn nginx_rejects_a_megabyte_before_reading_it() {
    let parts = started("2MiB");
    let body: Vec<u8> = (0..1_048_576u32).map(|n| (n % 253) as u8).collect();
    for round in 0..5 {
        parts.oidc.revoke_all();
        let answer = call(parts.sidekey.proxy, "POST", "/api/", &[], &body);
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
        assert!(answer.body == body, "round {round}");
        assert_eq!(parts.oidc.issued(), 1, "round {round}");
    }
    assert_eq!(parts.behind.count(), 5);
}

#[test]
fn nginx_rejects_more_than_can_be_kept() {
    let parts = started("64KiB");
    let body = vec![b'x'; 4_000_000];
    parts.oidc.revoke_all();
    let answer = call(parts.sidekey.proxy, "POST", "/api/", &[], &body);
    // Kept or not is a matter of how much had been sent; lost is never right.
    assert!([200, 401].contains(&answer.status), "{answer:?}");
    eventually("the refresh", || {
        let again = call(parts.sidekey.proxy, "POST", "/api/", &[], &body);
        again.status == 200 && again.body == body
    });
    assert_eq!(parts.oidc.issued(), 1);
}
