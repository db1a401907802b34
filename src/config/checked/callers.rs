//! Who may call a route, and who speaks for them.

use crate::base::caller_keys::KeyDigest;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

/// Everybody who may call; nobody else may.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Names by the digests of the keys that prove them.
    keys: HashMap<KeyDigest, Arc<str>>,
}

impl Allowed {
    /// Lets in whoever has this key, under this name.
    pub fn add_key(&mut self, digest: KeyDigest, name: &str) {
        self.keys.insert(digest, Arc::from(name));
    }

    /// Who has the key of this digest. Digests of keys that nobody can guess
    /// need no comparison in constant time.
    #[must_use]
    pub fn by_key(&self, digest: &KeyDigest) -> Option<&Arc<str>> {
        self.keys.get(digest)
    }

    /// Each name once, in order.
    #[must_use]
    pub fn names(&self) -> BTreeSet<Arc<str>> {
        self.keys.values().cloned().collect()
    }
}

/// Names alone.
impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Allowed").field(&self.names()).finish()
    }
}

/// Whose account speaks for a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Speaks {
    /// The route's, for everybody.
    #[default]
    One,
    /// The caller's own: this route takes requests, those of [`Speaks::For`] serve them.
    TheCallers,
    /// For requests of this caller that the route of this name has taken.
    For { caller: Arc<str>, route: Arc<str> },
}
