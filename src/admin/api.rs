//! What the account API speaks, also for the command line, its client.

use crate::base::clock::Wall;
use crate::refresh::AccountStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A connected account; holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    pub key: String,
    pub integration: String,
    /// `null` for a secret one.
    pub parameters: BTreeMap<String, Option<String>>,
    /// `waiting`, `not_connected`, `connected`, `reconnect_required` or `misconfigured`.
    pub state: String,
    pub scope: Option<String>,
    /// RFC 3339, like all times here.
    pub expires_at: Option<String>,
    pub refreshed_at: Option<String>,
    pub generation: u64,
    pub has_refresh_token: bool,
    /// True for a person's grant without a refresh token: it has to be
    /// connected again when its token expires.
    pub reconnect_at_expiry: bool,
    pub last_error: Option<ErrorView>,
    /// True for a token life of less than five minutes.
    pub short_life: bool,
}

/// The last failed attempt of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    pub at: String,
    /// In plain words.
    pub message: String,
}

/// The answer to `GET /api/accounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountList {
    pub accounts: Vec<AccountView>,
}

/// The body of `POST /api/accounts`; its parameters may be secret, so no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    pub key: String,
    pub integration: String,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// The answer to `POST /api/accounts/{key}/connect`; its address carries a
/// `state`, so no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connecting {
    /// Where the person goes.
    pub authorization_url: String,
    /// In seconds.
    pub expires_in: u64,
    /// For `GET /api/accounts/{key}/connect/{id}`.
    pub id: String,
    /// Exactly as it must be registered at the authorization server.
    pub redirect_uri: String,
}

/// How a connecting stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// `pending`, `connected`, `failed` or `expired`.
    pub outcome: String,
    /// In plain words.
    pub message: Option<String>,
}

/// The body of `POST /api/accounts/{key}/callback`; its address carries a
/// code, so no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallbackBody {
    /// The address at which the browser has ended.
    pub address: String,
}

/// What was done, in plain words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub message: String,
}

/// The answer to `GET /api/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigView {
    pub file: String,
    /// When the configuration was read that is in use.
    pub loaded_at: String,
    /// `null` before the first one.
    pub last_reload: Option<ReloadView>,
    /// Keys that differ in the file and take effect at the next start only.
    pub needs_restart: Vec<String>,
}

/// How a reading of the configuration has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadView {
    pub at: String,
    /// False: what was in use before still is.
    pub successful: bool,
    /// Every mistake, as `sidekey check` shows them.
    pub message: Option<String>,
}

/// A link that opens one page session; no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub url: String,
    /// In seconds.
    pub expires_in: u64,
}

/// An access token's value; no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    pub access_token: String,
    pub expires_at: Option<String>,
}

/// An error of the API (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Always `about:blank`: the code says what it is.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// The same as the header `Sidekey-Error`.
    pub code: String,
}

impl From<&AccountStatus> for AccountView {
    fn from(status: &AccountStatus) -> Self {
        Self {
            key: status.key.to_string(),
            integration: status.integration.clone(),
            parameters: status.parameters.iter().cloned().collect(),
            state: status.state.as_str().to_owned(),
            scope: status.scope.clone(),
            expires_at: status.expires_at.map(rfc3339),
            refreshed_at: status.refreshed_at.map(rfc3339),
            generation: status.generation,
            has_refresh_token: status.has_refresh_token,
            reconnect_at_expiry: status.reconnect_at_expiry,
            last_error: status.last_error.as_ref().map(|error| ErrorView {
                at: rfc3339(error.at),
                message: error.what.clone(),
            }),
            short_life: status.short_life,
        }
    }
}

/// A time in RFC 3339, to the second.
#[must_use]
pub fn rfc3339(at: Wall) -> String {
    i64::try_from(at.unix_seconds())
        .ok()
        .and_then(|second| jiff::Timestamp::from_second(second).ok())
        // Past the year 9999: a server's idea of "never".
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::{AccountView, rfc3339};
    use crate::base::clock::Wall;
    use crate::base::id::AccountKey;
    use crate::refresh::{AccountState, AccountStatus, LastError};
    use std::time::Duration;

    #[test]
    fn an_account_reads_as_documented() {
        let at = |seconds| Wall::new(Duration::from_secs(seconds));
        let status = AccountStatus {
            key: AccountKey::new("crmDev").unwrap(),
            integration: "crm".into(),
            parameters: vec![
                ("serverName".into(), Some("dev".into())),
                ("pin".into(), None),
            ],
            state: AccountState::ReconnectRequired,
            scope: Some("api".into()),
            expires_at: Some(at(1_764_010_759)),
            refreshed_at: None,
            generation: 3,
            has_refresh_token: false,
            reconnect_at_expiry: false,
            last_error: Some(LastError {
                at: at(0),
                what: "refused".into(),
            }),
            last_attempt: None,
            next_attempt: None,
            first_attempt_ended: true,
            short_life: false,
        };
        assert_eq!(
            serde_json::to_value(AccountView::from(&status)).unwrap(),
            serde_json::json!({
                "key": "crmDev", "integration": "crm",
                "parameters": {"serverName": "dev", "pin": null},
                "state": "reconnect_required", "scope": "api",
                "expires_at": "2025-11-24T18:59:19Z", "refreshed_at": null,
                "generation": 3, "has_refresh_token": false,
                "reconnect_at_expiry": false,
                "last_error": {"at": "1970-01-01T00:00:00Z", "message": "refused"},
                "short_life": false,
            })
        );
    }

    #[test]
    fn never_is_a_time_too() {
        assert!(rfc3339(Wall::new(Duration::MAX)).starts_with("9999-"));
    }
}
