//! What surrounds a machine: two clocks, a store, and a server whose answers
//! the test gives.

use crate::base::clock::{Mono, Now, Wall};
use crate::base::secret::Secret;
use crate::config::checked::GrantType;
use crate::oauth::{Failure, FailureKind, Grant, TokenAnswer};
use crate::refresh::machine::{
    Action, Answer, Event, Loaded, Machine, Publication, Rules, WaiterId,
};
use crate::refresh::record::{AccountRecord, Binding};
use crate::store::{Lease, StoreError};
use crate::telemetry::refreshes::{Outcome, Trigger};
use crate::token::{RejectedStatus, Unavailable};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub const HOUR: Duration = Duration::from_hours(1);

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn rules(grant_type: GrantType) -> Rules {
    Rules {
        grant_type,
        before_expiry: secs(1_800),
        reuse_grace: Duration::ZERO,
        token_wait: secs(5),
        token_waiters: 1_024,
        timeout: secs(30),
        owner: "me".into(),
    }
}

/// A machine of the client that these tests have.
pub fn machine(rules: Rules, seed: u64) -> Machine {
    Machine::new(Arc::new(rules), Arc::new("client"), seed)
}

/// One record, shared by the machines of several processes.
#[derive(Default)]
pub struct Shelf {
    pub stored: Option<(u64, Option<Lease>, AccountRecord)>,
    pub broken: Option<StoreError>,
    pub writes: usize,
}

pub struct World {
    pub now: Now,
    pub machine: Machine,
    pub shelf: Rc<RefCell<Shelf>>,
    /// The token request under way: when it was sent, and with what.
    pub flight: Option<(Now, Grant)>,
    pub published: Publication,
    pub answers: HashMap<WaiterId, Answer>,
    pub counts: Vec<(Trigger, Outcome)>,
    pub write_failures: usize,
    pub exchanges: usize,
    pub log: Vec<String>,
    /// Steps that the store has done and not told of yet, when it is slow.
    pub slow_store: Option<VecDeque<Event>>,
    waiter: WaiterId,
}

impl World {
    pub fn new(rules: Rules) -> Self {
        Self::on(rules, Rc::default(), start())
    }

    pub fn on(rules: Rules, shelf: Rc<RefCell<Shelf>>, now: Now) -> Self {
        Self {
            now,
            machine: machine(rules, 7),
            shelf,
            flight: None,
            published: Publication::Unavailable(Unavailable::Waiting),
            answers: HashMap::new(),
            counts: Vec::new(),
            write_failures: 0,
            exchanges: 0,
            log: Vec::new(),
            slow_store: None,
            waiter: 0,
        }
    }

    /// A client-credentials account that holds a token of this life.
    pub fn with_token(life: u64) -> Self {
        let mut world = Self::new(rules(GrantType::ClientCredentials));
        world.feed(Event::Start);
        world.answer("first", Some(life));
        assert!(world.is_valid());
        world
    }

