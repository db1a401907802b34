//! How readings of the configuration have ended, for `/metrics`, page and API.

use crate::base::clock::{SystemClock, Wall};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts readings; the first one, at the start, is none of them.
pub struct Reloads {
    succeeded: AtomicU64,
    failed: AtomicU64,
    standing: ArcSwap<Standing>,
}

/// What the process runs on, and how the last reading ended.
#[derive(Clone, Debug)]
pub struct Standing {
    /// When the configuration was read that it runs on.
    pub loaded_at: Wall,
    /// The last reading after the start.
    pub last: Option<Last>,
    /// Keys that differ in the file and take effect at the next start only.
    pub needs_restart: Vec<&'static str>,
}

/// A reading that has ended.
#[derive(Clone, Debug)]
pub struct Last {
    pub at: Wall,
    /// Every mistake, for people; `None`: it is in use.
    pub failure: Option<String>,
}

impl Default for Reloads {
    fn default() -> Self {
        Self {
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            standing: ArcSwap::from_pointee(Standing {
                loaded_at: SystemClock::wall(),
                last: None,
                needs_restart: Vec::new(),
            }),
        }
    }
}

impl Reloads {
    /// The configuration that was read now is in use.
    pub fn succeeded(&self, needs_restart: Vec<&'static str>) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        let now = SystemClock::wall();
        self.standing.store(Arc::new(Standing {
            loaded_at: now,
            last: Some(Last {
                at: now,
                failure: None,
            }),
            needs_restart,
        }));
    }

    /// It can't be used; what was in use before still is.
    pub fn failed(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut standing = Standing::clone(&self.standing.load());
        standing.last = Some(Last {
            at: SystemClock::wall(),
            failure: Some(why),
        });
        self.standing.store(Arc::new(standing));
    }

    #[must_use]
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.load_full()
    }

    /// How many readings succeeded, and how many failed.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(&self.succeeded), count(&self.failed))
    }
}

impl Standing {
    /// Why the last reading is not in use.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.last.as_ref()?.failure.as_deref()
    }
}
