mod callers;
mod contract;
mod edits;
mod examples;
mod never_panics;
mod places;
mod places_of_routes;
mod served;
mod shown;
mod traces;

use super::checked::Config;
use super::load_text;
use super::mistakes::Mistakes;

/// A good file, line by line, to be spoilt by the tests.
const GOOD: &str = "\
listen: 127.0.0.1:7480
integrations:
  - key: crm
    parameters: [server, {name: tenant, pattern: \"[a-z]+\", default: t}]
    oauth2:
      grant_type: client_credentials
      token_endpoint: https://{server}.example.com/{tenant}
      client_id: abc
      client_secret: {env: SET}
    token: {in: header, name: Authorization, value: \"Bearer {token}\"}
accounts:
  - {key: dev, integration: crm, parameters: {server: dev}}
routes:
  - {path: /crm, upstream: https://api.example.com/, account: dev}
";

/// Loads with an environment in which `SET` and `SIDEKEY_STORE_KEY` are set.
fn load(text: &str) -> Result<Config, Mistakes> {
    load_text("test.yaml", text, &|name| match name {
        "SET" => Some("value-of-SET".into()),
        "SIDEKEY_STORE_KEY" => Some("00".repeat(32)),
        _ => None,
    })
}
