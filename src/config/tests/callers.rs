//! Who may call, and mistakes about it, each at its place.

use super::GOOD;
use crate::base::caller_keys::{CallerKey, digest, with};
use crate::config::checked::Config;
use crate::config::checked::callers::Speaks;
use crate::config::checked::served::Served;
use crate::config::load_text;
use crate::config::mistakes::{Mistakes, Severity};

/// A file of the keys of `dev` and `bob`, and a configuration that knows it.
fn load(route: &str, file: &str) -> Result<Config, Mistakes> {
    load_in(GOOD, route, file)
}

fn load_in(text: &str, route: &str, file: &str) -> Result<Config, Mistakes> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("callers"), file).unwrap();
    let text = text.replace("account: dev}", &format!("{route}}}"));
    let text = format!("{text}callers_file: callers\n");
    let name = folder.path().join("test.yaml");
    load_text(name.to_str().unwrap(), &text, &|_| Some("value".into()))
}

fn keys() -> String {
    let key = |name: &str| CallerKey {
        name: name.to_owned(),
        digest: digest(name.as_bytes()),
    };
    with(&with("", &key("dev")), &key("bob"))
}

fn said(loaded: Result<Config, Mistakes>) -> Vec<String> {
    let mistakes = loaded.unwrap_err();
    let errors = mistakes.iter().filter(|m| m.severity == Severity::Error);
    errors
        .map(|m| {
            let place = m.place.unwrap();
            format!("{}:{} {}", place.line, place.column, m.what)
        })
        .collect()
}

#[test]
fn named_callers_are_let_in_and_nobody_else() {
    let config = load("account: dev, callers: [{key: bob}]", &keys()).unwrap();
    let allowed = config.routes[0].callers.clone().unwrap();
    assert_eq!(allowed.by_key(&digest(b"bob")).map(|n| &**n), Some("bob"));
    assert_eq!(allowed.by_key(&digest(b"dev")), None);
    let all = load("account: dev, callers: [{key: \"*\"}]", &keys()).unwrap();
    assert_eq!(all.routes[0].callers.as_ref().unwrap().names().len(), 2);
    assert_eq!(
        load("account: dev", &keys()).unwrap().routes[0].callers,
        None
    );
}

#[test]
fn a_key_that_is_gone_lets_nobody_in_and_is_no_mistake() {
    let config = load("account: dev, callers: [{key: eve}]", &keys()).unwrap();
    assert!(
        config.routes[0]
            .callers
            .as_ref()
            .unwrap()
            .names()
            .is_empty()
    );
    assert!(
        config.warnings[0].contains("no key of `eve`"),
        "{:?}",
        config.warnings
    );
}

#[test]
fn each_caller_has_a_route_of_its_own() {
    let route = "account: \"{caller.name}\", integration: crm, callers: [{key: \"*\"}]";
    let config = load(route, &keys()).unwrap();
    let names: Vec<_> = config.routes.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["crm", "crm@bob", "crm@dev"]);
    assert_eq!(config.routes[0].speaks, Speaks::TheCallers);
    let accounts: Vec<_> = config.routes[1..]
        .iter()
        .map(|r| r.account.as_str())
        .collect();
    assert_eq!(accounts, ["bob", "dev"]);
    let named = Served::new(["crm".to_owned()].into());
    assert!(config.routes.iter().all(|route| named.serves(route)));
    // Nobody has created his yet.
    assert_eq!(config.awaited.len(), 1);
    assert_eq!(config.awaited[0].route, 1);
}

/// Or whoever adds a caller to the file could make every reload fail.
#[test]
fn a_caller_named_as_an_account_of_elsewhere_is_left_out_with_a_warning() {
    let (before, integrations) = GOOD.split_once("  - key: crm\n").unwrap();
    let (crm, accounts) = integrations.split_once("accounts:").unwrap();
    let account = "  - {key: bob, integration: other, parameters: {server: dev}}\nroutes:";
    let text = format!("{before}  - key: crm\n{crm}  - key: other\n{crm}accounts:{accounts}");
    let text = text.replace("routes:", account);
    let route = "account: \"{caller.name}\", integration: crm, callers: [{key: \"*\"}]";
    let config = load_in(&text, route, &keys()).unwrap();
    let names: Vec<_> = config.routes.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["crm", "crm@dev"]);
    let warned = config.warnings.iter().any(|line| {
        line.contains("account `bob`") && line.contains("of another integration: the caller")
    });
    assert!(warned, "{:?}", config.warnings);
}

