//! One account's refresh as a state machine: events and the time go in, actions
//! come out; it reads no clock, opens no file and sends nothing.
//!
//! A run goes `Queued` → `Reading` → `Leasing` → `Exchanging` → `Storing` →
//! `Idle`. It waits its turn at the token endpoint, reads the record (another
//! process may have been faster), takes the lease and writes its intent in one
//! write, asks for a token, and makes the answer durable. Whoever wants a token
//! meanwhile joins it.

mod absorb;
mod asks;
mod budget;
mod change;
mod conflict;
mod look;
mod outcome;
mod people;
mod rare;
mod run;
mod schedule;
mod standing;
mod store_view;
mod trouble;
mod waiters;

#[cfg(test)]
mod tests;

use super::record::{AccountRecord, Binding, StoredTokens};
use super::status::{AccountState, LastError};
use super::wing::ManualOutcome;
use crate::base::clock::{Moment, Now, Wall};
use crate::config::checked::GrantType;
use crate::oauth::{Failure, Grant, TokenAnswer};
use crate::store::{Lease, StoreError};
use crate::telemetry::refreshes::{Outcome, Trigger};
use crate::token::{RejectedStatus, Unavailable, Verdict, Waited};
use budget::Budget;
use people::Disconnecting;
use rare::{Rare, usually_default};
use run::Phase;
use schedule::Times;
use standing::Standing;
use std::sync::Arc;
use std::time::Duration;
use store_view::StoreView;
use trouble::Trouble;
use waiters::Waiters;

/// Names somebody who waits; the wing knows how to reach them.
pub type WaiterId = u64;

/// What is the same for all accounts of an integration.
#[derive(Clone, Debug)]
pub struct Rules {
    pub grant_type: GrantType,
    pub before_expiry: Duration,
    /// For how long the server takes a refresh token again after its first use.
    pub reuse_grace: Duration,
    pub token_wait: Duration,
    pub token_waiters: usize,
    /// For one token request.
    pub timeout: Duration,
    /// This process, as leases name it.
    pub owner: Arc<str>,
}

/// Who goes first at a token endpoint, the smallest: somebody waits before
/// nobody does, then the oldest expiry.
pub type Rank = (bool, Wall);

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// The account is new here: read what is stored of it.
    Start,
    /// Time has passed.
    Tick,
    /// It is this account's turn at the token endpoint.
    Slot,
    /// The record was read.
    Read(Result<Option<Loaded>, StoreError>),
    /// The record was written, or not.
    Wrote(Result<u64, StoreError>),
    /// The token request has ended; `sent` is when it began.
    Answered {
        sent: Now,
        result: Result<TokenAnswer, Failure>,
    },
    /// A request waits for a token.
    Token(WaiterId),
    /// An upstream rejected a token.
    Rejected {
        waiter: WaiterId,
        generation: u64,
        status: RejectedStatus,
    },
    /// A replay has ended.
    ReplayEnded {
        generation: u64,
        status: RejectedStatus,
        cured: bool,
    },
    /// A person wants a refresh now.
    Manual(WaiterId),
    /// The client secret's file has changed.
    SecretChanged,
    /// A person connected the account.
    Connected {
        waiter: WaiterId,
        sent: Now,
        answer: TokenAnswer,
    },
    /// A person wants the account's tokens forgotten.
    Disconnect(WaiterId),
    /// Somebody wrote the record.
    Changed,
    /// The configuration describes the account otherwise.
    Described {
        rules: Arc<Rules>,
        /// Its tokens are asked for otherwise.
        renew: bool,
    },
    /// The process ends: start nothing new.
    Stop,
}

/// A record as it was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub version: u64,
    pub lease: Option<Lease>,
    pub record: AccountRecord,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Wait for a turn at the token endpoint ([`Machine::rank`]), then say [`Event::Slot`].
    Queue,
    /// Read the record, then say [`Event::Read`].
    Read,
    /// Write the record, then say [`Event::Wrote`].
    Write {
        expected: Option<u64>,
        lease: Lease,
        record: Box<AccountRecord>,
    },
    /// Send a token request, then say [`Event::Answered`].
    Exchange(Grant),
    /// Show this to every worker.
    Publish(Publication),
    /// Answer those who wait.
    Tell(Vec<WaiterId>, Answer),
    /// Count a token request.
    Count(Trigger, Outcome),
    /// Count a failed store write.
    CountWriteFailed,
    /// Tell people; holds no secret.
    Log(Level, String),
}

/// What workers are to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// The token of [`Machine::tokens`].
    Token {
        generation: u64,
        expiry: Option<Moment>,
    },
    Unavailable(Unavailable),
}

/// The answer to somebody who waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Token(Waited),
    Verdict(Verdict),
    Manual(ManualOutcome),
    /// The tokens that were forgotten, durably, or why that could not be stored.
    Disconnected(Result<Option<StoredTokens>, String>),
}

/// How loudly something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}

