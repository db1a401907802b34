//! Metrics of the refresh wing.

use arc_swap::ArcSwap;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, Opts};
use std::collections::HashSet;
use std::sync::Arc;

/// Stands in label `account` for every account past `metrics.max_accounts`.
pub const OTHER: &str = "_other";

/// Counts token requests by account, trigger and outcome.
pub struct RefreshMetrics {
    named: ArcSwap<NamedAccounts>,
    refreshes: IntCounterVec,
    write_failures: IntCounter,
}

/// The accounts that get series of their own.
#[derive(Clone, Debug, Default)]
pub struct NamedAccounts(HashSet<String>);

impl NamedAccounts {
    /// The first `max` of the accounts, in the order of the configuration.
    pub fn first<'a>(max: usize, accounts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(accounts.into_iter().take(max).map(str::to_owned).collect())
    }

    /// The label's value for an account.
    #[must_use]
    pub fn label<'a>(&self, account: &'a str) -> &'a str {
        if self.0.contains(account) {
            account
        } else {
            OTHER
        }
    }
}

/// Why a refresh was started: the closed list of the `trigger` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The first token of an account.
    Initial,
    /// Ahead of expiry.
    Scheduled,
    /// An upstream answered 401 or 403.
    Rejected,
    /// A request found no valid token.
    Demand,
    /// A person asked.
    Manual,
}

impl Trigger {
    const ALL: [Self; 5] = [
        Self::Initial,
        Self::Scheduled,
        Self::Rejected,
        Self::Demand,
        Self::Manual,
    ];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Scheduled => "scheduled",
            Self::Rejected => "rejected",
            Self::Demand => "demand",
            Self::Manual => "manual",
        }
    }
}

/// How it ended: the closed list of the `outcome` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// The very token that was there before.
    SameToken,
    /// Will be tried again after a pause.
    Transient,
    /// The grant is dead.
    Dead,
    /// The authorization server refuses the client.
    Misconfigured,
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Success,
        Self::SameToken,
        Self::Transient,
        Self::Dead,
        Self::Misconfigured,
    ];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::SameToken => "same_token",
            Self::Transient => "transient",
            Self::Dead => "dead",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl RefreshMetrics {
    /// Counters at zero; accounts that are not named count under [`OTHER`].
    #[must_use]
    pub fn new(named: NamedAccounts) -> Self {
        let refreshes = Opts::new(
            "sidekey_token_refreshes_total",
            "Token requests that ended, by account, by what started them and how they ended.",
        );
        let failures = "Writes of a token to the store that failed.";
        let constant = "names and labels are constants";
        Self {
            named: ArcSwap::from_pointee(named),
            refreshes: IntCounterVec::new(refreshes, &["account", "trigger", "outcome"])
                .expect(constant),
            write_failures: IntCounter::new("sidekey_store_write_failures_total", failures)
                .expect(constant),
        }
    }

    /// Counts one ended token request.
    pub fn ended(&self, account: &str, trigger: Trigger, outcome: Outcome) {
        let named = self.named.load();
        let account = named.label(account);
        self.refreshes
            .with_label_values(&[account, trigger.as_str(), outcome.as_str()])
            .inc();
    }

    /// Counts a store write that failed.
    pub fn store_write_failed(&self) {
        self.write_failures.inc();
    }

    /// What was counted so far.
    #[must_use]
    pub fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.refreshes.collect();
        families.extend(self.write_failures.collect());
        families
    }

    /// The accounts that get series of their own.
    #[must_use]
    pub fn named(&self) -> Arc<NamedAccounts> {
        self.named.load_full()
    }

    /// From now on these get series of their own; those of others are dropped.
    pub fn name(&self, named: NamedAccounts) {
        let before = self.named.swap(Arc::new(named));
        let now = self.named.load();
        for account in before.0.difference(&now.0) {
            for trigger in Trigger::ALL {
                for outcome in Outcome::ALL {
                    let labels = [account, trigger.as_str(), outcome.as_str()];
                    // Most of them were never counted.
                    let _ = self.refreshes.remove_label_values(&labels);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NamedAccounts, OTHER, Outcome, RefreshMetrics, Trigger};

    #[test]
    fn accounts_past_the_limit_share_one_series() {
        let metrics = RefreshMetrics::new(NamedAccounts::first(2, ["a", "b", "c", "d"]));
        for account in ["a", "b", "c", "d"] {
            metrics.ended(account, Trigger::Initial, Outcome::Success);
        }
        let refreshes = &metrics.collect()[0];
        let mut counted: Vec<_> = refreshes
            .get_metric()
            .iter()
            .map(|m| {
                (
                    m.get_label()[0].value().to_owned(),
                    m.get_counter().get_value(),
                )
            })
            .collect();
        counted.sort_by(|x, y| x.0.cmp(&y.0));
        assert_eq!(
            counted,
            [(OTHER.into(), 2.0), ("a".into(), 1.0), ("b".into(), 1.0)]
        );
    }
}
