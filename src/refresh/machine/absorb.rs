//! What a record that was read means for the machine, and the record as it is to
//! be written.

use super::{Held, Loaded, Machine, schedule};
use crate::base::clock::Now;
use crate::refresh::record::AccountRecord;

impl Machine {
    /// Takes in what a read has shown; true when it brought other tokens.
    pub(super) fn absorb(&mut self, now: Now, loaded: Option<Loaded>) -> bool {
        let changed = self.see(now, loaded.as_ref());
        let ours = loaded.filter(|l| l.record.binding == self.binding.text());
        let Some(Loaded { record, .. }) = ours else {
            return false;
        };
        self.store.pending.intent.clone_from(&record.intent);
        let adopted = self.adopt_tokens(now, changed, &record);
        if adopted || self.held.is_none() {
            self.seldom.trouble.unreadable = record.unreadable;
            self.adopt_standing(&record);
        }
        adopted
    }

    /// Notes the record's version and lease; true when it is not the one that
    /// was last seen or written here.
    pub(super) fn see(&mut self, now: Now, loaded: Option<&Loaded>) -> bool {
        let version = loaded.map(|l| l.version);
        let lease = loaded.and_then(|l| l.lease.clone());
        let is_ours = loaded.is_some_and(|l| l.record.binding == self.binding.text());
        self.store.saw(now, version, lease, is_ours, &self.rules)
    }

    fn adopt_tokens(&mut self, now: Now, changed: bool, record: &AccountRecord) -> bool {
        let Some(tokens) = &record.tokens else {
            self.adopt_disconnection(changed);
            return false;
        };
        let held = self.held.as_ref().map(|h| &h.tokens);
        let is_newer = held.is_none_or(|held| {
            let later = tokens.are_newer_than(held);
            held != tokens && changed && (later || self.store.pending.unsaved.is_none())
        });
        if !is_newer {
            return false;
        }
        if held.is_none_or(|held| held.access_token != tokens.access_token) {
            let generation = record.generation.max(self.generation + 1);
            self.replaced_by(generation);
            self.generation = generation;
        }
        let random = self.dice.f64();
        let before = self.rules.before_expiry;
        let times = schedule::of_record(now, tokens.issued_at, tokens.expires_at, before, random);
        self.held = Some(Held {
            tokens: tokens.clone(),
            times,
            generation: self.generation,
        });
        self.store.give_up_ours();
        true
    }

    /// The record as it is to be written now.
    pub(super) fn record(&self) -> AccountRecord {
        let held = self.seldom.fresh.as_deref().or(self.held.as_ref());
        AccountRecord {
            binding: self.binding.text(),
            generation: held.map_or(self.generation, |h| h.generation),
            tokens: held.map(|h| h.tokens.clone()),
            intent: self.store.pending.intent.clone(),
            dead: self.certain_death(),
            unreadable: self.seldom.trouble.unreadable,
            last_error: self
                .seldom
                .trouble
                .last_error
                .clone()
                .map(|e| (e.at, e.what)),
        }
    }
}
