//! Each kind of mistake, at its exact place.

use super::{GOOD, load};
use crate::config::mistakes::Severity;

/// `line:column what`, for each error.
pub(super) fn errors(text: &str) -> Vec<String> {
    match load(text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes
            .iter()
            .filter(|m| m.severity == Severity::Error)
            .map(|m| {
                let place = m.place.unwrap_or_default();
                format!("{}:{} {}", place.line, place.column, m.what)
            })
            .collect(),
    }
}

/// Spoils the good file in one place and compares the only mistake with it.
#[track_caller]
pub(super) fn one(from: &str, to: &str, wanted: &str) {
    let spoilt = GOOD.replacen(from, to, 1);
    assert_ne!(spoilt, GOOD, "{from} is not in the good file");
    assert_eq!(errors(&spoilt), [wanted], "{from} -> {to}");
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(errors(GOOD), [""; 0]);
    assert!(load(GOOD).unwrap().warnings.is_empty());
}

#[test]
fn keys() {
    one(
        "token_endpoint:",
        "token_endpont: x\n      token_endpoint:",
        "7:7 an `oauth2` block has no key `token_endpont`",
    );
    one(
        "client_id: abc",
        "client_id: abc\n      client_id: abd",
        "9:7 `client_id` is written twice",
    );
    one(
        "      client_id: abc\n",
        "",
        "5:5 an `oauth2` block lacks `client_id`",
    );
    one(
        "listen: 127",
        "drains: {}\nlisten: 127",
        "1:1 the configuration has no key `drains`",
    );
    one(
        "{key: dev,",
        "{key: dev, kay: x,",
        "12:16 an account has no key `kay`",
    );
}

#[test]
fn values() {
    one(
        "client_credentials",
        "client_credential",
        "6:19 `grant_type` can't be `client_credential`",
    );
    one(
        "account: dev}",
        "account: dev, timeout: 5 min}",
        "14:77 `timeout` can't be `5 min`",
    );
    one(
        "account: dev}",
        "account: dev, replay_body_limit: 1kb}",
        "14:87 `replay_body_limit` can't be `1kb`",
    );
    one(
        "account: dev}",
        "account: dev, allow_plaintext: yes}",
        "14:85 `allow_plaintext` can't be `yes`",
    );
    one(
        "127.0.0.1:7480",
        "localhost:7480",
        "1:9 `listen` can't be `localhost:7480`",
    );
    one(
        "client_id: abc",
        "client_id: [abc]",
        "8:18 a list, where one value belongs",
    );
    one(
        "client_id: abc",
        "client_id: {a: b}",
        "8:18 a map, where one value belongs",
    );
    one(
        "client_id: abc",
        "client_id:",
        "8:16 nothing is written here",
    );
    one(
        "listen:",
        "limits: {connections: 0}\nlisten:",
        "1:23 `connections` can't be `0`",
    );
    one(
        "listen:",
        "limits: 5\nlisten:",
        "1:9 limits must be a map of keys",
    );
    one(
        "listen:",
        "workers: {count: many}\nlisten:",
        "1:18 `count` can't be `many`",
    );
    one(
        "listen:",
        "readiness: {require: [dve]}\nlisten:",
        "1:23 no such account: `dve`",
    );
    one(
        "    token:",
        "    refresh: {retry_on: [500]}\n    token:",
        "10:26 `retry_on` can't hold `500`",
    );
}

#[test]
fn urls_and_templates() {
    one(
        "https://{server}",
        "ftp://{server}",
        "7:23 `ftp://{server}.example.com/{tenant}`: not a URL that begins with `https://` or `http://`",
    );
    one(
        "{tenant}\n",
        "{tenant\n",
        "7:52 `https://{server}.example.com/{tenant`: a `{` that begins no `{name}` of letters, digits and `_`; a brace that is meant as text is written `{{`",
    );
    one(
        "https://api.example.com/",
        "\"https://u@api.example.com/\"",
        "14:37 `https://u@api.example.com/`: a URL must not hold a user or password",
    );
    one(
        "https://api.example.com/",
        "\"https://api.example.com/#x\"",
        "14:28 an upstream has no fragment (`#…`)",
    );
    one(
        "{tenant}\n",
        "{tenant}#x\n",
        "7:23 `token_endpoint` has a fragment (`#…`)",
    );
}

