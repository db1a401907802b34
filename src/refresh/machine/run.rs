//! A run, step by step: from the wish for a token to its durable answer.

use super::asks::STOPPED;
use super::outcome::store_failure;
use super::{Action, Level, Loaded, Machine, store_view};
use crate::base::clock::Now;
use crate::base::secret::Secret;
use crate::oauth::{Failure, FailureKind, Grant, TokenAnswer};
use crate::refresh::record::Intent;
use crate::refresh::status::LastError;
use crate::store::StoreError;
use crate::telemetry::refreshes::Trigger;
use std::time::Duration;

/// Conflicts in a row that are taken for a store that can't be written.
const MOST_CONFLICTS: u32 = 5;

/// A client without a token waits so long for another process to fetch one.
const CLIENT_PATIENCE: Duration = Duration::from_secs(3);

/// How far a run has come.
#[derive(Debug)]
pub enum Phase {
    /// Nothing is under way.
    Idle,
    /// The record is read for the first time.
    Starting,
    /// Waiting for a turn at the token endpoint.
    Queued,
    /// Reading the record: another process may have been faster.
    Reading,
    /// Writing lease and intent.
    Leasing,
    /// The token request is under way.
    Exchanging,
    /// The grant is dead, or another process has rotated it: reading again.
    Rereading(Box<(Secret, Failure)>),
    /// Writing the outcome.
    Storing,
    /// Another write came between: reading again.
    Resolving,
    /// Another process wrote the record: reading what is new.
    Looking,
}

impl Machine {
    pub(super) fn start(&mut self) {
        self.phase = Phase::Starting;
        self.act(Action::Read);
    }

    pub(super) fn begin(&mut self, trigger: Trigger) {
        self.trigger = trigger;
        self.next = None;
        self.yielded = false;
        self.phase = Phase::Queued;
        self.act(Action::Queue);
    }

    pub(super) fn slot(&mut self) {
        if matches!(self.phase, Phase::Queued) {
            self.phase = Phase::Reading;
            self.act(Action::Read);
        }
    }

    /// True when whoever wants a token now gets it from what is under way.
    pub(super) fn is_joinable(&self) -> bool {
        match self.phase {
            Phase::Idle => self.yielded,
            Phase::Storing | Phase::Resolving => self.seldom.fresh.is_some(),
            // It may bring nothing: whoever wants a token asks for a run.
            Phase::Looking => false,
            _ => true,
        }
    }

