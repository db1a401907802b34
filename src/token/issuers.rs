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
    /// only asks in another way for the keys of the same source, until it has its own.
    pub fn trust(&self, wanted: &HashSet<Arc<TrustedIssuer>>) {
        let before = self.0.rings.load_full();
        if before.len() == wanted.len() && wanted.iter().all(|issuer| before.contains_key(issuer)) {
            return;
        }
        let ring = |issuer: &Arc<TrustedIssuer>| {
            if let Some(kept) = before.get(issuer) {
                return kept.clone();
            }
            let former = before.iter().find(|(old, _)| old.has_keys_of(issuer));
            let ring = KeyRing::default();
            ring.keys
                .store(former.and_then(|(_, ring)| ring.keys.load_full()));
            Arc::new(ring)
        };
        let rings = wanted.iter().map(|issuer| (issuer.clone(), ring(issuer)));
        self.0.rings.store(Arc::new(rings.collect()));
        self.changed();
    }

    /// Makes these the issuer's keys; no change where they are already.
    pub fn publish(&self, ring: &KeyRing, keys: KeySet) {
        if ring.keys().is_some_and(|old| old.is_same(&keys)) {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::{Arc, HashSet, Issuers, KeySet, TrustedIssuer};
    use crate::base::issuer::KeysFrom;

    fn issuer(keys: KeysFrom, token_file: Option<&str>) -> Arc<TrustedIssuer> {
        Arc::new(TrustedIssuer {
            name: "https://kubernetes.default.svc".to_owned(),
            keys,
            ca: None,
            token_file: token_file.map(Into::into),
        })
    }

    fn at(url: &str) -> KeysFrom {
        KeysFrom::Address(url.parse().unwrap())
    }

    fn keys(x: &str) -> KeySet {
        let key = format!(r#"{{"kty": "OKP", "crv": "Ed25519", "x": "{x}"}}"#);
        KeySet::read(format!(r#"{{"keys": [{key}]}}"#).as_bytes()).unwrap()
    }

    const ONE: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const OTHER: &str = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg";

    fn trust(issuers: &Issuers, all: &[&Arc<TrustedIssuer>]) {
        issuers.trust(
            &all.iter()
                .map(|one| Arc::clone(one))
                .collect::<HashSet<_>>(),
        );
    }

    #[test]
    fn keys_pass_to_the_same_source_only() {
        let given = |content: &[u8]| KeysFrom::Given(content.into());
        let one = issuer(at("https://one.example/jwks"), None);
        let same = issuer(at("https://one.example/jwks"), Some("token"));
        let file = issuer(given(b"1"), None);
        let others = [
            issuer(at("https://two.example/jwks"), None),
            issuer(KeysFrom::Discovery, None),
            issuer(given(b"1"), Some("token")),
            issuer(given(b"2"), None),
        ];
        let issuers = Issuers::default();
        trust(&issuers, &[&one, &file]);
        for known in [&one, &file] {
            issuers.publish(&issuers.of(known).unwrap(), keys(ONE));
        }
        let all: Vec<_> = others.iter().chain([&one, &same]).collect();
        trust(&issuers, &all);
        for other in &others {
            assert!(issuers.of(other).unwrap().keys().is_none());
        }
        for kept in [&one, &same] {
            assert!(issuers.of(kept).unwrap().keys().is_some());
        }
    }

    #[test]
    fn the_same_keys_again_are_no_change() {
        let one = issuer(KeysFrom::Discovery, None);
        let issuers = Issuers::default();
        trust(&issuers, &[&one]);
        let ring = issuers.of(&one).unwrap();
        let mut before = issuers.generation();
        for (next, changes) in [(ONE, true), (ONE, false), (OTHER, true), (ONE, true)] {
            issuers.publish(&ring, keys(next));
            let now = issuers.generation();
            assert_eq!(now != before, changes);
            before = now;
        }
    }
}
