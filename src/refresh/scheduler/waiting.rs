//! Everyone who waits for an answer, of all accounts.

use crate::refresh::entry::Reply;
use crate::refresh::machine::{Answer, Machine, WaiterId};
use std::cell::RefCell;
use std::collections::HashMap;

/// Those who wait, by the numbers under which machines know them.
#[derive(Default)]
pub(super) struct Waiting {
    replies: HashMap<WaiterId, Reply>,
    last: WaiterId,
}

impl Waiting {
    /// Somebody waits; gives the number.
    pub fn add(&mut self, reply: Reply) -> WaiterId {
        self.last += 1;
        self.replies.insert(self.last, reply);
        self.last
    }

    /// Answers these.
    pub fn tell(&mut self, waiters: &[WaiterId], answer: &Answer) {
        for waiter in waiters {
            if let Some(reply) = self.replies.remove(waiter) {
                reply.send(answer);
            }
        }
    }

    /// Forgets who waits at this account no more.
    pub fn forget_gone(&mut self, machine: &mut Machine) {
        let gone = RefCell::new(Vec::new());
        machine.forget(&|waiter| {
            let is_gone = self.replies.get(&waiter).is_none_or(Reply::is_closed);
            gone.borrow_mut().extend(is_gone.then_some(waiter));
            is_gone
        });
        for waiter in gone.into_inner() {
            self.replies.remove(&waiter);
        }
    }
}
