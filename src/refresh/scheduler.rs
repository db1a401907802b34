//! The scheduler: one task that feeds every account's machine, does what the
//! machines ask for, and is the only writer of tokens.

mod asks;
mod people;
mod reload;
mod secrets;
mod shared_rules;
mod start;
mod waiting;

use super::entry::{Entry, Reply};
use super::fault::{self, Point};
use super::fetch::{self, Fetch, Stamp};
use super::history::{History, What};
use super::machine::{Action, Event, Level, Publication, Rank};
use super::record::{AccountRecord, StoredTokens};
use super::records::{self, Records};
use super::reload::Reload;
use super::slots::Slots;
use super::watch::Watch;
use super::wing::{ManualOutcome, Setup, Statuses};
use crate::base::clock::{Clock, Mono, Now};
use crate::base::id::AccountKey;
use crate::config::checked::RefreshSettings;
use crate::oauth::{Failure, FailureKind, Grant, TokenAnswer};
use crate::store::{Changes, Lease, Store, StoreError};
use crate::telemetry::refreshes::RefreshMetrics;
use crate::token::AskReceiver;
use arc_swap::ArcSwap;
use shared_rules::SharedRules;
use start::Starts;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use waiting::Waiting;

/// No timer sleeps longer: a stepped clock or a suspended machine is noticed
/// within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);

/// The clocks may part by so much before all accounts are looked at: far less
/// than the margin by which a token's life is shortened.
const CLOCKS_PART: Duration = Duration::from_millis(250);

/// What reaches the scheduler besides the workers' asks.
pub enum Message {
    /// A step that was begun for an account has ended.
    Ended(usize, Event),
    /// The store has told what was written to it.
    Changes(Result<Changes, StoreError>),
    /// A client secret's file was looked at.
    Looked(usize, Stamp),
    Manual {
        account: AccountKey,
        reply: oneshot::Sender<ManualOutcome>,
    },
    Person(Person),
    /// Ends when everything in it is done.
    Reload(Box<Reload>, oneshot::Sender<()>),
    /// Ends when nothing is under way any more.
    Stop(oneshot::Sender<()>),
}

/// What people do to accounts.
pub enum Person {
    /// An account was connected.
    Connected {
        account: AccountKey,
        /// As which client at which server the tokens were asked for.
        binding: String,
        sent: Now,
        answer: TokenAnswer,
        reply: oneshot::Sender<ManualOutcome>,
    },
    Disconnect {
        account: AccountKey,
        reply: oneshot::Sender<Result<Option<StoredTokens>, String>>,
    },
    /// The tokens that an account holds.
    Tokens {
        account: AccountKey,
        reply: oneshot::Sender<Option<StoredTokens>>,
    },
    /// An account was created.
    Add(Box<Setup>),
    /// A created account is to be looked after no more.
    Remove(AccountKey),
}

/// What the scheduler works with.
pub struct Setting {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<RefreshMetrics>,
    pub settings: RefreshSettings,
    pub fetch: Arc<dyn Fetch>,
    pub inbox: mpsc::Sender<Message>,
    pub history: Arc<History>,
}

/// The task's state.
pub struct Scheduler {
    setting: Setting,
    records: Records,
    entries: Vec<Entry>,
    index: HashMap<AccountKey, usize>,
    rules: SharedRules,
    waiting: Waiting,
    /// Places of entries that nobody asks for any more.
    retired: Vec<usize>,
    slots: Slots<Rank>,
    /// When which account is to be looked at; one entry an account at most.
    wakes: BTreeSet<(Mono, usize)>,
    /// When all accounts were looked at.
    all_looked_at: Now,
    /// When the files of those were looked at that wait for another secret.
    secrets_looked_at: Mono,
    awaiting_secret: BTreeSet<usize>,
    starts: Starts,
    watch: Watch,
    statuses: Statuses,
    stopping: Vec<oneshot::Sender<()>>,
}

impl Scheduler {
    /// The accounts, none of them looked at yet.
    pub fn new(accounts: Vec<Setup>, setting: Setting) -> Self {
        let mut rules = SharedRules::new(&setting.settings);
        let now = setting.clock.now();
        let mut slots = Slots::new(setting.settings.concurrency);
        let entry = |setup: Setup| {
            let rules = rules.of(&setup.account);
            Entry::new(setup, rules, &mut slots, now)
        };
        let entries: Vec<Entry> = accounts.into_iter().map(entry).collect();
        let cells: Vec<_> = entries.iter().map(|e| e.cell.clone()).collect();
        let keys = entries.iter().map(|e| e.account.key.clone());
        Self {
            index: keys.zip(0..).collect(),
            retired: Vec::new(),
            slots,
            wakes: BTreeSet::new(),
            all_looked_at: now,
            secrets_looked_at: now.mono,
            awaiting_secret: BTreeSet::new(),
            starts: Starts::default(),
            watch: Watch::starting(now.mono, setting.store.is_shared()),
            statuses: Arc::new(ArcSwap::from_pointee(cells)),
            rules,
            waiting: Waiting::default(),
            stopping: Vec::new(),
            records: Records::new(setting.store.clone(), setting.clock.clone()),
            setting,
            entries,
        }
    }