#[test]
fn mistakes_have_their_places() {
    let own = "account: \"{caller.name}\"";
    for (route, file, wanted) in [
        (
            "account: dev, callers: []",
            keys(),
            "14:68 `callers` lets nobody in",
        ),
        (
            "account: dev, callers: [{key: a b}]",
            keys(),
            "14:84 `a b` is no caller's name",
        ),
        (
            "account: dev, callers: [{kez: a}]",
            keys(),
            "14:79 a caller has no key `kez`",
        ),
        (
            "account: dev",
            "dev 12\n".to_owned(),
            "15:15 line 1 of `callers_file`: behind the name stands one SHA-256, as 64 hex digits",
        ),
        (
            own,
            keys(),
            "14:63 the callers' own accounts are of one integration, which is not named",
        ),
        (
            &format!("{own}, integration: crm"),
            keys(),
            "14:63 `account: \"{caller.name}\"` needs to know who calls",
        ),
    ] {
        let found = said(load(route, &file));
        assert!(found.contains(&wanted.to_owned()), "{route}: {found:?}");
    }
    let without = GOOD.replace("account: dev}", "account: dev, callers: [{key: bob}]}");
    let found = said(load_text("test.yaml", &without, &|_| Some("value".into())));
    assert_eq!(found, ["14:84 there is no `callers_file` with keys"]);
}

#[test]
fn a_caller_is_named_in_one_way_and_by_a_name_where_that_counts() {
    let own = "account: \"{caller.name}\", integration: crm";
    for (route, wanted) in [
        (
            "account: dev, callers: [{name: a}]",
            "a caller is named by one of",
        ),
        (
            "account: dev, callers: [{uid: 1, gid: 1}]",
            "a caller is named by one of",
        ),
        (
            "account: dev, callers: [{uid: ann}]",
            "`uid` can't be `ann`",
        ),
        (
            "account: dev, callers: [{key: bob, name: x}]",
            "a key's caller has the key's name",
        ),
        (
            "account: dev, callers: [{uid: 1, name: a b}]",
            "`a b` is no caller's name",
        ),
        (
            &format!("{own}, callers: [{{certificate: a.example}}]"),
            "`account: \"{caller.name}\"` needs this caller's name",
        ),
    ] {
        let found = said(load(route, &keys()));
        let is_there = found
            .iter()
            .any(|m| m.starts_with("14:") && m.contains(wanted));
        assert!(is_there, "{route}: {found:?}");
    }
}

#[test]
fn a_proof_that_nobody_can_give_is_warned_about() {
    let callers = "account: dev, callers: [{certificate: a, name: a}, {uid: 7}]";
    let config = load(callers, &keys()).unwrap();
    let all = config.warnings.join("\n");
    assert!(
        all.contains("nobody can call by a certificate: no listener verifies any"),
        "{all}"
    );
    assert!(
        all.contains("nobody can call as a `uid`: no listener is at a Unix socket"),
        "{all}"
    );
    let allowed = config.routes[0].callers.clone().unwrap();
    assert_eq!(allowed.by_process(7, 8).map(|n| &**n), Some("uid=7"));
    assert_eq!(allowed.by_process(8, 7), None);
    assert_eq!(
        allowed.by_certificate(&["b".into(), "a".into()]).as_deref(),
        Some("a")
    );
    assert_eq!(allowed.by_certificate(&["b".into()]), None);
}

fn with_jwt(jwt: &str) -> Result<Config, Mistakes> {
    load(
        &format!("account: dev, callers: [{{jwt: {{{jwt}}}}}]"),
        &keys(),
    )
}

#[test]
fn a_jwt_needs_an_issuer_whose_keys_can_be_had() {
    let config = with_jwt("issuer: \"https://a.example\", audience: [me, us]").unwrap();
    let jwts = config.routes[0].callers.clone().unwrap();
    let [jwt] = jwts.jwts() else { panic!() };
    assert_eq!(jwt.issuer.name, "https://a.example");
    assert_eq!(jwt.audiences, ["me", "us"]);
    assert_eq!(jwt.header, "authorization");
    assert!(jwts.may_be_anybody());
    for (jwt, what) in [
        ("audience: me", "lacks `issuer`"),
        ("issuer: \"https://a.example\"", "lacks `audience`"),
        (
            "issuer: \"https://a.example\", audience: []",
            "`audience` is nobody",
        ),
        (
            "issuer: a, audience: me",
            "keys can't be fetched by `issuer`",
        ),
        (
            "issuer: \"http://a.example\", audience: me",
            "keys can't be fetched by `issuer`",
        ),
        (
            "issuer: a, audience: me, jwks_uri: \"http://a.example/\"",
            "keys can't be fetched by `jwks_uri`",
        ),
        (
            "issuer: a, audience: me, jwks_uri: \"https://a/\", jwks_file: callers",
            "both `jwks_uri` and `jwks_file`",
        ),
        (
            "issuer: a, audience: me, jwks_file: callers",
            "it is no JWK Set",
        ),
        (
            "issuer: a, audience: me, jwks_uri: \"https://a/\", ca: callers",
            "holds no authority",
        ),
        (
            "issuer: \"https://a/\", audience: me, header: Cookie",
            "can't hold a token",
        ),
        (
            "issuer: \"https://a/\", audience: me, claims: {a: []}",
            "lets nobody in",
        ),
        (
            "issuer: \"https://a/\", audience: me, claims: {a: {b: c}}",
            "a map is no text",
        ),
    ] {
        let said = said(with_jwt(jwt));
        assert!(said.iter().any(|s| s.contains(what)), "{jwt}: {said:?}");
    }
    // On this machine nobody is on the way.
    with_jwt("issuer: \"http://127.0.0.1:8080\", audience: me").unwrap();
}
