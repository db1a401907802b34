//! A person connects an account in a browser.

use crate::support::{Browser, Conf, Consent, Response, Sidekey, eventually};

pub struct Stage {
    pub consent: Consent,
    pub sidekey: Sidekey,
    _upstream: crate::support::Server,
}

pub fn conf(consent: &Consent, upstream: &crate::support::Server) -> Conf {
    let token = format!("{}/token", consent.server.url());
    let mut conf = Conf::at(&token, &format!("{}/", upstream.url()));
    conf.oauth2 = consent.lines();
    conf
}

pub fn yaml(conf: &Conf) -> String {
    conf.yaml()
        .replace("      grant_type: client_credentials\n", "")
}

fn stage() -> Stage {
    Stage::new(|conf| conf)
}

impl Stage {
    pub fn new(change: impl FnOnce(Conf) -> Conf) -> Self {
        let consent = Consent::start();
        let upstream = consent.upstream();
        let sidekey = Sidekey::run_yaml(&yaml(&change(conf(&consent, &upstream))));
        Self {
            consent,
            sidekey,
            _upstream: upstream,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.sidekey.admin)
    }

    /// A browser that holds a session.
    pub fn browser(&self) -> Browser {
        let link = self.sidekey.api("POST", "/api/links", "").json()["url"].clone();
        let mut browser = Browser::default();
        let opened = browser.get(link.as_str().unwrap());
        assert_eq!((opened.status, opened.header("location")), (303, Some("/")));
        browser
    }

    /// Presses Connect; gives the authorization server's address.
    pub fn begin(&self, browser: &mut Browser) -> String {
        let page = browser.get(&self.url("/connect/one"));
        assert_eq!(page.status, 200, "{}", page.text());
        let csrf = between(&page.text(), "name=\"csrf\" value=\"", "\"");
        let begun = browser.post(&self.url("/connect/one"), &[("csrf", &csrf)]);
        assert_eq!(begun.status, 200, "{}", begun.text());
        between(&begun.text(), "content=\"0; url=", "\"").replace("&#38;", "&")
    }

    /// Consents; gives the address to come back to.
    pub fn consent(&self, address: &str) -> String {
        let answer = Browser::default().get(address);
        assert_eq!(answer.status, 302, "{}", answer.text());
        answer.header("location").unwrap().to_owned()
    }

    pub fn state(&self) -> String {
        let account = self.sidekey.api("GET", "/api/accounts/one", "").json();
        account["state"].as_str().unwrap().to_owned()
    }

    fn connected(&self) {
        let mut browser = self.browser();
        let back = self.consent(&self.begin(&mut browser));
        let page = browser.get(&back);
        assert_eq!(page.status, 200, "{}", page.text());
    }

    pub fn refused(&self, answer: &Response, words: &str) {
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains(words), "{}", answer.text());
        assert_eq!(self.state(), "not_connected");
    }
}

fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("{before} is not in {text}"));
    rest.split_once(after).unwrap().0.to_owned()
}

#[test]
fn a_person_connects_and_every_call_works() {
    let stage = stage();
    assert_eq!(
        stage.sidekey.get("/api/").problem(),
        "account_not_connected"
    );
    let mut browser = stage.browser();
    let page = browser.get(&stage.url("/connect/one")).text();
    let redirect = stage.url("/oauth/callback");
    assert!(page.contains(&redirect), "{page}");
    let address = stage.begin(&mut browser);
    for part in [
        "tenant=t1",
        "response_type=code",
        "code_challenge_method=S256",
        "scope=api",
    ] {
        assert!(address.contains(part), "{part} is not in {address}");
    }
    let done = browser.get(&stage.consent(&address));
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("one is connected"), "{}", done.text());
    assert_eq!(stage.sidekey.get("/api/").status, 200);
    assert_eq!(stage.state(), "connected");
    let refreshed = stage.sidekey.api("POST", "/api/accounts/one/refresh", "");
    assert_eq!(refreshed.json()["generation"], 2, "{}", refreshed.text());
    assert_eq!(stage.sidekey.get("/api/").status, 200);
    let mut shown = stage.sidekey.logs() + &stage.sidekey.metrics() + &done.text();
    shown += &stage.sidekey.api("GET", "/api/accounts", "").text();
    for page in ["/", "/connect/one"] {
        shown += &browser.get(&stage.url(page)).text();
    }
    for secret in ["acc3ss", "r3fresh", "c0de"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}

