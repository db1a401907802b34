//! What can be told of an account.

use crate::base::clock::Wall;
use crate::base::id::AccountKey;
use crate::telemetry::refreshes::{Outcome, Trigger};

/// An account's state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    Waiting,
    NotConnected,
    Connected,
    ReconnectRequired,
    Misconfigured,
}

impl AccountState {
    /// Every state, in the order in which metrics list them.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::NotConnected,
        Self::Connected,
        Self::ReconnectRequired,
        Self::Misconfigured,
    ];

    /// The word that the API, logs and metrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::NotConnected => "not_connected",
            Self::Connected => "connected",
            Self::ReconnectRequired => "reconnect_required",
            Self::Misconfigured => "misconfigured",
        }
    }
}

/// An account as people and scripts see it; holds no secret.
#[derive(Clone, Debug)]
pub struct AccountStatus {
    pub key: AccountKey,
    pub integration: String,
    /// Parameters; a secret one's value is left out (`None`).
    pub parameters: Vec<(String, Option<String>)>,
    pub state: AccountState,
    pub scope: Option<String>,
    pub expires_at: Option<Wall>,
    pub refreshed_at: Option<Wall>,
    pub generation: u64,
    pub has_refresh_token: bool,
    /// True for a person's grant that has no refresh token: somebody will have
    /// to connect the account again when its token expires.
    pub reconnect_at_expiry: bool,
    /// Why the last attempt failed, else why its tokens are only in memory.
    pub last_error: Option<LastError>,
    /// The last token request that ended in this process.
    pub last_attempt: Option<Attempt>,
    /// When the next token request is due, where one is planned.
    pub next_attempt: Option<Wall>,
    /// True once the first attempt has ended, with a token or a definite error.
    pub first_attempt_ended: bool,
    /// True for a token life of less than five minutes.
    pub short_life: bool,
}

/// A token request that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub at: Wall,
    pub trigger: Trigger,
    pub outcome: Outcome,
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    pub at: Wall,
    /// In plain words, with what to do; holds no secret.
    pub what: String,
}