    /// Each account's status as others may read it.
    pub fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, mut asks: AskReceiver, mut messages: mpsc::Receiver<Message>) {
        self.start_more();
        let mut workers_live = true;
        while !self.has_stopped() {
            let sleep = tokio::time::sleep(self.pause());
            tokio::select! {
                ask = asks.recv(), if workers_live => match ask {
                    Some(ask) => self.hear(ask),
                    None => workers_live = false,
                },
                message = messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                () = sleep => {}
            }
            self.pass_time();
        }
    }

    /// How long to sleep when nothing happens.
    fn pause(&self) -> Duration {
        let now = self.setting.clock.now().mono;
        let first = self.wakes.first().map(|(at, _)| *at);
        let first = first.into_iter().chain(self.watch.next()).min();
        first.map_or(LONGEST_SLEEP, |at| at.since(now).min(LONGEST_SLEEP))
    }

    fn has_stopped(&mut self) -> bool {
        if self.stopping.is_empty() || !self.entries.iter().all(|e| e.machine.is_quiet()) {
            return false;
        }
        for ended in self.stopping.drain(..) {
            let _ = ended.send(());
        }
        true
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Ended(at, event) => {
                self.feed(at, event);
                self.start_after(at);
            }
            Message::Changes(told) => self.take_changes(told),
            Message::Looked(at, stamp) => self.looked(at, stamp),
            Message::Manual { account, reply } => match self.started(&account) {
                Some(at) => {
                    let waiter = self.waiting.add(Reply::Manual(reply));
                    self.feed(at, Event::Manual(waiter));
                }
                None => drop(reply.send(ManualOutcome::UnknownAccount)),
            },
            Message::Person(person) => self.hear_person(person),
            Message::Reload(reload, done) => {
                self.reload(*reload);
                // Whoever went away meanwhile hears nothing.
                let _ = done.send(());
            }
            Message::Stop(ended) => {
                self.records.hurry();
                self.stopping.push(ended);
                (0..self.entries.len()).for_each(|at| self.feed(at, Event::Stop));
            }
        }
    }

    /// Looks at the accounts whose time has come, and at all where the wall
    /// clock has moved by itself: other times may have come then.
    fn pass_time(&mut self) {
        let now = self.setting.clock.now();
        if have_parted(self.all_looked_at, now) {
            self.look_at_all(now);
        }
        if now.mono.since(self.secrets_looked_at) >= LONGEST_SLEEP {
            self.secrets_looked_at = now.mono;
            self.awaiting_secret
                .iter()
                .for_each(|at| self.look_at_secret(*at));
        }
        if let Some(mark) = self.watch.begin(now.mono) {
            self.ask_for_changes(mark);
        }
        while let Some(&(wake, at)) = self.wakes.first() {
            if wake > now.mono {
                break;
            }
            self.feed(at, Event::Tick);
            if self.wakes.first() == Some(&(wake, at)) {
                // A machine that wants to be woken in the past again would
                // starve the loop.
                self.wake_at(at, Some(now.mono.plus(Duration::from_millis(1))));
            }
        }
    }

    fn ask_for_changes(&self, mark: u64) {
        let work = self.records.changes(mark);
        let inbox = self.setting.inbox.clone();
        tokio::spawn(async move { inbox.send(Message::Changes(work.await)).await });
    }

    /// Accounts whose record is not the one that was last seen here look again.
    fn take_changes(&mut self, told: Result<Changes, StoreError>) {
        let now = self.setting.clock.now().mono;
        for (key, version) in self.watch.end(now, told) {
            let at = records::account(&key).and_then(|key| self.index.get(&key).copied());
            if let Some(at) = at
                && self.entries[at].is_started
                && self.entries[at].machine.seen_version() != Some(version)
            {
                self.feed(at, Event::Changed);
            }
        }
    }

    fn look_at_all(&mut self, now: Now) {
        self.all_looked_at = now;
        for at in 0..self.entries.len() {
            if self.entries[at].is_started {
                self.feed(at, Event::Tick);
            }
        }
    }

    /// Gives an event to an account's machine and does what it asks for.
    fn feed(&mut self, at: usize, event: Event) {
        let now = self.setting.clock.now();
        let actions = self.entries[at].machine.handle(now, event);
        if !actions.is_empty() {
            // Before the actions: whoever is told that a refresh has ended
            // looks at the state next.
            self.entries[at].show(now, &actions);
        }
        for action in actions {
            self.act(at, now, action);
        }
        let entry = &mut self.entries[at];
        if entry.has_slot && !entry.machine.holds_slot() {
            entry.has_slot = false;
            self.slots.release(entry.endpoint);
        }
        if entry.machine.awaits_secret() {
            self.awaiting_secret.insert(at);
        } else {
            self.awaiting_secret.remove(&at);
        }
        let rank = entry.machine.rank();
        let place = entry.place.as_deref().copied();
        let place = self.slots.place(entry.endpoint, at, place, rank);
        entry.place = place.map(Box::new);
        let wake = entry.machine.next_wake(now);
        let wake = wake.map(|moment| now.mono.plus(now.until(moment)));
        self.wake_at(at, wake);
        self.give_turn(at);
    }

    fn wake_at(&mut self, at: usize, wake: Option<Mono>) {
        let entry = &mut self.entries[at];
        if let Some(old) = entry.wake.take() {
            self.wakes.remove(&(old, at));
        }
        entry.wake = wake;
        if let Some(wake) = wake {
            self.wakes.insert((wake, at));
        }
    }

    /// Gives the next turn at this account's token endpoint.
    fn give_turn(&mut self, at: usize) {
        let next = self.slots.next(self.entries[at].endpoint);
        if let Some(next) = next {
            self.entries[next].has_slot = true;
            self.entries[next].place = None;
            self.feed(next, Event::Slot);
        }
    }

    fn act(&mut self, at: usize, now: Now, action: Action) {
        let entry = &mut self.entries[at];
        let key = &entry.account.key.clone();
        match action {
            // Every event's end sees to its place among those who wait.
            Action::Queue => {}
            Action::Read => self.read(at),
            Action::Write {
                expected,
                lease,
                record,
            } => self.write(at, expected, lease, *record),
            Action::Exchange(grant) => self.exchange(at, now, grant),
            Action::Publish(publication) => {
                let is_token = matches!(publication, Publication::Token { .. });
                if entry.publish(now, publication) {
                    self.setting.history.add(now.wall, key, What::Expired);
                }
                if is_token {
                    fault::pass(Point::AfterPublish);
                }
            }
            Action::Tell(waiters, answer) => self.waiting.tell(&waiters, &answer),
            Action::Count(trigger, outcome) => {
                self.setting.metrics.ended(key.as_str(), trigger, outcome);
                let what = What::Asked(trigger, outcome);
                self.setting.history.add(now.wall, key, what);
            }
            Action::CountWriteFailed => self.setting.metrics.store_write_failed(),
            Action::Log(Level::Info, text) => tracing::info!(account = %key, "{text}"),
            Action::Log(Level::Warn, text) => tracing::warn!(account = %key, "{text}"),
            Action::Log(Level::Error, text) => tracing::error!(account = %key, "{text}"),
        }
    }

    fn read(&self, at: usize) {
        let account = self.entries[at].account.clone();
        let work = self.records.read(account);
        self.when_done(at, async { Event::Read(work.await) });
    }

    fn write(&self, at: usize, expected: Option<u64>, lease: Lease, record: AccountRecord) {
        let key = records::key(&self.entries[at].account);
        let work = self.records.write(key, expected, lease, record);
        self.when_done(at, async { Event::Wrote(work.await) });
    }

    fn when_done(&self, at: usize, work: impl Future<Output = Event> + Send + 'static) {
        let inbox = self.setting.inbox.clone();
        tokio::spawn(async move { inbox.send(Message::Ended(at, work.await)).await });
    }

    /// Fetches a token in a task of its own: nobody who waits for it can end it.
    fn exchange(&mut self, at: usize, sent: Now, grant: Grant) {
        let entry = &self.entries[at];
        let account = entry.account.clone();
        let fetching = self.setting.fetch.fetch(account.clone(), grant, sent);
        let work = tokio::spawn(async move {
            let answer = fetching.await;
            fault::pass(Point::AnswerReceived);
            fetch::checked(&account, answer?)
        });
        let inbox = self.setting.inbox.clone();
        tokio::spawn(async move {
            let result = work.await.unwrap_or_else(|_| {
                Err(Failure {
                    maybe_spent: true,
                    ..Failure::new(FailureKind::Transient, "the token request was broken off")
                })
            });
            let event = Event::Answered { sent, result };
            let _ = inbox.send(Message::Ended(at, event)).await;
        });
        self.look_at_secret(at);
    }
}

/// True when the wall clock was stepped since `then`, or the machine suspended.
fn have_parted(then: Now, now: Now) -> bool {
    let by_mono = now.mono.since(then.mono);
    let by_wall = now.wall.since(then.wall);
    by_mono.abs_diff(by_wall) > CLOCKS_PART
}
