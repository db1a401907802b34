//! Another process wrote the record: what is new in it is taken over at once,
//! not only when this process's own refresh comes due.

use super::{Action, Level, Loaded, Machine, Phase};
use crate::base::clock::Now;
use crate::store::StoreError;
use crate::telemetry::refreshes::Trigger;
use std::time::Duration;

impl Machine {
    /// The record's version as this process last saw or wrote it.
    pub fn seen_version(&self) -> Option<u64> {
        self.store.version()
    }

    /// Somebody wrote the record; a run that is under way is ended first.
    pub(super) fn look(&mut self, now: Now) {
        self.look_wanted = true;
        if self.yielded {
            // The run was waiting for just this.
            self.next = self
                .next
                .map(|(_, trigger)| (now.after(Duration::ZERO), trigger));
            self.look_wanted = false;
        }
    }

    /// Idle: reads the record if somebody wrote it.
    pub(super) fn begin_look(&mut self) {
        self.look_wanted = false;
        self.phase = Phase::Looking;
        self.act(Action::Read);
    }

    pub(super) fn looked(&mut self, now: Now, result: Result<Option<Loaded>, StoreError>) {
        // A store that can't be read now is told of by the run that needs it.
        let Ok(loaded) = result else {
            return;
        };
        if !self.absorb(now, loaded) {
            return;
        }
        self.log(Level::Info, "took over what another process stored");
        // Of whoever came meanwhile, not of the run before.
        self.trigger = self.again.unwrap_or(Trigger::Scheduled);
        let is_satisfied = self.is_satisfied(now);
        self.plan(now);
        self.publish(now);
        if is_satisfied {
            self.again = None;
            self.tell_success(now, false);
        }
    }
}
