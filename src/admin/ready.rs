//! Whether the process may be sent traffic.

use crate::base::id::AccountKey;
use crate::refresh::{AccountState, Glimpse};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long an account's first attempt can hold readiness up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ready once every account that needs no person has had its first attempt
/// end or 30 s have passed; from then on until drain. Accounts that the
/// configuration requires count at all times.
pub struct Readiness {
    started: Instant,
    required: ArcSwap<Vec<AccountKey>>,
    reached: AtomicBool,
    draining: AtomicBool,
}

/// A verdict, with its reason in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ready,
    NotReady(String),
}

impl Readiness {
    /// Counts from now: listeners are bound and the store is open.
    #[must_use]
    pub fn new(required: Vec<AccountKey>) -> Self {
        Self {
            started: Instant::now(),
            required: ArcSwap::from_pointee(required),
            reached: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }

    /// From now on these accounts count at all times.
    pub fn require(&self, accounts: Vec<AccountKey>) {
        self.required.store(Arc::new(accounts));
    }

    /// Not ready from now on, whatever the accounts say.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Judges now.
    #[must_use]
    pub fn judge<'a>(&self, accounts: impl Iterator<Item = Glimpse<'a>> + Clone) -> Verdict {
        self.judge_after(self.started.elapsed(), accounts)
    }

    fn judge_after<'a>(
        &self,
        passed: Duration,
        accounts: impl Iterator<Item = Glimpse<'a>> + Clone,
    ) -> Verdict {
        if self.draining.load(Ordering::Relaxed) {
            return Verdict::NotReady("shutting down".into());
        }
        if !self.required.load().is_empty()
            && let Some(account) = accounts.clone().find(|account| self.is_missed(account))
        {
            let (key, state) = (account.key, account.state.as_str());
            return Verdict::NotReady(format!("required account {key} is {state}"));
        }
        if self.reached.load(Ordering::Relaxed) {
            return Verdict::Ready;
        }
        let waiting: Vec<_> = accounts
            .filter(is_expected)
            .map(|account| account.key.as_str())
            .collect();
        if waiting.is_empty() || passed >= PATIENCE {
            self.reached.store(true, Ordering::Relaxed);
            return Verdict::Ready;
        }
        Verdict::NotReady(format!(
            "waiting for the first token of {}",
            waiting.join(", ")
        ))
    }

    fn is_missed(&self, account: &Glimpse<'_>) -> bool {
        account.state != AccountState::Connected && self.required.load().contains(account.key)
    }
}

/// True while the first attempt of an account that needs no person runs.
fn is_expected(account: &Glimpse<'_>) -> bool {
    let needs_person = matches!(
        account.state,
        AccountState::NotConnected | AccountState::ReconnectRequired
    );
    !account.first_attempt_ended && !needs_person
}

#[cfg(test)]
mod tests {
    use super::{PATIENCE, Readiness, Verdict};
    use crate::base::id::AccountKey;
    use crate::refresh::{AccountState, Glimpse};
    use std::time::Duration;

    const START: Duration = Duration::ZERO;

    /// An account by its key, with its state and whether its first attempt has ended.
    type Account = (AccountKey, AccountState, bool);

    fn account(key: &str, state: AccountState, first_attempt_ended: bool) -> Account {
        (AccountKey::new(key).unwrap(), state, first_attempt_ended)
    }

    fn judge(readiness: &Readiness, passed: Duration, accounts: &[Account]) -> Verdict {
        let accounts = accounts.iter().map(|(key, state, ended)| Glimpse {
            key,
            state: *state,
            expires_at: None,
            reconnect_at_expiry: false,
            first_attempt_ended: *ended,
        });
        readiness.judge_after(passed, accounts)
    }

    fn is_ready(readiness: &Readiness, passed: Duration, accounts: &[Account]) -> bool {
        judge(readiness, passed, accounts) == Verdict::Ready
    }

    #[test]
    fn waits_for_first_attempts_and_then_stays_ready() {
        let readiness = Readiness::new(Vec::new());
        let waiting = [account("a", AccountState::Waiting, false)];
        assert_eq!(
            judge(&readiness, START, &waiting),
            Verdict::NotReady("waiting for the first token of a".into())
        );
        let failed = [account("a", AccountState::Misconfigured, true)];
        assert!(
            is_ready(&readiness, START, &failed),
            "a definite error is an end"
        );
        assert!(is_ready(&readiness, START, &waiting), "ready from then on");
        readiness.drain();
        assert!(!is_ready(&readiness, START, &failed));
    }

    #[test]
    fn a_dead_authorization_server_holds_it_up_for_a_while_only() {
        let readiness = Readiness::new(Vec::new());
        let waiting = [account("a", AccountState::Waiting, false)];
        assert!(!is_ready(
            &readiness,
            PATIENCE - Duration::from_millis(1),
            &waiting
        ));
        assert!(is_ready(&readiness, PATIENCE, &waiting));
    }

    #[test]
    fn an_account_that_needs_a_person_is_not_waited_for() {
        let readiness = Readiness::new(Vec::new());
        assert!(is_ready(
            &readiness,
            START,
            &[
                account("a", AccountState::NotConnected, false),
                account("b", AccountState::ReconnectRequired, false)
            ]
        ));
    }

    #[test]
    fn a_required_account_counts_at_all_times() {
        let readiness = Readiness::new(vec![AccountKey::new("a").unwrap()]);
        let with = |state| [account("a", state, true), account("b", state, true)];
        assert!(is_ready(&readiness, START, &with(AccountState::Connected)));
        assert_eq!(
            judge(&readiness, PATIENCE, &with(AccountState::ReconnectRequired)),
            Verdict::NotReady("required account a is reconnect_required".into())
        );
    }
}
