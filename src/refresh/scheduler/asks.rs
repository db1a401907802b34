//! What workers ask of accounts.

use super::{Event, Reply, Scheduler};
use crate::token::{Ask, PassOn, Verdict, Waited};
use tokio::sync::oneshot;

impl Scheduler {
    pub(super) fn hear(&mut self, ask: Ask) {
        let account = match &ask {
            Ask::Token { account, .. }
            | Ask::Rejected { account, .. }
            | Ask::ReplayEnded { account, .. } => account,
        };
        match self.started(account) {
            Some(at) => self.hear_of(at, ask),
            None => refuse(ask),
        }
    }

    fn hear_of(&mut self, at: usize, ask: Ask) {
        let event = match ask {
            Ask::Token { reply, .. } => return self.token_wanted(at, reply),
            Ask::Rejected {
                generation,
                status,
                reply,
                ..
            } => Event::Rejected {
                waiter: self.waiting.add(Reply::Verdict(reply)),
                generation,
                status,
            },
            Ask::ReplayEnded {
                generation,
                status,
                cured,
                ..
            } => Event::ReplayEnded {
                generation,
                status,
                cured,
            },
        };
        self.feed(at, event);
    }

    fn token_wanted(&mut self, at: usize, reply: oneshot::Sender<Waited>) {
        let entry = &mut self.entries[at];
        if entry.machine.token_waiters() >= self.setting.settings.token_waiters {
            self.waiting.forget_gone(&mut entry.machine);
        }
        let waiter = self.waiting.add(Reply::Token(reply));
        self.feed(at, Event::Token(waiter));
    }
}

/// An account that nobody looks after.
fn refuse(ask: Ask) {
    // Whoever went away meanwhile hears nothing.
    let _ = match ask {
        Ask::Token { reply, .. } => reply.send(Waited::Refused).is_ok(),
        Ask::Rejected { reply, .. } => reply.send(Verdict::PassOn(PassOn::Refused)).is_ok(),
        Ask::ReplayEnded { .. } => false,
    };
}
