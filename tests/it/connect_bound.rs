//! An answer to a person's consent counts for the client that asked and the
//! server that was asked, and for no other.

use crate::connect::{Stage, conf, yaml};
use crate::support::{Server, eventually};

/// Has a changed configuration read.
fn reload(stage: &Stage, yaml: &str) {
    stage.sidekey.configure(yaml);
    for _ in 0..2 {
        let count = || stage.sidekey.metric("sidekey_config_reloads_total", &[]);
        let before = count();
        stage.sidekey.signal("HUP");
        eventually("a reload", || count() > before);
    }
}

#[test]
fn a_code_of_one_client_is_never_sent_as_another_s() {
    let stage = Stage::new(|conf| conf);
    let elsewhere = Server::start(|_| panic!("nothing may come here"));
    let upstream = elsewhere.url();
    let yaml = yaml(&conf(&stage.consent, &elsewhere));
    let token = format!("token_endpoint: {}/token", stage.consent.server.url());
    for changed in [
        yaml.replace("client_id: \"the client\"", "client_id: other"),
        yaml.replace(&token, &format!("token_endpoint: {upstream}/token")),
        yaml.replace("/authorize?tenant=t1", "/authorize?tenant=t2"),
    ] {
        let mut browser = stage.browser();
        let back = stage.consent(&stage.begin(&mut browser));
        reload(&stage, &changed);
        let words = "another client or another server for this account than when";
        stage.refused(&browser.get(&back), words);
        reload(&stage, &yaml);
    }
    assert_eq!(stage.consent.exchanges().len(), 0);
    // What is the same as at the beginning goes on, whatever was read meanwhile.
    let mut browser = stage.browser();
    let back = stage.consent(&stage.begin(&mut browser));
    reload(&stage, &yaml.replace("scope: api", "scope: other"));
    assert_eq!(browser.get(&back).status, 200);
    assert_eq!(stage.consent.exchanges().len(), 1);
}
