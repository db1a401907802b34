//! Keeps the keys of trusted issuers up to date: every few minutes, and soon after
//! a token has named a key that is not there. Keys that were had stay in use while
//! the issuer can't be reached.

use crate::base::backoff::Backoff;
use crate::base::issuer::{KeysFrom, TrustedIssuer};
use crate::oauth::jwks;
use crate::telemetry::issuers::KeyFetches;
use crate::token::{Issuers, KeyRing};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// From one fetch that succeeded to the next.
const PERIOD: Duration = Duration::from_secs(300);
/// Because of unknown keys, which anybody can name, not more often than that.
const AT_MOST_EVERY: Duration = Duration::from_secs(30);
/// After failures: at first, and at the most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long the first fetches may hold up whoever needs them.
const FIRST: Duration = Duration::from_secs(2);

/// What fetches the keys of the issuers that are trusted now.
pub struct Fetchers {
    shared: Issuers,
    timeout: Duration,
    running: Mutex<HashMap<Arc<TrustedIssuer>, Running>>,
}

struct Running {
    task: JoinHandle<()>,
    counts: Arc<Counts>,
    /// True once the first fetch has ended.
    tried: watch::Receiver<bool>,
}

#[derive(Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    keys: AtomicU64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fetchers {
    /// `timeout` is for one request.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self {
            shared: Issuers::default(),
            timeout,
            running: Mutex::default(),
        }
    }

    /// Where the keys are read.
    #[must_use]
    pub fn shared(&self) -> Issuers {
        self.shared.clone()
    }

    /// Trusts these issuers too; waits a little for the keys of new ones.
    pub async fn trust(&self, wanted: &[Arc<TrustedIssuer>]) {
        let tried: Vec<_> = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let all: HashSet<_> = running.keys().chain(wanted).cloned().collect();
            self.shared.trust(&all);
            for issuer in wanted {
                if let Some(ring) = self.shared.of(issuer) {
                    let start = || self.start(issuer.clone(), ring);
                    running.entry(issuer.clone()).or_insert_with(start);
                }
            }
            running.values().map(|one| one.tried.clone()).collect()
        };
        let all = async {
            for mut one in tried {
                let _ = one.wait_for(|tried| *tried).await;
            }
        };
        let _ = timeout(FIRST, all).await;
    }

    /// Trusts no others any more: nothing refers to them now.
    pub fn only(&self, wanted: &[Arc<TrustedIssuer>]) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let before = running.len();
        running.retain(|issuer, _| wanted.contains(issuer));
        if running.len() != before {
            self.shared.trust(&running.keys().cloned().collect());
        }
    }

    /// For `/metrics`, by the names of the issuers.
    #[must_use]
    pub fn counts(&self) -> Vec<KeyFetches> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: HashMap<&str, KeyFetches> = HashMap::new();
        for (issuer, one) in running.iter() {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let sum = all.entry(&issuer.name).or_insert_with(|| KeyFetches {
                issuer: issuer.name.clone(),
                succeeded: 0,
                failed: 0,
                keys: 0,
            });
            sum.succeeded += of(&one.counts.succeeded);
            sum.failed += of(&one.counts.failed);
            sum.keys += of(&one.counts.keys);
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by(|a, b| a.issuer.cmp(&b.issuer));
        all
    }

    fn start(&self, issuer: Arc<TrustedIssuer>, ring: Arc<KeyRing>) -> Running {
        let counts = Arc::<Counts>::default();
        let (done, tried) = watch::channel(false);
        let fetcher = Fetcher {
            issuer,
            ring,
            shared: self.shared.clone(),
            timeout: self.timeout,
            counts: counts.clone(),
            in_trouble: false,
        };
        Running {
            task: tokio::spawn(fetcher.run(done)),
            counts,
            tried,
        }
    }
}

/// Of one issuer.
struct Fetcher {
    issuer: Arc<TrustedIssuer>,
    ring: Arc<KeyRing>,
    shared: Issuers,
    timeout: Duration,
    counts: Arc<Counts>,
    /// The last fetch failed, which has been said.
    in_trouble: bool,
}

impl Fetcher {
    async fn run(mut self, done: watch::Sender<bool>) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut asked_again = Instant::now();
        loop {
            let pause = match self.fetch().await {
                Ok(()) => {
                    backoff.reset();
                    // So that a fleet does not come in step.
                    PERIOD.mul_f64(1.0 - fastrand::f64() / 10.0)
                }
                Err(()) => backoff.next(fastrand::f64()),
            };
            done.send_replace(true);
            if matches!(self.issuer.keys, KeysFrom::Given(_)) {
                // Another content of the file is another issuer.
                return;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.missed_one(asked_again) => asked_again = Instant::now() + AT_MOST_EVERY,
            }
        }
    }

    /// A key was missed that may be fetched from `earliest` on.
    async fn missed_one(&self, earliest: Instant) {
        self.ring.missed_one().await;
        sleep_until(earliest).await;
    }

    async fn fetch(&mut self) -> Result<(), ()> {
        let issuer = &self.issuer.name;
        match jwks::fetch(&self.issuer, self.timeout).await {
            Ok(keys) => {
                let count = keys.count() as u64;
                self.shared.publish(&self.ring, keys);
                self.counts.succeeded.fetch_add(1, Ordering::Relaxed);
                self.counts.keys.store(count, Ordering::Relaxed);
                if std::mem::take(&mut self.in_trouble) {
                    tracing::info!(target: "sidekey", issuer, "the issuer's keys can be fetched again");
                }
                Ok(())
            }
            Err(why) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                let kept = match self.ring.keys() {
                    Some(_) => "those of before stay in use",
                    None => "no caller with a token of its can be let in",
                };
                if !std::mem::replace(&mut self.in_trouble, true) {
                    tracing::warn!(
                        target: "sidekey",
                        issuer,
                        "the issuer's keys can't be fetched, and {kept}: {why}"
                    );
                }
                Err(())
            }
        }
    }
}
