//! Looking at the store for what other processes write.

use crate::base::clock::Mono;
use crate::store::{Changes, StoreError};
use std::time::Duration;

/// How often the store is asked what has changed: one small query, whatever
/// the number of accounts.
const PAUSE: Duration = Duration::from_secs(1);

/// When to look next, and from where on.
pub struct Watch {
    mark: u64,
    /// `None` while a look is under way, and where nobody else writes.
    next: Option<Mono>,
}

impl Watch {
    /// Looks for the first time a moment after `now`: every record is read at
    /// the start anyway.
    pub fn starting(now: Mono, is_shared: bool) -> Self {
        Self {
            mark: 0,
            next: is_shared.then(|| now.plus(PAUSE)),
        }
    }

    /// When to look next, unless a look is under way.
    pub fn next(&self) -> Option<Mono> {
        self.next
    }

    /// The mark to look from, when it is time for that.
    pub fn begin(&mut self, now: Mono) -> Option<u64> {
        self.next.take_if(|next| *next <= now)?;
        Some(self.mark)
    }

    /// Takes in what a look has shown; gives the records that were written.
    pub fn end(&mut self, now: Mono, told: Result<Changes, StoreError>) -> Vec<(String, u64)> {
        self.next = Some(now.plus(PAUSE));
        // A store that can't be read now is told of by the run that needs it.
        let changes = told.unwrap_or_else(|_| Changes {
            upto: self.mark,
            written: Vec::new(),
        });
        self.mark = changes.upto;
        changes.written
    }
}