#[test]
fn a_callback_is_good_once_and_only_in_its_own_browser() {
    let stage = stage();
    let mut mine = stage.browser();
    let back = stage.consent(&stage.begin(&mut mine));
    stage.refused(&stage.browser().get(&back), "another browser");
    stage.refused(&Browser::default().get(&back), "another browser");
    assert_eq!(stage.consent.exchanges().len(), 0);
    assert_eq!(mine.get(&back).status, 200);
    let again = mine.get(&back);
    assert_eq!(again.status, 400);
    assert!(again.text().contains("used already"), "{}", again.text());
    assert_eq!(stage.consent.exchanges().len(), 1);
}

#[test]
fn a_callback_that_nobody_asked_for_is_refused() {
    let stage = stage();
    let mut browser = stage.browser();
    for (query, words) in [
        ("?code=a", "no `state`"),
        ("?code=a&state=b", "no connecting that was begun here"),
        ("?state=b", "neither"),
        ("", "no `state`"),
        ("?code=a&code=b&state=c", "twice"),
    ] {
        let address = stage.url(&format!("/oauth/callback{query}"));
        stage.refused(&browser.get(&address), words);
    }
    assert_eq!(stage.consent.exchanges().len(), 0);
}

#[test]
fn a_code_that_is_good_for_nothing_is_said_plainly() {
    let stage = stage();
    let mut browser = stage.browser();
    let back = stage.consent(&stage.begin(&mut browser));
    let forged = back.replace("c0de", "f0rged");
    stage.refused(&browser.get(&forged), "invalid_grant");
    assert!(!stage.sidekey.logs().contains("f0rged"));
}

#[test]
fn what_the_server_refuses_is_explained() {
    let stage = stage();
    stage.consent.says("access_denied");
    let mut browser = stage.browser();
    let back = stage.consent(&stage.begin(&mut browser));
    stage.refused(&browser.get(&back), "refused consent");
}

#[test]
fn without_a_refresh_token_the_page_the_log_and_a_metric_say_so() {
    let stage = stage();
    stage.consent.without_refresh_token();
    let mut browser = stage.browser();
    let back = stage.consent(&stage.begin(&mut browser));
    let page = browser.get(&back).text();
    assert!(page.contains("gave no refresh token"), "{page}");
    assert!(page.contains("offline_access"), "{page}");
    eventually("the warning", || {
        stage.sidekey.logs().contains("gave no refresh token")
    });
    let labels = [("account", "one")];
    let metric = "sidekey_account_reconnect_at_expiry";
    assert!((stage.sidekey.metric(metric, &labels) - 1.0).abs() < 0.1);
    assert_eq!(stage.sidekey.get("/api/").status, 200);
}

#[test]
fn disconnecting_forgets_and_revokes() {
    let stage = stage();
    stage.connected();
    assert_eq!(stage.consent.live(), 2);
    let done = stage.sidekey.api("DELETE", "/api/accounts/one", "");
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("were revoked"), "{}", done.text());
    assert_eq!(stage.consent.live(), 0);
    assert_eq!(stage.state(), "not_connected");
    assert_eq!(
        stage.sidekey.get("/api/").problem(),
        "account_not_connected"
    );
    stage.connected();
    assert_eq!(stage.sidekey.get("/api/").status, 200);
}

#[test]
fn a_revocation_that_fails_is_admitted() {
    let stage = stage();
    stage.connected();
    stage.consent.refuse_revocation();
    let failed = stage.sidekey.api("POST", "/api/accounts/one/revoke", "");
    assert_eq!(failed.json()["code"], "revoke_failed");
    assert!(
        failed.text().contains("still connected"),
        "{}",
        failed.text()
    );
    assert_eq!(stage.state(), "connected");
    let done = stage.sidekey.api("DELETE", "/api/accounts/one", "");
    assert_eq!(done.status, 200);
    assert!(done.text().contains("were not revoked"), "{}", done.text());
    assert_eq!(stage.state(), "not_connected");
}