/// The tokens that are held, with their times.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    tokens: StoredTokens,
    times: Times,
    generation: u64,
}

/// What is to be done about the present event.
#[derive(Default)]
struct Out(Vec<Action>);

/// Of each status that rejects.
#[derive(Debug, Default, PartialEq)]
struct Budgets([Budget; 2]);

/// What few accounts have, or for a moment only: in one box, there while something is
/// in it.
#[derive(Debug, Default, PartialEq)]
struct Seldom {
    /// A refreshed grant whose answer is not durable yet.
    fresh: Option<Box<Held>>,
    connected: Option<Box<(WaiterId, Now, TokenAnswer)>>,
    standing: Standing,
    disconnecting: Disconnecting,
    trouble: Trouble,
    budgets: Budgets,
    waiters: Waiters,
}

usually_default!(Seldom, store_view::Pending);

/// One account's state. There may be very many: what is there only while
/// something happens is boxed.
pub struct Machine {
    rules: Arc<Rules>,
    /// Which client at which server stored tokens must belong to.
    binding: Arc<dyn Binding>,
    dice: fastrand::Rng,
    held: Option<Held>,
    generation: u64,
    /// An upstream has rejected the tokens of generations below this one.
    void_before: u64,
    phase: Phase,
    trigger: Trigger,
    /// The next attempt, and what it will be called.
    next: Option<(Moment, Trigger)>,
    /// Another process holds the lease: its result is waited for.
    yielded: bool,
    /// Begin anew as soon as the present run has ended.
    again: Option<Trigger>,
    /// The record was written by somebody, and is to be read when nothing else
    /// is under way.
    look_wanted: bool,
    seldom: Rare<Seldom>,
    store: StoreView,
    published: Option<Publication>,
    first_attempt_ended: bool,
    short_life: bool,
    stopping: bool,
    out: Option<Box<Out>>,
}

impl Machine {
    /// An account of which nothing is known yet. `seed` is for jitter.
    pub fn new(rules: Arc<Rules>, binding: Arc<dyn Binding>, seed: u64) -> Self {
        Self {
            rules,
            binding,
            dice: fastrand::Rng::with_seed(seed),
            held: None,
            generation: 0,
            void_before: 0,
            phase: Phase::Idle,
            trigger: Trigger::Initial,
            next: None,
            yielded: false,
            again: None,
            look_wanted: false,
            seldom: Rare::default(),
            store: StoreView::default(),
            published: None,
            first_attempt_ended: false,
            short_life: false,
            stopping: false,
            out: None,
        }
    }

