//! Metrics of the refresh wing.

/// Counts token requests by account, trigger and outcome.
/// (being built: registered with the process's registry)
pub struct RefreshMetrics {}

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

impl RefreshMetrics {
    /// Counts one ended token request.
    pub fn ended(&self, account: &str, trigger: Trigger, outcome: Outcome) {
        let _ = (account, trigger, outcome);
        todo!()
    }

    /// Counts a store write that failed.
    pub fn store_write_failed(&self) {
        todo!()
    }
}