#[test]
fn parameters() {
    one(
        "https://{server}",
        "https://{servr}{server}",
        "7:31 integration `crm` has no parameter `servr`",
    );
    one(
        "[server,",
        "[{name: unused, default: x}, server,",
        "4:25 parameter `unused` is not used anywhere",
    );
    one(
        "parameters: {server: dev}",
        "parameters: {tenant: a}",
        "12:34 account `dev` lacks parameter `server`",
    );
    one(
        "{server: dev}",
        "{server: dev, tennant: a}",
        "12:60 integration `crm` has no parameter `tennant`",
    );
    one(
        "{server: dev}",
        "{server: dev, tenant: A1}",
        "12:68 parameter `tenant` can't be `A1`",
    );
    one(
        "{server: dev}",
        "{server: dev/x}",
        "12:55 account `dev`: oauth2.token_endpoint: the value of parameter `server` stands in a host, where only letters, digits, `-` and `.` can be",
    );
    one(
        "default: t}",
        "default: T}",
        "4:69 parameter `tenant` can't be `T`",
    );
    one(
        "\"[a-z]+\"",
        "\"[a-z\"",
        "4:50 `[a-z` is no regular expression: found unclosed character class",
    );
    one(
        "[server,",
        "[server, token,",
        "4:26 `token` can't be a parameter: it stands for the token itself",
    );
    one(
        "[server,",
        "[server, a-b,",
        "4:26 `a-b` can't be a parameter's name",
    );
    one(
        "[server,",
        "[server, server,",
        "4:26 parameter `server` is declared twice",
    );
    one(
        "https://api.example.com/",
        "\"https://{tenat}.api.example.com/\"",
        "14:37 integration `crm` has no parameter `tenat`",
    );
}

#[test]
fn the_token() {
    one(
        "Bearer {token}",
        "Bearer token",
        "10:53 `token.value` lacks `{token}`",
    );
    one(
        "client_id: abc",
        "client_id: a{token}",
        "8:19 `{token}` stands for the token, in `token.value` only",
    );
    one(
        "name: Authorization",
        "name: \"a b\"",
        "10:31 token.name: not a valid header name",
    );
    one(
        "name: Authorization",
        "name: Host",
        "10:31 token.name: this header belongs to the connection and can't be set",
    );
    one(
        "Bearer {token}",
        "Bearer\\n{token}",
        "10:53 token.value: not a valid header value: it holds a control character",
    );
    one(
        "{in: header, name: Authorization, value: \"Bearer {token}\"}",
        "{in: query}",
        "10:5 a token template in the query lacks `name`",
    );
    one(
        "accounts:",
        "    request_parameters:\n      - {in: header, name: authorization, value: x}\naccounts:",
        "12:28 the header `authorization` is set twice",
    );
}

#[test]
fn names_of_things() {
    let dashed = GOOD.replace(" crm", " c-rm");
    assert_eq!(
        errors(&dashed),
        ["3:10 `c-rm` can't be an integration's key"]
    );
    one(
        "integration: crm",
        "integration: crn",
        "12:29 no such integration: `crn`",
    );
    one(
        "account: dev",
        "account: deb",
        "14:63 no such account: `deb`",
    );
    let spaced = GOOD.replace("{key: dev,", "{key: d v,");
    assert_eq!(
        errors(&spaced),
        [
            "12:11 `d v` can't be an account's key",
            "14:63 no such account: `dev`"
        ]
    );
    one(
        "routes:",
        "  - {key: dev, integration: crm, parameters: {server: qa}}\nroutes:",
        "13:11 a second account with the key `dev`",
    );
    let route = "  - {name: a, path: /a, upstream: https://a.example.com/, account: dev}\n";
    let twice = format!("{GOOD}{route}{}", route.replace("path: /a", "path: /b"));
    assert_eq!(errors(&twice), ["16:12 a second route with the name `a`"]);
    let same = format!("{GOOD}{}", route.replace("path: /a", "path: /crm/"));
    assert_eq!(
        errors(&same),
        ["15:5 this route matches what the route in line 14 matches, so it is never used"]
    );
}
