//! An account as those outside the scheduler see it. There may be very many: what
//! its configuration says already is not held here once more.

use super::status::{AccountState, AccountStatus, Attempt, LastError};
use crate::account::ConnectedAccount;
use crate::base::clock::Wall;
use crate::base::id::AccountKey;
use crate::config::checked::ParameterValue;
use crate::token::Shared;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An account with what is known of it.
pub struct Cell {
    pub account: Arc<ConnectedAccount>,
    /// It was created while a process ran, and is in no configuration.
    pub created: bool,
    /// From which workers read what is published.
    pub shared: Shared,
    known: Mutex<Known>,
}

/// What changes while the account lives.
#[derive(Clone, Debug)]
pub struct Known {
    pub state: AccountState,
    pub expires_at: Option<Wall>,
    pub refreshed_at: Option<Wall>,
    pub generation: u64,
    pub has_refresh_token: bool,
    pub reconnect_at_expiry: bool,
    pub seldom: Option<Box<Seldom>>,
    pub last_attempt: Option<Attempt>,
    pub next_attempt: Option<Wall>,
    pub first_attempt_ended: bool,
    pub short_life: bool,
}

/// What is known of few accounts at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seldom {
    /// Where the server granted another than the configuration asks for.
    pub scope: Option<String>,
    pub last_error: Option<LastError>,
}

/// The little of an account's status that probes and scrapes look at.
#[derive(Clone, Copy, Debug)]
pub struct Glimpse<'a> {
    pub key: &'a AccountKey,
    pub state: AccountState,
    pub expires_at: Option<Wall>,
    pub reconnect_at_expiry: bool,
    pub first_attempt_ended: bool,
}

impl Cell {
    pub fn new(
        account: Arc<ConnectedAccount>,
        created: bool,
        shared: Shared,
        known: Known,
    ) -> Self {
        Self {
            account,
            created,
            shared,
            known: Mutex::new(known),
        }
    }

    /// The same of an account that is described otherwise, and read here.
    pub fn of(&self, account: Arc<ConnectedAccount>, created: bool, shared: Shared) -> Self {
        Self::new(account, created, shared, self.lock().clone())
    }

    /// Shows this from now on; the last attempt stays where there was no other.
    pub fn show(&self, mut next: Known) {
        let mut known = self.lock();
        next.last_attempt = next.last_attempt.or(known.last_attempt);
        *known = next;
    }

    pub fn glimpse(&self) -> Glimpse<'_> {
        let known = self.lock();
        Glimpse {
            key: &self.account.key,
            state: known.state,
            expires_at: known.expires_at,
            reconnect_at_expiry: known.reconnect_at_expiry,
            first_attempt_ended: known.first_attempt_ended,
        }
    }

    pub fn status(&self) -> AccountStatus {
        let account = &*self.account;
        let known = self.lock();
        let seldom = known.seldom.as_deref();
        let scope = seldom.and_then(|seldom| seldom.scope.as_ref());
        AccountStatus {
            key: account.key.clone(),
            integration: account.integration.key.clone(),
            parameters: parameters(account),
            state: known.state,
            scope: scope.or(account.oauth.scope.as_ref()).cloned(),
            expires_at: known.expires_at,
            refreshed_at: known.refreshed_at,
            generation: known.generation,
            has_refresh_token: known.has_refresh_token,
            reconnect_at_expiry: known.reconnect_at_expiry,
            last_error: seldom.and_then(|seldom| seldom.last_error.clone()),
            last_attempt: known.last_attempt,
            next_attempt: known.next_attempt,
            first_attempt_ended: known.first_attempt_ended,
            short_life: known.short_life,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // It is replaced as a whole: what a poisoned lock holds is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parameters(account: &ConnectedAccount) -> Vec<(String, Option<String>)> {
    let parameters = account.parameters.iter();
    let shown = parameters.map(|(name, value)| match value {
        ParameterValue::Plain(text) => (name.clone(), Some(text.clone())),
        ParameterValue::Secret(_) => (name.clone(), None),
    });
    shown.collect()
}
