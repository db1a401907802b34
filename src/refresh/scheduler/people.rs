//! Accounts as people change them: connected, disconnected, created, removed.

use super::{Event, ManualOutcome, Person, Reply, Scheduler, Setup};
use crate::base::id::AccountKey;
use crate::refresh::entry::Entry;

impl Scheduler {
    pub(super) fn hear_person(&mut self, person: Person) {
        match person {
            Person::Connected {
                account,
                sent,
                answer,
                reply,
            } => match self.started(&account) {
                Some(at) => {
                    let waiter = self.waiting.add(Reply::Manual(reply));
                    let event = Event::Connected {
                        waiter,
                        sent,
                        answer,
                    };
                    self.feed(at, event);
                }
                None => drop(reply.send(ManualOutcome::UnknownAccount)),
            },
            Person::Disconnect { account, reply } => match self.started(&account) {
                Some(at) => {
                    let waiter = self.waiting.add(Reply::Disconnected(reply));
                    self.feed(at, Event::Disconnect(waiter));
                }
                None => drop(reply.send(Err("there is no such account".to_owned()))),
            },
            Person::Tokens { account, reply } => {
                let at = self.started(&account);
                let tokens = at.and_then(|at| self.entries[at].machine.tokens().cloned());
                // Whoever went away meanwhile hears nothing.
                let _ = reply.send(tokens);
            }
            Person::Add(setup) => self.add(*setup),
            Person::Remove(account) => self.remove(&account),
        }
    }

    fn add(&mut self, setup: Setup) {
        let key = setup.account.key.clone();
        if self.index.contains_key(&key) {
            return;
        }
        let now = self.setting.clock.now();
        let rules = self.rules.of(&setup.account);
        let entry = Entry::new(setup, rules, &mut self.slots, now);
        let at = self.entries.len();
        self.index.insert(key, at);
        let mut cells = self.statuses.load().to_vec();
        cells.push(entry.cell.clone());
        self.statuses.store(std::sync::Arc::new(cells));
        self.entries.push(entry);
        self.start(at);
    }

    /// The entry stays, stopped: others are named by their places.
    fn remove(&mut self, key: &AccountKey) {
        let Some(at) = self.index.remove(key) else {
            return;
        };
        let mut cells = self.statuses.load().to_vec();
        cells.retain(|cell| cell.account.key != *key);
        self.statuses.store(std::sync::Arc::new(cells));
        // Its turn may not have come yet, and must not come now.
        self.entries[at].is_started = true;
        self.feed(at, Event::Stop);
    }
}