    /// Takes an event in and gives what is to be done, in order.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        match event {
            Event::Start => self.start(),
            Event::Tick => {}
            Event::Slot => self.slot(),
            Event::Read(result) => self.read(now, result),
            Event::Wrote(result) => self.wrote(now, result),
            Event::Answered { sent, result } => self.answered(now, sent, result),
            Event::Token(waiter) => self.token_wanted(now, waiter),
            Event::Rejected {
                waiter,
                generation,
                status,
            } => self.rejected(now, waiter, generation, status),
            Event::ReplayEnded {
                generation,
                status,
                cured,
            } => self.replay_ended(now, generation, status, cured),
            Event::Manual(waiter) => self.manual(now, waiter),
            Event::SecretChanged => self.secret_changed(),
            Event::Connected {
                waiter,
                sent,
                answer,
            } => self.connect(now, waiter, sent, answer),
            Event::Disconnect(waiter) => self.disconnect(now, waiter),
            Event::Changed => self.look(now),
            Event::Described { rules, renew } => self.describe(now, rules, renew),
            Event::Stop => self.stop(now),
        }
        self.pass_time(now);
        self.tidy();
        self.out.take().map_or_else(Vec::new, |out| out.0)
    }

    fn tidy(&mut self) {
        self.seldom.tidy();
        self.store.tidy();
    }

    /// When time alone will change something; `None`: not before an event does.
    pub fn next_wake(&self, now: Now) -> Option<Moment> {
        let expiry = match &self.published {
            Some(Publication::Token { expiry, .. }) => *expiry,
            _ => None,
        };
        let idle = matches!(self.phase, Phase::Idle);
        let attempt = self
            .next
            .map(|(at, _)| at)
            .filter(|_| idle && !self.stopping);
        let save = self.store.pending.save_at.filter(|_| idle);
        // One thing is begun at a time, and may have been nothing.
        let left_over = (idle && self.is_wanted()).then(|| now.after(Duration::ZERO));
        let waiting = self.seldom.waiters.first_deadline(now);
        [expiry, attempt, save, waiting, left_over]
            .into_iter()
            .flatten()
            .min_by_key(|moment| now.until(*moment))
    }

    fn is_wanted(&self) -> bool {
        self.seldom.disconnecting.is_wanted()
            || self.seldom.connected.is_some()
            || (!self.stopping && (self.again.is_some() || self.look_wanted))
    }

    /// True while the record is read for the first time.
    pub fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting)
    }

    /// True while the run occupies a place at the token endpoint.
    pub fn holds_slot(&self) -> bool {
        matches!(
            self.phase,
            Phase::Reading | Phase::Leasing | Phase::Exchanging
        )
    }

    /// While the run waits for its turn at the token endpoint: how pressing it is.
    pub fn rank(&self) -> Option<Rank> {
        matches!(self.phase, Phase::Queued).then(|| self.priority())
    }

    fn priority(&self) -> Rank {
        let nobody_waits = self.seldom.waiters.verdicts.is_empty()
            && self.seldom.waiters.tokens.is_empty()
            && self.seldom.waiters.manual.is_empty();
        let expiry = self.held.as_ref().map(|h| h.tokens.expires_at);
        (nobody_waits, expiry.flatten().unwrap_or_default())
    }

    /// True when a shutdown has nothing to wait for.
    pub fn is_quiet(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.store.pending.unsaved.is_none()
    }

    /// How many requests wait for a token.
    pub fn token_waiters(&self) -> usize {
        self.seldom.waiters.tokens.len()
    }

    /// Forgets those who have gone away.
    pub fn forget(&mut self, gone: &dyn Fn(WaiterId) -> bool) {
        self.seldom.waiters.forget(gone);
        self.seldom.tidy();
    }

    /// True when a change of the client secret's file is worth knowing.
    pub fn awaits_secret(&self) -> bool {
        matches!(self.seldom.standing, Standing::Misconfigured { .. })
    }

    /// The account's state in one word.
    pub fn state(&self, now: Now) -> AccountState {
        match self.seldom.standing {
            Standing::Misconfigured { .. } => AccountState::Misconfigured,
            Standing::Dead { .. } => AccountState::ReconnectRequired,
            Standing::NotConnected => AccountState::NotConnected,
            Standing::Fine | Standing::Pausing { .. } if self.has_valid(now) => {
                AccountState::Connected
            }
            Standing::Fine | Standing::Pausing { .. } => AccountState::Waiting,
        }
    }

    /// The tokens that are held, be they good or not.
    pub fn tokens(&self) -> Option<&StoredTokens> {
        self.held.as_ref().map(|h| &h.tokens)
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// An upstream has rejected the tokens of generations below this one.
    pub fn void_before(&self) -> u64 {
        self.void_before
    }

    /// Why the last attempt failed, else why its tokens are only in memory.
    pub fn last_error(&self) -> Option<&LastError> {
        self.seldom
            .trouble
            .last_error
            .as_ref()
            .or(self.store.pending.unsaved.as_ref())
    }

    /// When the next token request is due, unless one is under way.
    pub fn next_attempt(&self) -> Option<Moment> {
        let asks =
            !matches!(self.seldom.standing, Standing::NotConnected) && !self.is_certainly_dead();
        self.next.map(|(at, _)| at).filter(|_| asks)
    }

    pub fn first_attempt_ended(&self) -> bool {
        self.first_attempt_ended
    }

    pub fn has_short_life(&self) -> bool {
        self.short_life
    }

    fn has_valid(&self, now: Now) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_valid(now))
    }

    fn is_personal(&self) -> bool {
        self.rules.grant_type == GrantType::AuthorizationCode
    }

    fn can_refresh(&self) -> bool {
        !self.is_personal() || self.refresh_token().is_some()
    }

    fn refresh_token(&self) -> Option<&crate::base::secret::Secret> {
        self.held.as_ref()?.tokens.refresh_token.as_ref()
    }

    fn budget(&mut self, status: RejectedStatus) -> &mut Budget {
        match status {
            RejectedStatus::Unauthorized => &mut self.seldom.budgets.0[0],
            RejectedStatus::Forbidden => &mut self.seldom.budgets.0[1],
        }
    }

    fn tell(&mut self, waiters: Vec<WaiterId>, answer: Answer) {
        if !waiters.is_empty() {
            self.act(Action::Tell(waiters, answer));
        }
    }

    fn act(&mut self, action: Action) {
        self.out.get_or_insert_default().0.push(action);
    }

    fn log(&mut self, level: Level, text: impl Into<String>) {
        self.act(Action::Log(level, text.into()));
    }

    /// Shows workers the present state, if it is not what they see already.
    fn publish(&mut self, now: Now) {
        let publication = match &self.held {
            Some(held) if held.is_valid(now) => Publication::Token {
                generation: held.generation,
                expiry: held.times.expiry,
            },
            _ => Publication::Unavailable(self.seldom.standing.unavailable()),
        };
        if self.published.as_ref() != Some(&publication) {
            self.published = Some(publication.clone());
            self.act(Action::Publish(publication));
        }
    }
}

impl Held {
    fn is_valid(&self, now: Now) -> bool {
        self.times.expiry.is_none_or(|expiry| !now.reached(expiry))
    }

    fn is_due(&self, now: Now) -> bool {
        self.times.due.is_some_and(|due| now.reached(due))
    }
}
