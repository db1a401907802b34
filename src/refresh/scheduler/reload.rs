//! Accounts as a configuration that was read anew describes them.

use super::{Event, Scheduler, Setup};
use crate::base::id::AccountKey;
use crate::refresh::entry::Entry;
use crate::refresh::reload::{Described, Reload};
use std::collections::HashMap;
use std::sync::Arc;

impl Scheduler {
    pub(super) fn reload(&mut self, reload: Reload) {
        let mut generations = HashMap::new();
        for key in reload.removed {
            if let Some(at) = self.retire(&key) {
                generations.insert(key, self.entries[at].machine.generation());
            }
        }
        for described in reload.described {
            self.describe(described);
        }
        for setup in reload.added {
            let key = setup.account.key.clone();
            if let Some(at) = self.put(setup)
                && let Some(generation) = generations.get(&key)
            {
                self.entries[at].machine.count_from(*generation);
            }
        }
        self.show_in_order(&reload.order);
        self.rules.forget_unused();
        self.start_more();
    }

    /// Looks after one account more, which is to be started and shown; `None`
    /// where there is one of its key.
    pub(super) fn put(&mut self, setup: Setup) -> Option<usize> {
        let key = setup.account.key.clone();
        if self.index.contains_key(&key) {
            return None;
        }
        let now = self.setting.clock.now();
        let rules = self.rules.of(&setup.account);
        let entry = Entry::new(setup, rules, &mut self.slots, now);
        let at = match self.free_place() {
            Some(at) => {
                self.wake_at(at, None);
                self.entries[at] = entry;
                self.starts.put_back(at);
                at
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.index.insert(key, at);
        Some(at)
    }

    /// Looks after an account no more. Its entry stays, stopped, until nothing
    /// of it is under way: others are named by their places.
    pub(super) fn retire(&mut self, key: &AccountKey) -> Option<usize> {
        let at = self.index.remove(key)?;
        // Its turn may not have come yet, and must not come now.
        self.entries[at].is_started = true;
        self.feed(at, Event::Stop);
        self.retired.push(at);
        Some(at)
    }

    /// The place of an entry that has come to rest.
    fn free_place(&mut self) -> Option<usize> {
        let entries = &self.entries;
        let at_rest = |at: &usize| entries[*at].machine.is_quiet() && !entries[*at].has_slot;
        let found = self.retired.iter().position(at_rest)?;
        Some(self.retired.swap_remove(found))
    }

    fn describe(&mut self, described: Described) {
        let Some(&at) = self.index.get(&described.wanted.account.key) else {
            return;
        };
        self.start(at);
        let now = self.setting.clock.now();
        let rules = self.rules.of(&described.wanted.account);
        let entry = &mut self.entries[at];
        entry.describe(described.wanted);
        // What was wrong with it may have been corrected: not only at the next attempt.
        let is_wrong = !entry.token_fits() || entry.machine.awaits_secret();
        let renew = described.renew || is_wrong;
        self.feed(at, Event::Described { rules, renew });
        let entry = &mut self.entries[at];
        entry.show(now, &[]);
        if let Some(publication) = entry.machine.published().cloned() {
            entry.tell_workers(now, publication);
        }
    }

    /// In this order, those that it does not name last.
    fn show_in_order(&self, order: &[AccountKey]) {
        let mut rest = self.index.clone();
        let mut places: Vec<usize> = order.iter().filter_map(|key| rest.remove(key)).collect();
        let mut rest: Vec<usize> = rest.into_values().collect();
        rest.sort_unstable();
        places.append(&mut rest);
        let cells = places.into_iter().map(|at| self.entries[at].cell.clone());
        self.statuses.store(Arc::new(cells.collect()));
    }
}
