//! Who waits for the end of a refresh.

use super::WaiterId;
use crate::base::clock::{Moment, Now};
use crate::token::RejectedStatus;
use std::collections::VecDeque;
use std::time::Duration;

/// So many verdicts may be awaited at once; as many as asks fit on their way.
const MOST_VERDICTS: usize = 16_384;
/// So many people may await a refresh at once.
const MOST_MANUAL: usize = 64;

/// A request that waits for a token.
#[derive(Debug, PartialEq)]
pub struct TokenWaiter {
    pub id: WaiterId,
    pub until: Moment,
}

/// A rejected request that waits for the verdict.
#[derive(Debug, PartialEq)]
pub struct VerdictWaiter {
    pub id: WaiterId,
    pub generation: u64,
    pub status: RejectedStatus,
    pub until: Moment,
}

/// Everyone who waits, each kind bounded. All of a kind wait equally long, so
/// the first to come is the first to go.
#[derive(Debug, Default, PartialEq)]
pub struct Waiters {
    pub tokens: VecDeque<TokenWaiter>,
    pub verdicts: VecDeque<VerdictWaiter>,
    pub manual: Vec<WaiterId>,
}

impl Waiters {
    /// True when nobody waits.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.verdicts.is_empty() && self.manual.is_empty()
    }

    /// True when no more verdicts can be awaited.
    pub fn verdicts_full(&self) -> bool {
        self.verdicts.len() >= MOST_VERDICTS
    }

    /// True when no more people can wait.
    pub fn manual_full(&self) -> bool {
        self.manual.len() >= MOST_MANUAL
    }

    /// Takes out the token waiters whose time has come.
    pub fn late_tokens(&mut self, now: Now) -> Vec<WaiterId> {
        let late = || self.tokens.pop_front_if(|w| now.reached(w.until));
        std::iter::from_fn(late).map(|w| w.id).collect()
    }

    /// Takes out the token waiters that will be gone in `pause`.
    pub fn tokens_gone_by(&mut self, now: Now, pause: Duration) -> Vec<WaiterId> {
        let gone = || self.tokens.pop_front_if(|w| now.until(w.until) < pause);
        std::iter::from_fn(gone).map(|w| w.id).collect()
    }

    /// Takes out the verdict waiters whose time has come.
    pub fn late_verdicts(&mut self, now: Now) -> Vec<WaiterId> {
        let late = || self.verdicts.pop_front_if(|w| now.reached(w.until));
        std::iter::from_fn(late).map(|w| w.id).collect()
    }

    /// The first moment at which somebody's time has come.
    pub fn first_deadline(&self, now: Now) -> Option<Moment> {
        let token = self.tokens.front().map(|w| w.until);
        let verdict = self.verdicts.front().map(|w| w.until);
        [token, verdict]
            .into_iter()
            .flatten()
            .min_by_key(|until| now.until(*until))
    }

    /// Forgets those who have gone away.
    pub fn forget(&mut self, gone: &dyn Fn(WaiterId) -> bool) {
        self.tokens.retain(|w| !gone(w.id));
        self.verdicts.retain(|w| !gone(w.id));
        self.manual.retain(|id| !gone(*id));
    }
}
