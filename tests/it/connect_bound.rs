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

#[test]
fn an_answer_of_another_issuer_or_of_none_is_refused_where_one_is_named() {
    let stage = Stage::new(|conf| conf.oauth2("issuer: https://a.example"));
    let answer = |stage: &Stage| {
        let mut browser = stage.browser();
        let back = stage.consent(&stage.begin(&mut browser));
        browser.get(&back)
    };
    stage.refused(&answer(&stage), "does not say which authorization server");
    stage.consent.names_itself("https://b.example");
    let other = answer(&stage);
    stage.refused(&other, "another authorization server (https://b.example)");
    stage.consent.says("access_denied");
    let other = answer(&stage);
    stage.refused(&other, "another authorization server (https://b.example)");
    assert_eq!(stage.consent.exchanges().len(), 0);
    stage.consent.names_itself("https://a.example");
    stage.refused(&answer(&stage), "refused consent");
}

#[test]
fn an_answer_of_the_named_issuer_connects_and_without_a_name_any_does() {
    let named = Stage::new(|conf| conf.oauth2("issuer: https://a.example"));
    named.consent.names_itself("https://a.example");
    let unnamed = Stage::new(|conf| conf);
    unnamed.consent.names_itself("https://b.example");
    for stage in [named, unnamed] {
        let mut browser = stage.browser();
        let back = stage.consent(&stage.begin(&mut browser));
        assert!(back.contains("iss="), "{back}");
        let done = browser.get(&back);
        assert_eq!(done.status, 200, "{}", done.text());
        assert_eq!(stage.state(), "connected");
    }
}
