//! The refresh wing as the rest of the program sees it.

use super::cell::{Cell, Glimpse};
use super::fetch::{Fetch, OverHttp};
use super::history::History;
use super::scheduler::{Message, Scheduler, Setting};
use super::status::AccountStatus;
use crate::account::ConnectedAccount;
use crate::base::clock::Clock;
use crate::base::id::AccountKey;
use crate::config::checked::RefreshSettings;
use crate::store::Store;
use crate::telemetry::refreshes::RefreshMetrics;
use crate::token::{AskReceiver, Publisher};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};

/// Results on their way to the scheduler. Each account has at most one step
/// under way, so that this bounds people's requests more than anything.
const QUEUE: usize = 1_024;

/// An account for the wing to look after.
pub struct Setup {
    pub account: Arc<ConnectedAccount>,
    pub publisher: Publisher,
    /// It was created while a process ran, and is in no configuration.
    pub created: bool,
}

/// What the wing works with.
pub struct Parts {
    pub accounts: Vec<Setup>,
    pub asks: AskReceiver,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<RefreshMetrics>,
    pub settings: RefreshSettings,
}

/// How a manual refresh ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManualOutcome {
    Refreshed,
    /// In plain words.
    Failed(String),
    UnknownAccount,
}

/// Each account, in the order of the configuration, created ones last.
pub(super) type Statuses = Arc<ArcSwap<Vec<Arc<Cell>>>>;

/// The running wing; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) statuses: Statuses,
    pub(super) store: Arc<dyn Store>,
    history: Arc<History>,
    pub(super) people: Arc<Notify>,
    pub(super) changing: Arc<Mutex<()>>,
}

/// Starts the wing on the calling (cold) runtime; the first tokens are fetched at once.
#[must_use]
pub fn start(parts: Parts) -> Handle {
    let fetch = Arc::new(OverHttp::new(parts.settings.timeout));
    start_with(parts, fetch)
}

/// Starts the wing with a way to fetch tokens.
pub(super) fn start_with(parts: Parts, fetch: Arc<dyn Fetch>) -> Handle {
    let (inbox, messages) = mpsc::channel(QUEUE);
    let history = Arc::new(History::default());
    let setting = Setting {
        store: parts.store.clone(),
        clock: parts.clock,
        metrics: parts.metrics,
        settings: parts.settings,
        fetch,
        inbox: inbox.clone(),
        history: history.clone(),
    };
    let scheduler = Scheduler::new(parts.accounts, setting);
    let statuses = scheduler.statuses();
    tokio::spawn(scheduler.run(parts.asks, messages));
    Handle {
        inbox,
        statuses,
        store: parts.store,
        history,
        people: Arc::default(),
        changing: Arc::default(),
    }
}

/// The accounts at one moment.
pub struct Cells(Arc<Vec<Arc<Cell>>>);

impl Cells {
    /// Each account as it is when its turn comes.
    pub fn iter(&self) -> impl Iterator<Item = Glimpse<'_>> + Clone {
        self.0.iter().map(|cell| cell.glimpse())
    }
}

impl Handle {
    /// Every account, in the order of the configuration, created ones last.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountStatus> {
        let cells = self.statuses.load();
        cells.iter().map(|cell| cell.status()).collect()
    }

    /// Every account likewise, for a look that copies nothing.
    #[must_use]
    pub fn cells(&self) -> Cells {
        Cells(self.statuses.load_full())
    }

    /// True once every account's first attempt has ended.
    #[must_use]
    pub fn first_attempts_ended(&self) -> bool {
        self.cells()
            .iter()
            .all(|account| account.first_attempt_ended)
    }

    /// One account.
    #[must_use]
    pub fn account(&self, key: &AccountKey) -> Option<AccountStatus> {
        Some(self.cell(key)?.status())
    }

    pub(super) fn cell(&self, key: &AccountKey) -> Option<Arc<Cell>> {
        let cells = self.statuses.load();
        cells.iter().find(|cell| cell.account.key == *key).cloned()
    }

    /// What has happened over the last day.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Refreshes now, whatever the schedule says, and waits for the end of it.
    pub async fn refresh(&self, key: &AccountKey) -> ManualOutcome {
        let (reply, answer) = oneshot::channel();
        let message = Message::Manual {
            account: key.clone(),
            reply,
        };
        let stopped = || ManualOutcome::Failed("sidekey is stopping".to_owned());
        match self.inbox.send(message).await {
            Ok(()) => answer.await.unwrap_or_else(|_| stopped()),
            Err(_) => stopped(),
        }
    }

    /// Waits until an account was created or removed by a person.
    pub async fn people_changed(&self) {
        self.people.notified().await;
    }

    /// Waits until the wing ends, which before [`Handle::shutdown`] only a fault
    /// of ours can bring about.
    pub async fn ended(&self) {
        self.inbox.closed().await;
    }

    /// Starts no new refresh, waits for those in flight and for pending store
    /// writes, up to `limit`.
    pub async fn shutdown(&self, limit: Duration) {
        let (reply, ended) = oneshot::channel();
        if self.inbox.send(Message::Stop(reply)).await.is_ok() {
            let _ = tokio::time::timeout(limit, ended).await;
        }
    }
}
