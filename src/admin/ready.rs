//! Whether the process may be sent traffic.

use crate::base::id::AccountKey;
use crate::refresh::{AccountState, AccountStatus};
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
    pub fn judge(&self, accounts: &[AccountStatus]) -> Verdict {
        self.judge_after(self.started.elapsed(), accounts)
    }

    fn judge_after(&self, passed: Duration, accounts: &[AccountStatus]) -> Verdict {
        if self.draining.load(Ordering::Relaxed) {
            return Verdict::NotReady("shutting down".into());
        }
        if let Some(account) = accounts.iter().find(|account| self.is_missed(account)) {
            let (key, state) = (&account.key, account.state.as_str());
            return Verdict::NotReady(format!("required account {key} is {state}"));
        }
        if self.reached.load(Ordering::Relaxed) {
            return Verdict::Ready;
        }
        let waiting: Vec<_> = accounts
            .iter()
            .filter(|account| is_expected(account))
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

    fn is_missed(&self, account: &AccountStatus) -> bool {
        account.state != AccountState::Connected && self.required.load().contains(&account.key)
    }
}

/// True while the first attempt of an account that needs no person runs.
fn is_expected(account: &AccountStatus) -> bool {
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
    use crate::refresh::{AccountState, AccountStatus};
    use std::time::Duration;

    const START: Duration = Duration::ZERO;

    fn account(key: &str, state: AccountState, first_attempt_ended: bool) -> AccountStatus {
        AccountStatus {
            key: AccountKey::new(key).unwrap(),
            integration: "crm".into(),
            parameters: Vec::new(),
            state,
            scope: None,
            expires_at: None,
            refreshed_at: None,
            generation: 0,
            has_refresh_token: false,
            reconnect_at_expiry: false,
            last_error: None,
            last_attempt: None,
            next_attempt: None,
            first_attempt_ended,
            short_life: false,
        }
    }

    fn is_ready(readiness: &Readiness, passed: Duration, accounts: &[AccountStatus]) -> bool {
        readiness.judge_after(passed, accounts) == Verdict::Ready
    }

    #[test]
    fn waits_for_first_attempts_and_then_stays_ready() {
        let readiness = Readiness::new(Vec::new());
        let waiting = [account("a", AccountState::Waiting, false)];
        assert_eq!(
            readiness.judge_after(START, &waiting),
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
            readiness.judge_after(PATIENCE, &with(AccountState::ReconnectRequired)),
            Verdict::NotReady("required account a is reconnect_required".into())
        );
    }
}
