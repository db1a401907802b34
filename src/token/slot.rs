//! One account's cell: a single writer, any number of readers.

use super::credential::{Announced, Published, Unavailable};
use arc_swap::ArcSwap;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

/// The cell itself; give a clone to each worker, which makes its [`Reader`] of it.
#[derive(Clone)]
pub struct Shared(Arc<Slot>);

struct Slot {
    current: ArcSwap<Announced>,
    /// Counts publications. Readers compare it with the one they saw.
    epoch: AtomicU64,
}

/// The writing half. Not `Clone`: an account has one writer.
pub struct Publisher(Arc<Slot>);

/// The reading half of one worker: learning that nothing is new is one atomic load.
pub struct Reader {
    slot: Arc<Slot>,
    seen: Cell<u64>,
    local: RefCell<Published>,
}

/// Makes an account's cell, at first [`Unavailable::Waiting`].
#[must_use]
pub fn slot() -> (Publisher, Shared) {
    // One for all: nearly every account has something else soon.
    static WAITING: LazyLock<Arc<Announced>> =
        LazyLock::new(|| Arc::new(Announced::Unavailable(Unavailable::Waiting)));
    let slot = Arc::new(Slot {
        current: ArcSwap::new(WAITING.clone()),
        epoch: AtomicU64::new(0),
    });
    (Publisher(slot.clone()), Shared(slot))
}

impl Publisher {
    /// Makes `next` what every reader sees from its next look on.
    pub fn publish(&self, next: Announced) {
        self.0.current.store(Arc::new(next));
        // After the store: whoever sees the new epoch finds the new value.
        self.0.epoch.fetch_add(1, Ordering::Release);
    }

    /// What was published last.
    #[must_use]
    pub fn current(&self) -> Arc<Announced> {
        self.0.current.load_full()
    }
}

impl Publisher {
    /// The cell that this one writes.
    #[must_use]
    pub fn shared(&self) -> Shared {
        Shared(self.0.clone())
    }

    /// False once nobody can read what is published here.
    #[must_use]
    pub fn is_read(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Shared {
    /// A reader for the calling worker.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader {
            slot: self.0.clone(),
            // One less than any epoch can be: the first look always loads.
            seen: Cell::new(u64::MAX),
            local: RefCell::new(Published::Unavailable(Unavailable::Waiting)),
        }
    }

    /// True for another handle of this very cell.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What is published now (for the cold wing; workers use a [`Reader`]).
    #[must_use]
    pub fn current(&self) -> Published {
        self.0.current.load().built()
    }
}

impl Reader {
    /// True for a reader of this very cell.
    #[must_use]
    pub fn reads(&self, cell: &Shared) -> bool {
        Arc::ptr_eq(&self.slot, &cell.0)
    }

    /// What is published, from this worker's own copy when it is still current.
    pub fn get(&self) -> Published {
        self.renew();
        self.local.borrow().clone()
    }

    /// Calls `f` with what is published, without cloning it.
    pub fn with<R>(&self, f: impl FnOnce(&Published) -> R) -> R {
        self.renew();
        f(&self.local.borrow())
    }

    fn renew(&self) {
        let epoch = self.slot.epoch.load(Ordering::Acquire);
        if epoch != self.seen.get() {
            self.seen.set(epoch);
            // Its reference counts no other worker touches, so that a busy account
            // does not bounce a cache line between cores.
            *self.local.borrow_mut() = self.slot.current.load().built();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::credential::{Attach, TokenPlace, Way, own_copy};
    use super::{Announced, Published, Unavailable, slot};
    use crate::base::secret::Secret;
    use crate::token::Granted;
    use http::{HeaderValue, header};
    use std::sync::Arc;

    /// As a bearer token, in a sensitive header.
    struct Bearer;

    impl Way for Bearer {
        fn attach(&self, token: &Secret) -> Result<Attach, String> {
            let text = format!("Bearer {}", token.expose());
            let mut value = HeaderValue::try_from(text).map_err(|_| "it does not fit")?;
            value.set_sensitive(true);
            Ok(Attach {
                token: TokenPlace::Header {
                    name: header::AUTHORIZATION,
                    value: own_copy(&value),
                },
                headers: Vec::new(),
                query: Vec::new(),
            })
        }
    }

    fn token(generation: u64, text: &str) -> Announced {
        Announced::Valid(Granted {
            generation,
            expiry: None,
            void_before: 0,
            token: Secret::new(text.to_owned()),
            way: Arc::new(Bearer),
        })
    }

    #[test]
    fn a_reader_sees_each_publication() {
        let (publisher, shared) = slot();
        let reader = shared.reader();
        assert!(matches!(
            reader.get(),
            Published::Unavailable(Unavailable::Waiting)
        ));
        for generation in 1..4 {
            publisher.publish(token(generation, "x"));
            let Published::Valid(seen) = reader.get() else {
                panic!("not published")
            };
            assert_eq!(seen.generation, generation);
        }
    }

    #[test]
    fn a_reader_keeps_its_own_copy_while_nothing_is_new() {
        let (publisher, shared) = slot();
        publisher.publish(token(1, "x"));
        let (reader, other) = (shared.reader(), shared.reader());
        let valid = |published| match published {
            Published::Valid(credential) => credential,
            Published::Unavailable(_) => panic!("not published"),
        };
        let first = valid(reader.get());
        assert!(Arc::ptr_eq(&first, &valid(reader.get())));
        assert!(!Arc::ptr_eq(&first, &valid(other.get())));
    }

    #[test]
    fn a_token_that_does_not_fit_is_none() {
        let (publisher, shared) = slot();
        publisher.publish(token(1, "\n"));
        assert!(matches!(
            shared.reader().get(),
            Published::Unavailable(Unavailable::Misconfigured { .. })
        ));
    }

    #[test]
    fn a_copy_keeps_the_value_sensitive() {
        let (publisher, shared) = slot();
        publisher.publish(token(1, "x"));
        shared.reader().with(|p| match p {
            Published::Valid(c) => match &c.attach.token {
                TokenPlace::Header { value, .. } => {
                    assert!(value.is_sensitive());
                    assert_eq!(value, "Bearer x");
                }
                TokenPlace::Query(_) => panic!("a header was published"),
            },
            Published::Unavailable(_) => panic!("not published"),
        });
    }
}
