//! How mistakes and warnings look, what is never in them, and what a good file becomes.

use super::{GOOD, load};
use crate::config::checked::ClientSecret;
use crate::config::load_text;

#[test]
fn a_mistake_is_shown_with_its_line_a_caret_and_a_proposal() {
    let text = GOOD.replace("client_credentials", "client_credential");
    let shown = load(&text).unwrap_err().render(false);
    let wanted = "\
test.yaml:6:19: error: `grant_type` can't be `client_credential`
  6 |       grant_type: client_credential
    |                   ^^^^^^^^^^^^^^^^^
  expected: authorization_code or client_credentials
  did you mean `client_credentials`?
";
    assert_eq!(shown, wanted);
    let coloured = load(&text).unwrap_err().render(true);
    assert!(coloured.contains("\x1b[1;31merror\x1b[0m"));
}

#[test]
fn what_is_not_yaml_is_shown_alike_without_its_secrets() {
    let shown = load("a: 1\nclient_secret: \"hunter2\n")
        .unwrap_err()
        .render(false);
    assert!(shown.starts_with("test.yaml:2:"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_value_of_a_key_that_is_misspelt_is_not_shown() {
    let text = GOOD.replace("client_secret: {env: SET}", "client_sekret: hunter2");
    let shown = load(&text).unwrap_err().render(false);
    assert!(shown.contains("client_sekret: *******"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_mistake_in_a_pasted_key_shows_its_place_and_nothing_of_it() {
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter2hunter2: [hunter2\n";
    for indent in ["", "  ", "    ", "\t"] {
        let pasted = pem.replace('\n', &format!("\n{indent}"));
        let text = format!(
            "integrations:\n  - oauth2:\n      client_secret: |\n          x\n{indent}{pasted}\n"
        );
        let shown = load(&text).unwrap_err().render(false);
        assert!(shown.starts_with("test.yaml:"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }
}

#[test]
fn warnings_have_places_too() {
    let text = GOOD
        .replace("127.0.0.1:7480", "0.0.0.0:7480")
        .replace("{env: SET}", "hunter2")
        .replace("https://{server}", "http://{server}");
    let config = load(&text).unwrap();
    let places: Vec<_> = config
        .warnings
        .iter()
        .map(|w| w.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        places,
        ["test.yaml:1:9:", "test.yaml:7:23:", "test.yaml:9:7:"],
        "{:?}",
        config.warnings
    );
    assert!(config.warnings.iter().all(|w| !w.contains("hunter2")));
}

#[test]
fn secrets_are_in_no_message_and_no_excerpt() {
    let text = "
admin: {token: hunter2 hunter2, listen: bad}
store: {key: [hunter2], memory: hunter}
integrations:
  - key: crm
    parameters: [{name: s, secret: true, default: hunter2, pattern: \"[0-9]+\"}, {name: t, secret: true, enum: [a]}]
    oauth2: {grant_type: bad, token_endpoint: \"https://{s}/{t}\", client_id: x, client_secret: \"hunter2 {\"}
accounts:
  - {key: a b, integration: crm, parameters: {s: hunter2/x, t: hunter2}}
  - {key: ab, integration: crm, parameters: {s: {env: HUNTER, bad: 1}, t: {env: X, default: hunter2}}}
";
    let env = |name: &str| (name == "HUNTER").then(|| "hunter2/from/env".to_owned());
    let mistakes = load_text("test.yaml", text, &env).unwrap_err();
    let shown = mistakes.render(false);
    assert!(mistakes.errors() >= 10, "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!format!("{mistakes:?}").contains("hunter2"));
}

#[test]
fn no_secret_is_in_the_debug_text_of_a_configuration() {
    let text = GOOD
        .replace("{env: SET}", "hunter2")
        .replace(
            "[server,",
            "[{name: key, secret: true, default: hunter2}, server,",
        )
        .replace("client_id: abc", "client_id: \"{key}\"")
        .replace("listen: 127", "admin: {token: hunter2}\nlisten: 127");
    let other = "  - {key: qa, integration: crm, parameters: {server: qa, key: hunter2}}\nroutes:";
    let config = load(&text.replace("routes:", other)).unwrap();
    assert_eq!(config.accounts.len(), 2);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_value_from_the_environment_may_hold_parameters_and_a_secret_may_not() {
    let text = GOOD
        .replace("client_id: abc", "client_id: {env: ID}")
        .replace("{env: SET}", "{env: SECRET}");
    let env = |name: &str| match name {
        "ID" => Some("id-{server}".to_owned()),
        _ => Some("a{server}b{".to_owned()),
    };
    let config = load_text("test.yaml", &text, &env).unwrap();
    let oauth2 = &config.integrations[0].oauth2;
    let id = oauth2.client_id.expand(&|_| Some("dev")).unwrap();
    assert_eq!(id, "id-dev");
    match &oauth2.client_secret {
        Some(ClientSecret::Text(secret)) => {
            assert_eq!(secret.0.expand(&|_| None).unwrap(), "a{server}b{");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn made_names_of_routes_are_unique() {
    let route =
        |rest: &str| format!("  - {{{rest}, upstream: https://a.example.com/, account: dev}}\n");
    let text = format!(
        "{GOOD}{}{}{}{}",
        route("name: crm, path: /own"),
        route("match: {path: /crm, methods: [GET]}"),
        route("path: /"),
        route("match: {host: api.internal, path: /v1/}")
    );
    let config = load(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let names: Vec<_> = config
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(names, ["crm-2", "crm", "crm-3", "/", "api.internal/v1"]);
}
