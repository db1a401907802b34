//! The refresh wing as the rest of the program sees it.

use super::status::AccountStatus;
use crate::account::ConnectedAccount;
use crate::base::clock::Clock;
use crate::base::id::AccountKey;
use crate::config::checked::RefreshSettings;
use crate::store::Store;
use crate::telemetry::refreshes::RefreshMetrics;
use crate::token::{AskReceiver, Publisher};
use std::sync::Arc;
use std::time::Duration;

/// An account for the wing to look after.
pub struct Setup {
    pub account: Arc<ConnectedAccount>,
    pub publisher: Publisher,
}

/// What the wing works with.
pub struct Parts {
    pub accounts: Vec<Setup>,
    pub asks: AskReceiver,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<RefreshMetrics>,
    pub settings: RefreshSettings,
}

/// How a manual refresh ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManualOutcome {
    Refreshed,
    /// In plain words.
    Failed(String),
    UnknownAccount,
}

/// The running wing; cheap to clone.
#[derive(Clone)]
pub struct Handle {}

/// Starts the wing on the calling (cold) runtime; the first tokens are fetched at once.
#[must_use]
pub fn start(parts: Parts) -> Handle {
    let _ = parts;
    todo!()
}

impl Handle {
    /// Every account, in the order of the configuration.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountStatus> {
        todo!()
    }

    /// One account.
    #[must_use]
    pub fn account(&self, key: &AccountKey) -> Option<AccountStatus> {
        let _ = key;
        todo!()
    }

    /// Refreshes now, whatever the schedule says, and waits for the end of it.
    pub async fn refresh(&self, key: &AccountKey) -> ManualOutcome {
        let _ = key;
        todo!()
    }

    /// Starts no new refresh, waits for those in flight and for pending store
    /// writes, up to `limit`.
    pub async fn shutdown(&self, limit: Duration) {
        let _ = limit;
        todo!()
    }
}