    pub fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.machine.handle(self.now, event) {
                self.act(action, &mut events);
            }
        }
        self.check();
    }

    fn act(&mut self, action: Action, events: &mut VecDeque<Event>) {
        let done = match action {
            Action::Queue => return events.push_back(Event::Slot),
            Action::Read => Event::Read(self.read()),
            Action::Write {
                expected,
                lease,
                record,
            } => Event::Wrote(self.write(expected, lease, *record)),
            Action::Exchange(grant) => {
                assert!(self.flight.is_none(), "more than one request in flight");
                self.exchanges += 1;
                self.flight = Some((self.now, grant));
                return;
            }
            other => return self.note(other),
        };
        match &mut self.slow_store {
            Some(slow) => slow.push_back(done),
            None => events.push_back(done),
        }
    }

    fn note(&mut self, action: Action) {
        match action {
            Action::Publish(publication) => self.published = publication,
            Action::Tell(waiters, answer) => {
                for waiter in waiters {
                    let earlier = self.answers.insert(waiter, answer.clone());
                    assert_eq!(earlier, None, "answered twice");
                }
            }
            Action::Count(trigger, outcome) => self.counts.push((trigger, outcome)),
            Action::CountWriteFailed => self.write_failures += 1,
            Action::Log(_, text) => self.log.push(text),
            _ => unreachable!("done by the world"),
        }
    }

    fn read(&self) -> Result<Option<Loaded>, StoreError> {
        let shelf = self.shelf.borrow();
        if let Some(error) = &shelf.broken {
            return Err(error.clone());
        }
        let loaded = shelf.stored.clone().map(|(version, lease, record)| Loaded {
            version,
            lease,
            record,
        });
        Ok(loaded)
    }

    fn write(
        &self,
        expected: Option<u64>,
        lease: Lease,
        record: AccountRecord,
    ) -> Result<u64, StoreError> {
        let mut shelf = self.shelf.borrow_mut();
        if let Some(error) = &shelf.broken {
            return Err(error.clone());
        }
        if shelf.stored.as_ref().map(|(version, ..)| *version) != expected {
            return Err(StoreError::Conflict);
        }
        let version = expected.unwrap_or(0) + 1;
        shelf.stored = Some((version, Some(lease), record));
        shelf.writes += 1;
        Ok(version)
    }

    /// What holds after every event.
    fn check(&self) {
        if let Publication::Token { expiry, .. } = &self.published {
            let expired = expiry.is_some_and(|expiry| self.now.reached(expiry));
            assert!(!expired, "an expired token is shown as valid");
        }
    }

    /// A slow store tells of the first step that it has done.
    pub fn deliver(&mut self) {
        let done = self.slow_store.as_mut().and_then(VecDeque::pop_front);
        if let Some(event) = done {
            self.feed(event);
        }
    }

    /// True while the server or the store owes the machine an event.
    pub fn is_busy(&self) -> bool {
        self.flight.is_some() || self.slow_store.as_ref().is_some_and(|s| !s.is_empty())
    }

    /// The server gives a token; also the refresh token where one was sent.
    pub fn answer(&mut self, token: &str, life: Option<u64>) {
        self.answer_with(token, life, None);
    }

    pub fn answer_with(&mut self, token: &str, life: Option<u64>, refresh: Option<&str>) {
        self.end(Ok(token_answer(token, life, refresh)));
    }

    pub fn fail(&mut self, kind: FailureKind) {
        self.end(Err(Failure::new(kind, format!("{kind:?} it is"))));
    }

    pub fn end(&mut self, result: Result<TokenAnswer, Failure>) {
        let (sent, _) = self.flight.take().expect("no request is in flight");
        self.feed(Event::Answered { sent, result });
    }

    /// Lets time pass on both clocks, waking the machine when it asks for it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.mono.plus(time);
        loop {
            let left = end.since(self.now.mono);
            let next = self.machine.next_wake(self.now).map(|m| self.now.until(m));
            // A machine that asks to be woken at once is woken a little later,
            // as the scheduler does.
            let step = next.map_or(left, |n| n.max(Duration::from_millis(1)).min(left));
            self.now = self.now_after(step);
            self.feed(Event::Tick);
            if self.now.mono >= end {
                return;
            }
        }
    }

    pub fn now_after(&self, step: Duration) -> Now {
        let moment = self.now.after(step);
        Now {
            mono: moment.mono,
            wall: moment.wall,
        }
    }

    /// Moves the wall clock alone.
    pub fn step_wall(&mut self, seconds: i64) {
        let by = secs(seconds.unsigned_abs());
        self.now.wall = if seconds < 0 {
            Wall::new(self.now.wall.passed().saturating_sub(by))
        } else {
            self.now.wall.plus(by)
        };
        self.feed(Event::Tick);
    }

    /// Lets time pass until a token request is under way.
    pub fn pass_until_request(&mut self, longest: Duration) -> Duration {
        let from = self.now.mono;
        while self.flight.is_none() {
            let passed = self.now.mono.since(from);
            assert!(passed <= longest, "no request after {passed:?}");
            let next = self.machine.next_wake(self.now).expect("never wakes");
            self.pass(self.now.until(next).max(Duration::from_millis(1)));
        }
        self.now.mono.since(from)
    }

    pub fn token(&mut self) -> WaiterId {
        self.waiter += 1;
        self.feed(Event::Token(self.waiter));
        self.waiter
    }

    pub fn manual(&mut self) -> WaiterId {
        self.waiter += 1;
        self.feed(Event::Manual(self.waiter));
        self.waiter
    }

    /// A person has connected the account just now.
    pub fn connected(&mut self, answer: TokenAnswer) -> WaiterId {
        self.waiter += 1;
        let (waiter, sent) = (self.waiter, self.now);
        self.feed(Event::Connected {
            waiter,
            sent,
            answer,
        });
        self.waiter
    }

    pub fn disconnect(&mut self) -> WaiterId {
        self.waiter += 1;
        self.feed(Event::Disconnect(self.waiter));
        self.waiter
    }

    pub fn rejected(&mut self, generation: u64, status: RejectedStatus) -> WaiterId {
        self.waiter += 1;
        self.feed(Event::Rejected {
            waiter: self.waiter,
            generation,
            status,
        });
        self.waiter
    }

    pub fn replayed(&mut self, generation: u64, status: RejectedStatus, cured: bool) {
        self.feed(Event::ReplayEnded {
            generation,
            status,
            cured,
        });
    }

    pub fn is_valid(&self) -> bool {
        matches!(self.published, Publication::Token { .. })
    }

    pub fn generation(&self) -> u64 {
        match self.published {
            Publication::Token { generation, .. } => generation,
            Publication::Unavailable(_) => panic!("no token: {:?}", self.published),
        }
    }

    pub fn last_count(&self) -> Option<(Trigger, Outcome)> {
        self.counts.last().copied()
    }

    pub fn waiters(&self) -> WaiterId {
        self.waiter
    }
}

pub fn start() -> Now {
    Now {
        mono: Mono::new(secs(100)),
        wall: Wall::new(secs(1_700_000_000)),
    }
}

pub fn token_answer(token: &str, life: Option<u64>, refresh: Option<&str>) -> TokenAnswer {
    TokenAnswer {
        access_token: Secret::new(token.to_owned()),
        token_type: Some("Bearer".to_owned()),
        life: life.map(secs),
        refresh_token: refresh.map(|r| Secret::new(r.to_owned())),
        scope: None,
    }
}

impl Binding for &'static str {
    fn text(&self) -> String {
        (*self).to_owned()
    }
}
