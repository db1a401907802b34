//! The description of the account API, in OpenAPI 3.1.

use super::reply::{self, Answer};
use http::StatusCode;

const TEXT: &str = include_str!("openapi.json");

/// The description, for a process that is reached at this address.
pub fn answer(public_url: &str) -> Answer {
    let url = serde_json::Value::from(public_url).to_string();
    let text = TEXT.replace("\"@PUBLIC_URL@\"", &url);
    let text = text.replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    reply::answer(StatusCode::OK, "application/json", text)
}

/// The description is written by hand; this keeps it in step.
#[cfg(test)]
mod tests {
    use super::TEXT;
    use crate::admin::Surface;
    use crate::admin::api::{
        AccountList, AccountView, AttemptView, CallbackBody, ConfigView, Connecting, CreateBody,
        Done, ErrorView, Link, Problem, ReloadView, TokenView,
    };
    use crate::admin::place::{Place, methods, place};
    use http::Method;
    use serde_json::{Value, json};
    use std::collections::{BTreeMap, BTreeSet};

    fn description() -> Value {
        serde_json::from_str(TEXT).unwrap()
    }

    /// The path in the description; no arm is left out when a place is added.
    fn path(place: &Place) -> Option<&'static str> {
        match place {
            Place::Accounts => Some("/api/accounts"),
            Place::Account(_) => Some("/api/accounts/{key}"),
            Place::Refresh(_) => Some("/api/accounts/{key}/refresh"),
            Place::Revoke(_) => Some("/api/accounts/{key}/revoke"),
            Place::Connect(_) => Some("/api/accounts/{key}/connect"),
            Place::Attempt(..) => Some("/api/accounts/{key}/connect/{id}"),
            Place::Callback(_) => Some("/api/accounts/{key}/callback"),
            Place::Token(_) => Some("/api/accounts/{key}/token"),
            Place::Links => Some("/api/links"),
            Place::Config => Some("/api/config"),
            Place::Live
            | Place::Ready
            | Place::Metrics
            | Place::Description
            | Place::Page(_)
            | Place::Elsewhere => None,
        }
    }

    #[test]
    fn every_call_is_described_and_nothing_else() {
        let description = description();
        let paths = description["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 10, "as many as path() knows");
        for (written, item) in paths {
            let real = written.replace("{key}", "a").replace("{id}", "b");
            let place = place(Surface::Admin, &real);
            assert_eq!(path(&place), Some(written.as_str()));
            let described: BTreeSet<_> = item.as_object().unwrap().keys().cloned().collect();
            let taken = methods(&place).iter().filter(|m| **m != Method::HEAD);
            let mut taken: BTreeSet<_> = taken.map(|m| m.as_str().to_lowercase()).collect();
            taken.extend(item.get("parameters").map(|_| "parameters".to_owned()));
            assert_eq!(described, taken, "{written}");
        }
    }

    #[test]
    fn every_schema_has_the_fields_that_are_sent() {
        let error = ErrorView {
            at: String::new(),
            message: String::new(),
        };
        let views = [
            ("Account", json!(account())),
            ("LastError", json!(error)),
            (
                "AccountList",
                json!(AccountList {
                    accounts: Vec::new()
                }),
            ),
            ("NewAccount", json!(new_account())),
            ("Connecting", json!(connecting())),
            (
                "Attempt",
                json!(AttemptView {
                    outcome: String::new(),
                    message: None
                }),
            ),
            (
                "CallbackAddress",
                json!(CallbackBody {
                    address: String::new()
                }),
            ),
            (
                "Done",
                json!(Done {
                    message: String::new()
                }),
            ),
            (
                "Token",
                json!(TokenView {
                    access_token: String::new(),
                    expires_at: None
                }),
            ),
            (
                "Link",
                json!(Link {
                    url: String::new(),
                    expires_in: 0
                }),
            ),
            ("Config", json!(config())),
            (
                "Reload",
                json!(ReloadView {
                    at: String::new(),
                    successful: true,
                    message: None,
                }),
            ),
            ("Problem", json!(problem())),
        ];
        for (name, view) in views {
            let schema = &description()["components"]["schemas"][name];
            let described = schema["properties"].as_object().unwrap();
            let described: BTreeSet<_> = described.keys().cloned().collect();
            let sent = view.as_object().unwrap().keys().cloned().collect();
            assert_eq!(described, sent, "{name}");
        }
    }

    fn account() -> AccountView {
        AccountView {
            key: String::new(),
            integration: String::new(),
            parameters: BTreeMap::new(),
            state: String::new(),
            scope: None,
            expires_at: None,
            refreshed_at: None,
            generation: 0,
            has_refresh_token: false,
            reconnect_at_expiry: false,
            last_error: None,
            short_life: false,
        }
    }

    fn config() -> ConfigView {
        ConfigView {
            file: String::new(),
            loaded_at: String::new(),
            last_reload: None,
            needs_restart: Vec::new(),
        }
    }

    fn new_account() -> CreateBody {
        CreateBody {
            key: String::new(),
            integration: String::new(),
            parameters: BTreeMap::new(),
        }
    }

    fn connecting() -> Connecting {
        Connecting {
            authorization_url: String::new(),
            expires_in: 0,
            id: String::new(),
            redirect_uri: String::new(),
        }
    }

    fn problem() -> Problem {
        Problem {
            kind: String::new(),
            title: String::new(),
            status: 0,
            detail: String::new(),
            code: String::new(),
        }
    }
}
