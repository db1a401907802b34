//! Accounts as people change them: connected, disconnected, created, removed.

use super::{Event, ManualOutcome, Person, Reply, Scheduler, Setup};
use crate::base::id::AccountKey;
use crate::refresh::record;

impl Scheduler {
    pub(super) fn hear_person(&mut self, person: Person) {
        match person {
            Person::Connected {
                account,
                binding,
                sent,
                answer,
                reply,
            } => match self.started(&account) {
                Some(at) if record::binding(&self.entries[at].account) != binding => {
                    // A reload has come between.
                    let why = "the account is another client's meanwhile: connect it again";
                    drop(reply.send(ManualOutcome::Failed(why.to_owned())));
                }
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
        let Some(at) = self.put(setup) else {
            return;
        };
        let mut cells = self.statuses.load().to_vec();
        cells.push(self.entries[at].cell.clone());
        self.statuses.store(std::sync::Arc::new(cells));
        self.start(at);
    }

    fn remove(&mut self, key: &AccountKey) {
        if self.retire(key).is_none() {
            return;
        }
        let mut cells = self.statuses.load().to_vec();
        cells.retain(|cell| cell.account.key != *key);
        self.statuses.store(std::sync::Arc::new(cells));
    }
}
