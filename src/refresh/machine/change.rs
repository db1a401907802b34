//! The account is described otherwise than before, by a configuration that was
//! read anew: its tokens stay, for they are still the same client's.

use super::{Machine, Phase, Publication, Rules, Standing, schedule};
use crate::base::clock::Now;
use crate::refresh::record::Binding;
use crate::telemetry::refreshes::Trigger;
use std::sync::Arc;

impl Machine {
    /// Another description of the same client.
    pub fn bind(&mut self, binding: Arc<dyn Binding>) {
        self.binding = binding;
    }

    /// From now on by these rules. `renew`: a token is asked for otherwise, so
    /// that a new one is wanted; the present one serves until it has come.
    pub(super) fn describe(&mut self, now: Now, rules: Arc<Rules>, renew: bool) {
        let moved = rules.before_expiry != self.rules.before_expiry;
        self.rules = rules;
        if moved {
            self.reschedule(now);
        }
        if renew && !self.stopping && self.can_refresh() && !self.is_certainly_dead() {
            self.renew();
        }
    }

    fn renew(&mut self) {
        match self.phase {
            // What they are about to ask for is asked for in the new way.
            Phase::Queued | Phase::Reading | Phase::Leasing => {}
            Phase::Idle => self.begin(Trigger::Scheduled),
            _ => self.again = Some(Trigger::Scheduled),
        }
    }

    fn reschedule(&mut self, now: Now) {
        let (before, random) = (self.rules.before_expiry, self.dice.f64());
        let Some(held) = &mut self.held else {
            return;
        };
        let (issued, expires) = (held.tokens.issued_at, held.tokens.expires_at);
        held.times.due = schedule::of_record(now, issued, expires, before, random).due;
        // A failed attempt's next one comes at its own time.
        let is_planned = matches!(self.seldom.standing, Standing::Fine)
            && matches!(self.next, Some((_, Trigger::Scheduled)));
        if is_planned && held.is_valid(now) && matches!(self.phase, Phase::Idle) && !self.yielded {
            self.next = held.times.due.map(|due| (due, Trigger::Scheduled));
        }
    }

    /// What workers see.
    pub fn published(&self) -> Option<&Publication> {
        self.published.as_ref()
    }

    /// Counts on from another machine's tokens: a rejection of one of those is
    /// none of this machine's.
    pub fn count_from(&mut self, generation: u64) {
        self.generation = self.generation.max(generation);
    }
}