#[test]
fn nothing_is_done_without_a_session_and_its_own_form() {
    let stage = stage();
    let mut nobody = Browser::default();
    let page = nobody.get(&stage.url("/connect/one"));
    assert_eq!(page.status, 401);
    assert!(page.text().contains("Admin token"), "{}", page.text());
    assert_eq!(nobody.post(&stage.url("/connect/one"), &[]).status, 401);
    let wrong = nobody.post(&stage.url("/session"), &[("token", "guessed")]);
    assert_eq!(wrong.status, 401);
    let token = stage.sidekey.admin_token();
    let form = [("token", token.as_str()), ("account", "one")];
    let opened = nobody.post(&stage.url("/session"), &form);
    assert_eq!(opened.header("location"), Some("/connect/one"));
    let forged = nobody.post(&stage.url("/connect/one"), &[("csrf", "guessed")]);
    assert_eq!(forged.status, 403);
    let unforged = nobody.get(&stage.url("/connect/one"));
    assert_eq!(unforged.status, 200);
    let policy = unforged.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let from_page = nobody.post(&stage.url("/api/accounts/one/token"), &[]);
    assert_eq!(from_page.status, 403);
}

#[test]
fn another_name_of_this_machine_leads_to_the_public_address() {
    let stage = stage();
    let port = stage.sidekey.admin.port();
    let elsewhere = format!("http://localhost:{port}/connect/one?x=1");
    let moved = Browser::default().get(&elsewhere);
    assert_eq!(moved.status, 307);
    let expected = stage.url("/connect/one?x=1");
    assert_eq!(moved.header("location"), Some(expected.as_str()));
}

/// Each realm (US, EU, AP) has an address of its own, and so a redirect URI.
#[test]
fn each_realm_has_its_own_redirect_uri() {
    let consent = Consent::start();
    let upstream = consent.upstream();
    for realm in ["us", "eu", "ap"] {
        let public = format!("https://tokens.example.com/{realm}");
        let yaml = yaml(&conf(&consent, &upstream));
        let yaml = yaml.replace("http://127.0.0.1:@ADMIN@", &public);
        let sidekey = Sidekey::run_yaml(&yaml);
        let begun = sidekey.api("POST", "/api/accounts/one/connect", "").json();
        let uri = format!("{public}/oauth/callback");
        assert_eq!(begun["redirect_uri"], uri.as_str());
        let url = url::Url::parse(begun["authorization_url"].as_str().unwrap()).unwrap();
        let sent = url.query_pairs().find(|(name, _)| name == "redirect_uri");
        assert_eq!(sent.unwrap().1, uri);
        // The proxy in front may pass the prefix on or take it away.
        for path in [format!("/{realm}/session"), "/session".to_owned()] {
            let page = crate::support::get(sidekey.admin, &path);
            assert_eq!(page.status, 200);
            let action = format!("action=\"/{realm}/session\"");
            assert!(page.text().contains(&action), "{}", page.text());
        }
    }
}

#[test]
fn an_account_is_created_connected_and_removed() {
    let stage = stage();
    let body = r#"{"key":"new","integration":"test"}"#;
    let made = stage.sidekey.api("POST", "/api/accounts", body);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["state"], "not_connected");
    let again = stage.sidekey.api("POST", "/api/accounts", body);
    assert_eq!(again.json()["code"], "account_exists");
    let odd = r#"{"key":"odd","integration":"test","parameters":{"x":"y"}}"#;
    assert_eq!(
        stage.sidekey.api("POST", "/api/accounts", odd).json()["code"],
        "bad_account"
    );
    let begun = stage
        .sidekey
        .api("POST", "/api/accounts/new/connect", "")
        .json();
    let back = stage.consent(begun["authorization_url"].as_str().unwrap());
    let brought = serde_json::json!({"address": back}).to_string();
    let other = stage
        .sidekey
        .api("POST", "/api/accounts/one/callback", &brought);
    assert_eq!(other.json()["code"], "connect_failed");
    assert!(other.text().contains("another account"), "{}", other.text());
    let done = stage
        .sidekey
        .api("POST", "/api/accounts/new/callback", &brought);
    assert_eq!(done.status, 200, "{}", done.text());
    let token = stage
        .sidekey
        .api("POST", "/api/accounts/new/token", "")
        .json();
    assert!(
        token["access_token"]
            .as_str()
            .unwrap()
            .starts_with("acc3ss")
    );
    let removed = stage.sidekey.api("DELETE", "/api/accounts/new", "");
    assert_eq!(removed.status, 200, "{}", removed.text());
    let gone = stage.sidekey.api("GET", "/api/accounts/new", "");
    assert_eq!(gone.json()["code"], "account_not_found");
    eventually("the last revocation", || stage.consent.live() == 0);
}

