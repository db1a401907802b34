//! Routes that would lead back to sidekey itself.

use crate::support::{AuthServer, Conf, Sidekey, eventually};

/// The configuration can't know where an account will lead that somebody makes later.
#[test]
fn a_created_account_leads_no_route_back_to_us() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf =
        Conf::new(&auth, &upstream).integration("parameters: [{name: port, pattern: \"[0-9]+\"}]");
    let yaml = conf.yaml().replace(
        "integration: test}",
        "integration: test, parameters: {port: \"1\"}}",
    );
    let late = "  - {path: /late/, upstream: \"http://127.0.0.1:{port}/\", account: late, integration: test}\n";
    let sidekey = Sidekey::run_yaml(&format!("{yaml}{late}"));
    let create = |port: u16| {
        let body =
            format!(r#"{{"key":"late","integration":"test","parameters":{{"port":"{port}"}}}}"#);
        let made = sidekey.api("POST", "/api/accounts", &body);
        assert_eq!(made.status, 201, "{}", made.text());
    };
    for own in [sidekey.proxy, sidekey.admin] {
        create(own.port());
        let said = format!("sidekey's own listener {own}");
        eventually("the mistake", || sidekey.logs().contains(&said));
        let answer = sidekey.get("/late/");
        assert!(answer.status >= 500, "{}", answer.text());
        let gone = sidekey.api("DELETE", "/api/accounts/late", "");
        assert!(gone.status < 300, "{}", gone.text());
    }
    create(upstream.address.port());
    eventually("another server", || sidekey.get("/late/").status == 200);
}