    pub(super) fn read(&mut self, now: Now, result: Result<Option<Loaded>, StoreError>) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Starting => self.read_first(now, result),
            Phase::Reading => self.read_before(now, result),
            Phase::Rereading(asked) => {
                let (sent, failure) = *asked;
                self.read_after_death(now, result, &sent, failure)
            }
            Phase::Resolving => self.read_after_conflict(now, result),
            Phase::Looking => self.looked(now, result),
            // Not asked for: whatever is under way goes on.
            other => self.phase = other,
        }
    }

    fn read_first(&mut self, now: Now, result: Result<Option<Loaded>, StoreError>) {
        match result {
            Ok(loaded) => {
                self.absorb(now, loaded);
                self.plan(now);
                self.publish(now);
                if self.next.is_none_or(|(at, _)| !now.reached(at)) {
                    self.tell_success(now, false);
                }
            }
            Err(error) if self.is_personal() => self.fail(now, store_failure(&error)),
            // The run reads again, and goes on without a store if it must.
            Err(_) => self.next = Some((now.after(Duration::ZERO), Trigger::Initial)),
        }
    }

    fn read_before(&mut self, now: Now, result: Result<Option<Loaded>, StoreError>) {
        match result {
            Err(error) => self.without_store(now, &error),
            Ok(loaded) => {
                let adopted = self.absorb(now, loaded);
                self.proceed(now, adopted);
            }
        }
    }

    /// The record is known: is a token request needed, and allowed?
    fn proceed(&mut self, now: Now, adopted: bool) {
        if adopted && self.is_satisfied(now) {
            self.log(
                Level::Info,
                "took over the token that another process fetched",
            );
            self.plan(now);
            self.publish(now);
            self.tell_success(now, false);
        } else if self.stopping {
            self.tell_failure(now, STOPPED, None);
        } else if !self.can_refresh() || self.is_certainly_dead() {
            self.plan(now);
            self.publish(now);
            self.tell_failure(now, &self.why_not(), None);
        } else if self.store.is_leased_away(now, self.patience(now)) {
            self.give_way(now);
        } else if self.must_hold_off(now) {
            let expiry = self.held.as_ref().and_then(|h| h.times.expiry);
            self.next = expiry.map(|at| (at, Trigger::Scheduled));
        } else {
            self.take_lease(now);
        }
    }

    /// True when an adopted token is what was wanted.
    pub(super) fn is_satisfied(&self, now: Now) -> bool {
        let Some(held) = self
            .held
            .as_ref()
            .filter(|h| h.is_valid(now) && !h.is_due(now))
        else {
            return false;
        };
        let rejected = self.seldom.waiters.verdicts.iter();
        self.trigger != Trigger::Manual
            && rejected.map(|w| w.generation).all(|g| g < held.generation)
    }

    /// An earlier process sent the refresh token, and its answer is lost. The
    /// token is sent again where the server allows that, or when there is
    /// nothing to lose any more.
    fn must_hold_off(&self, now: Now) -> bool {
        let Some(intent) = self
            .store
            .pending
            .intent
            .as_ref()
            .filter(|_| self.is_personal())
        else {
            return false;
        };
        let is_own = self.store.is_own(intent.fencing);
        let in_grace = !intent.again && now.wall.since(intent.started_at) < self.rules.reuse_grace;
        let is_asked = matches!(self.trigger, Trigger::Rejected | Trigger::Manual)
            || !self.seldom.waiters.verdicts.is_empty()
            || !self.seldom.waiters.manual.is_empty();
        !is_own && !in_grace && !is_asked && self.has_valid(now)
    }

    /// How long another's lease is respected. A client without a token that
    /// two processes fetch is no harm; to be without one because a process
    /// has died would be.
    fn patience(&self, now: Now) -> Duration {
        if self.is_personal() || self.has_valid(now) {
            store_view::length(&self.rules)
        } else {
            CLIENT_PATIENCE
        }
    }

    /// Another process refreshes: read again in a moment what it got.
    fn give_way(&mut self, now: Now) {
        let pause = Duration::from_millis(250).mul_f64(1.0 + self.dice.f64());
        self.next = Some((now.after(pause), self.trigger));
        self.yielded = true;
        self.phase = Phase::Idle;
    }

    fn take_lease(&mut self, now: Now) {
        let lease = self.store.take_lease(now, &self.rules);
        let lost = self.store.pending.intent.as_ref();
        self.store.pending.lost_since = lost.map(|intent| intent.started_at);
        let mut record = self.record();
        record.intent = self.is_personal().then(|| Intent {
            started_at: self.store.pending.lost_since.unwrap_or(now.wall),
            fencing: lease.fencing,
            again: self.store.pending.lost_since.is_some(),
        });
        self.store.pending.leased_intent.clone_from(&record.intent);
        self.phase = Phase::Leasing;
        self.act(Action::Write {
            expected: self.store.version(),
            lease,
            record: Box::new(record),
        });
    }

    pub(super) fn wrote(&mut self, now: Now, result: Result<u64, StoreError>) {
        match self.phase {
            Phase::Leasing => self.leased(now, result),
            Phase::Storing => self.stored(now, result),
            _ => {}
        }
    }

    fn leased(&mut self, now: Now, result: Result<u64, StoreError>) {
        match result {
            Ok(version) => {
                self.store.written(version);
                self.exchange();
            }
            Err(StoreError::Conflict) => {
                self.store.lease_missed();
                self.give_way(now);
            }
            Err(error) => {
                self.act(Action::CountWriteFailed);
                self.without_store(now, &error);
            }
        }
    }

    /// Client credentials can be fetched without a store; a refresh token that
    /// is sent without a durable intent may be lost.
    fn without_store(&mut self, now: Now, error: &StoreError) {
        if self.is_personal() {
            self.phase = Phase::Idle;
            self.fail(now, store_failure(error));
        } else if self.stopping {
            self.phase = Phase::Idle;
            self.tell_failure(now, STOPPED, None);
        } else {
            let text = format!("{error}; the token is kept in memory only");
            self.log(Level::Warn, text);
            self.store.usable = false;
            self.exchange();
        }
    }

    fn exchange(&mut self) {
        let grant = match self.refresh_token() {
            Some(token) if self.is_personal() => Grant::RefreshToken(token.clone()),
            _ => Grant::ClientCredentials,
        };
        self.phase = Phase::Exchanging;
        self.act(Action::Exchange(grant));
    }

    pub(super) fn answered(&mut self, now: Now, sent: Now, result: Result<TokenAnswer, Failure>) {
        if !matches!(self.phase, Phase::Exchanging) {
            return;
        }
        match (result, self.refresh_token().cloned()) {
            (Ok(answer), _) => self.succeed(now, sent, answer),
            (Err(failure), Some(sent)) if failure.kind == FailureKind::Dead => {
                self.phase = Phase::Rereading(Box::new((sent, failure)));
                self.act(Action::Read);
            }
            (Err(failure), _) => {
                self.note_intent(failure.maybe_spent);
                self.fail(now, failure);
                self.write_outcome();
            }
        }
    }

    /// The intent stays where the server may have spent the refresh token.
    fn note_intent(&mut self, maybe_spent: bool) {
        let sent_under = self.store.pending.leased_intent.take();
        if maybe_spent {
            self.store.pending.intent = sent_under;
        }
    }

    fn read_after_death(
        &mut self,
        now: Now,
        result: Result<Option<Loaded>, StoreError>,
        sent: &Secret,
        failure: Failure,
    ) {
        if let Ok(loaded) = result {
            let adopted = self.absorb(now, loaded);
            if adopted && self.refresh_token() != Some(sent) {
                self.log(Level::Info, "another process has rotated the refresh token");
                self.proceed(now, true);
                return;
            }
        }
        self.store.pending.intent = None;
        self.fail(now, failure);
        self.write_outcome();
    }

    /// Makes the outcome durable and gives the lease back.
    pub(super) fn write_outcome(&mut self) {
        if !self.store.usable && !self.is_personal() {
            // What is tried again already goes on being tried.
            self.store.dirty = self.store.pending.unsaved.is_some();
            self.phase = Phase::Idle;
            self.tell_disconnected(Some("the store can't be used"));
            return;
        }
        self.phase = Phase::Storing;
        self.act(Action::Write {
            expected: self.store.version(),
            lease: self.store.released(&self.rules),
            record: Box::new(self.record()),
        });
    }

    fn stored(&mut self, now: Now, result: Result<u64, StoreError>) {
        match result {
            Ok(version) => {
                if self.store.pending.unsaved.is_some() {
                    self.log(Level::Info, "the token that was only in memory is stored");
                }
                self.store.written(version);
                self.tell_disconnected(None);
            }
            Err(StoreError::Conflict) if self.store.pending.conflicts < MOST_CONFLICTS => {
                self.store.pending.conflicts += 1;
                self.phase = Phase::Resolving;
                self.act(Action::Read);
                return;
            }
            Err(error) => self.not_stored(now, &error),
        }
        self.phase = Phase::Idle;
        self.install_fresh(now);
    }

    pub(super) fn not_stored(&mut self, now: Now, error: &StoreError) {
        self.store.pending.conflicts = 0;
        self.act(Action::CountWriteFailed);
        if !self.store.dirty {
            self.log(Level::Warn, format!("the outcome was not stored: {error}"));
            return;
        }
        let pause = self.store.pending.pauses.next(self.dice.f64());
        self.store.pending.save_at = Some(now.after(pause));
        self.tell_disconnected(Some(&error.to_string()));
        let level = if self.is_personal() {
            Level::Error
        } else {
            Level::Warn
        };
        let what = if self.held.is_none() && self.seldom.fresh.is_none() {
            "it was disconnected, and a restart now would bring its tokens back"
        } else {
            "the new token is only in memory, and a restart now would lose it"
        };
        let what = format!("{what}: {error}; writing it is tried again");
        self.log(level, what.clone());
        self.store.pending.unsaved = Some(LastError { at: now.wall, what });
    }

    /// Tries once more to write what is only in memory.
    pub(super) fn save(&mut self) {
        self.store.pending.save_at = None;
        // That shows whether it can be used again.
        self.store.usable = true;
        self.write_outcome();
    }
}