#[test]
fn what_a_person_has_connected_survives_a_restart() {
    let consent = Consent::start();
    let upstream = consent.upstream();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sidekey.db");
    let key = "01".repeat(32);
    let store = format!("{{path: \"{}\", key: \"{key}\"}}", file.display());
    let yaml = yaml(&conf(&consent, &upstream).store(&store));
    let mut first = Sidekey::run_yaml(&yaml);
    let body = r#"{"key":"new","integration":"test"}"#;
    assert_eq!(first.api("POST", "/api/accounts", body).status, 201);
    for account in ["one", "new"] {
        let path = format!("/api/accounts/{account}");
        let begun = first.api("POST", &format!("{path}/connect"), "").json();
        let address = begun["authorization_url"].as_str().unwrap();
        let back = Browser::default().get(address);
        let back = back.header("location").unwrap();
        let brought = serde_json::json!({"address": back}).to_string();
        let done = first.api("POST", &format!("{path}/callback"), &brought);
        assert_eq!(done.status, 200, "{}", done.text());
    }
    first.signal("TERM");
    assert!(first.ended().success());
    let second = Sidekey::run_yaml(&yaml);
    assert_eq!(second.get("/api/").status, 200);
    for account in ["one", "new"] {
        let path = format!("/api/accounts/{account}/refresh");
        let refreshed = second.api("POST", &path, "").json();
        assert_eq!(refreshed["generation"], 2, "{refreshed}");
    }
    let removed = second.api("DELETE", "/api/accounts/new", "");
    assert_eq!(removed.status, 200, "{}", removed.text());
    drop(second);
    let third = Sidekey::run_yaml(&yaml);
    let gone = third.api("GET", "/api/accounts/new", "");
    assert_eq!(gone.status, 404, "{}", gone.text());
}

#[test]
fn check_prints_the_redirect_uri() {
    let consent = Consent::start();
    let upstream = consent.upstream();
    let yaml = yaml(&conf(&consent, &upstream));
    let yaml = yaml.replace("@PROXY@", "7480").replace("@ADMIN@", "7481");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sidekey.yaml");
    std::fs::write(&file, yaml).unwrap();
    let mut command = crate::support::sidekey::command(&folder);
    let output = command
        .arg("check")
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = "redirect URI to register: http://127.0.0.1:7481/oauth/callback (for one)";
    assert!(said.contains(line), "{said}");
    assert!(
        said.contains("has to be connected again after every start"),
        "{said}"
    );
}

#[test]
fn a_reload_keeps_a_connection_and_another_secret_refreshes_it() {
    let consent = Consent::start();
    let upstream = consent.upstream();
    let yaml = yaml(&conf(&consent, &upstream));
    let stage = Stage {
        sidekey: Sidekey::run_yaml(&yaml),
        consent,
        _upstream: upstream,
    };
    stage.connected();
    let reload = |yaml: &str| {
        stage.sidekey.configure(yaml);
        let count = || stage.sidekey.metric("sidekey_config_reloads_total", &[]);
        let before = count();
        stage.sidekey.signal("HUP");
        eventually("a reload", || count() > before);
    };
    let asked = stage.consent.exchanges().len();
    reload(&format!("{yaml}    timeout: 7s\n"));
    assert_eq!(stage.state(), "connected");
    assert_eq!(stage.sidekey.get("/api/").status, 200);
    assert_eq!(stage.consent.exchanges().len(), asked);
    reload(&yaml.replace("{env: TEST_CLIENT_SECRET}", "another-secret"));
    eventually("a refresh", || stage.consent.exchanges().len() > asked);
    let refresh = stage.consent.exchanges().pop().unwrap();
    let form = String::from_utf8(refresh.body).unwrap();
    assert!(form.contains("grant_type=refresh_token"), "{form}");
    eventually("the new token", || stage.sidekey.get("/api/").status == 200);
    assert_eq!(stage.state(), "connected");
}
