//! Another process has written the record first: whose outcome stays.

use super::{Loaded, Machine};
use crate::base::clock::Now;
use crate::store::StoreError;

impl Machine {
    pub(super) fn read_after_conflict(
        &mut self,
        now: Now,
        result: Result<Option<Loaded>, StoreError>,
    ) {
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) => {
                self.not_stored(now, &error);
                return self.install_fresh(now);
            }
        };
        if !self.gives_way_to(loaded.as_ref()) {
            self.see(now, loaded.as_ref());
            return self.write_outcome();
        }
        self.seldom.fresh = None;
        self.store.force = false;
        self.store.give_up_ours();
        self.absorb(now, loaded);
        self.plan(now);
        self.publish(now);
        match self.held {
            Some(_) => self.tell_success(now, false),
            None => self.tell_failure(now, &self.why_not(), None),
        }
    }

    /// True when what another process has written stays, and not what this one
    /// was about to write. What a person did here yields only to a connection
    /// made later.
    fn gives_way_to(&self, theirs: Option<&Loaded>) -> bool {
        let ours = self.seldom.fresh.as_deref().or(self.held.as_ref());
        let theirs = theirs.map(|loaded| &loaded.record);
        match (ours, theirs.and_then(|record| record.tokens.as_ref())) {
            (Some(ours), Some(theirs)) => theirs.are_newer_than(&ours.tokens),
            _ if self.store.force => false,
            (None, theirs) => theirs.is_some(),
            // It was disconnected while a refresh was under way here.
            (Some(_), None) => {
                self.is_personal()
                    && theirs.is_some_and(|record| record.binding == self.binding.text())
            }
        }
    }
}
