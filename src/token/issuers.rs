//! The keys of trusted issuers: the cold wing fetches and writes them, workers
//! verify callers' tokens by them.

use crate::base::issuer::TrustedIssuer;
use crate::base::jwt::keys::KeySet;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// All of them; clones are the same.
#[derive(Clone, Default)]
pub struct Issuers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rings: ArcSwap<HashMap<Arc<TrustedIssuer>, Arc<KeyRing>>>,
    /// Counts changes: what was verified under another number may not hold.
    generation: AtomicU64,
}

/// The keys of one issuer.
#[derive(Default)]
pub struct KeyRing {
    keys: ArcSwapOption<KeySet>,
    unknown: Notify,
}

impl Issuers {
    /// Another number after each change of any key or issuer.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// `None` for an issuer that is not trusted (yet).
    #[must_use]
    pub fn of(&self, issuer: &TrustedIssuer) -> Option<Arc<KeyRing>> {
        self.0.rings.load().get(issuer).cloned()
    }

    /// Trusts these and no others. What is the same keeps its keys; so does what
    /// has the name of one of before, until its own are there.
    pub fn trust(&self, wanted: &HashSet<Arc<TrustedIssuer>>) {
        let before = self.0.rings.load_full();
        let ring = |issuer: &Arc<TrustedIssuer>| {
            if let Some(kept) = before.get(issuer) {
                return kept.clone();
            }
            let former = before.iter().find(|(old, _)| old.name == issuer.name);
            let ring = KeyRing::default();
            ring.keys
                .store(former.and_then(|(_, ring)| ring.keys.load_full()));
            Arc::new(ring)
        };
        let rings = wanted.iter().map(|issuer| (issuer.clone(), ring(issuer)));
        self.0.rings.store(Arc::new(rings.collect()));
        self.changed();
    }

    /// Makes these the issuer's keys.
    pub fn publish(&self, ring: &KeyRing, keys: KeySet) {
        ring.keys.store(Some(Arc::new(keys)));
        self.changed();
    }

    fn changed(&self) {
        // After the change: whoever sees the new number finds it.
        self.0.generation.fetch_add(1, Ordering::Release);
    }
}

impl KeyRing {
    /// The keys; `None` before any were had.
    #[must_use]
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// A token names a key that is not there. Nobody waits for what comes of it.
    pub fn misses_one(&self) {
        self.unknown.notify_one();
    }

    /// Waits until a token has named such a key.
    pub async fn missed_one(&self) {
        self.unknown.notified().await;
    }
}
