//! The start of many accounts: their records are read a few at a time, for the
//! store takes one call after the other anyway, and every call under way holds
//! memory.

use super::{Event, Scheduler};
use crate::base::id::AccountKey;
use std::collections::HashSet;

/// First reads under way at once.
const AT_ONCE: usize = 32;

/// How far the start has come.
#[derive(Default)]
pub(super) struct Starts {
    /// The first account whose turn has not come.
    next: usize,
    reading: HashSet<usize>,
}

impl Starts {
    /// An account stands at this place that is to be started too.
    pub(super) fn put_back(&mut self, at: usize) {
        self.next = self.next.min(at);
    }
}

impl Scheduler {
    /// An account by its key; whoever is asked for goes before its turn.
    pub(super) fn started(&mut self, key: &AccountKey) -> Option<usize> {
        let at = *self.index.get(key)?;
        self.start(at);
        Some(at)
    }

    /// Begins with an account, unless that was done already.
    pub(super) fn start(&mut self, at: usize) {
        if !std::mem::replace(&mut self.entries[at].is_started, true) {
            self.feed(at, Event::Start);
        }
    }

    pub(super) fn start_more(&mut self) {
        while self.starts.reading.len() < AT_ONCE
            && self.starts.next < self.entries.len()
            && self.stopping.is_empty()
        {
            let at = self.starts.next;
            self.starts.next += 1;
            if !self.entries[at].is_started {
                self.starts.reading.insert(at);
                self.start(at);
            }
        }
    }

    /// A step of this account has ended: perhaps another's turn has come.
    pub(super) fn start_after(&mut self, at: usize) {
        if !self.entries[at].machine.is_starting() && self.starts.reading.remove(&at) {
            self.start_more();
        }
    }
}
