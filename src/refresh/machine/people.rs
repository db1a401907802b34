//! What people do to an account besides refreshing it: they connect it, and
//! disconnect it. Both wait until nothing else is under way.

use super::standing::Standing;
use super::{Answer, Level, Machine, Phase, WaiterId};
use crate::base::clock::Now;
use crate::oauth::TokenAnswer;
use crate::refresh::record::StoredTokens;
use crate::refresh::wing::ManualOutcome;
use crate::telemetry::refreshes::Trigger;

/// Those who wait for the account to be disconnected.
#[derive(Debug, Default, PartialEq)]
pub struct Disconnecting {
    wanted: Vec<WaiterId>,
    /// Told as soon as the outcome is stored, with what was forgotten.
    storing: Vec<WaiterId>,
    forgotten: Option<Box<StoredTokens>>,
}

impl Disconnecting {
    /// True when somebody wants it and it has not begun.
    pub fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }
}

impl Machine {
    pub(super) fn connect(&mut self, now: Now, waiter: WaiterId, sent: Now, answer: TokenAnswer) {
        self.drop_connection("the account was connected once more meanwhile");
        self.seldom.connected = Some(Box::new((waiter, sent, answer)));
        self.interrupt();
        self.pass_time(now);
    }

    pub(super) fn disconnect(&mut self, now: Now, waiter: WaiterId) {
        self.drop_connection("the account was disconnected meanwhile");
        self.seldom.disconnecting.wanted.push(waiter);
        self.interrupt();
        self.pass_time(now);
    }

    /// A connection that has not been taken in yet will not be.
    fn drop_connection(&mut self, why: &str) {
        if let Some((waiter, ..)) = self.seldom.connected.take().map(|connected| *connected) {
            let failed = ManualOutcome::Failed(why.to_owned());
            self.tell(vec![waiter], Answer::Manual(failed));
        }
    }

    /// Leaves the queue, or the wait for another process.
    fn interrupt(&mut self) {
        if matches!(self.phase, Phase::Queued) || self.yielded {
            self.yielded = false;
            self.next = None;
            self.phase = Phase::Idle;
        }
    }

    /// The tokens of a person's new connection replace whatever was there.
    pub(super) fn take_connection(
        &mut self,
        now: Now,
        waiter: WaiterId,
        sent: Now,
        answer: TokenAnswer,
    ) {
        self.seldom
            .budgets
            .0
            .iter_mut()
            .for_each(super::Budget::reset);
        self.trigger = Trigger::Manual;
        self.store.force = true;
        self.seldom.waiters.manual.push(waiter);
        if let Some(held) = &mut self.held {
            // Another person may have signed in: nothing of the old grant is
            // to be mixed with the new one.
            held.tokens.refresh_token = None;
            held.tokens.scope = None;
        }
        self.take_answer(now, sent, answer, Some(now.wall));
    }

    /// Forgets the tokens, here and in the store.
    pub(super) fn take_disconnection(&mut self, now: Now) {
        let wanted = std::mem::take(&mut self.seldom.disconnecting.wanted);
        self.seldom.disconnecting.storing.extend(wanted);
        if let Some(held) = self.held.take() {
            self.seldom.disconnecting.forgotten = Some(Box::new(held.tokens));
            self.log(Level::Info, "was disconnected");
        }
        self.seldom.fresh = None;
        self.again = None;
        self.seldom.trouble.unreadable = 0;
        self.seldom.trouble.last_error = None;
        self.short_life = false;
        self.first_attempt_ended = true;
        self.store.pending.intent = None;
        self.store.force = true;
        self.store.dirty = true;
        self.cannot_refresh(now);
        self.publish(now);
        self.tell_failure(now, "the account was disconnected", None);
        self.write_outcome();
    }

    /// A write has ended: whoever waits for a disconnection is told.
    pub(super) fn tell_disconnected(&mut self, failure: Option<&str>) {
        let waiters = std::mem::take(&mut self.seldom.disconnecting.storing);
        if waiters.is_empty() {
            return;
        }
        let forgotten = self.seldom.disconnecting.forgotten.take();
        let answer = match failure {
            None => Ok(forgotten.map(|tokens| *tokens)),
            Some(why) => Err(why.to_owned()),
        };
        self.tell(waiters, Answer::Disconnected(answer));
    }

    /// Another process has disconnected the account.
    pub(super) fn adopt_disconnection(&mut self, changed: bool) {
        if changed
            && self.is_personal()
            && self.store.pending.unsaved.is_none()
            && self.held.take().is_some()
        {
            self.log(Level::Info, "was disconnected by another process");
            self.seldom.standing = Standing::Fine;
        }
    }
}
