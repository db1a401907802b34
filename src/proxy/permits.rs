//! How many requests run at once in the whole process (`limits.requests`).
//!
//! All workers draw from one number. Each keeps some permits at hand, so that
//! an ordinary request counts in its own worker's memory and touches nothing of
//! another core. Where the limit is so small that what others keep would be
//! missed, none are kept.

use super::refusal::{Code, Refusal};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Permits fetched at once, where the limit allows for it.
const BATCH: usize = 64;
/// A batch is this small a part of what falls to a worker, at most.
const PART: usize = 8;

/// What no worker has fetched.
#[derive(Clone)]
pub struct Common {
    free: Arc<AtomicUsize>,
    most: usize,
    batch: usize,
}

impl Common {
    /// For so many requests at once, on so many workers.
    #[must_use]
    pub fn new(most: usize, workers: usize) -> Self {
        Self {
            free: Arc::new(AtomicUsize::new(most)),
            most,
            batch: (most / workers.max(1) / PART).min(BATCH),
        }
    }
}

/// One worker's share of it.
pub struct Permits {
    common: Common,
    at_hand: Cell<usize>,
}

/// A request may run while this lives.
pub struct Permit(Rc<Permits>);

impl Permits {
    #[must_use]
    pub fn new(common: Common) -> Rc<Self> {
        Rc::new(Self {
            common,
            at_hand: Cell::new(0),
        })
    }

    /// `None`: as many requests run as may.
    #[must_use]
    pub fn take(self: &Rc<Self>) -> Option<Permit> {
        if self.at_hand.get() == 0 && !self.fetch() {
            return None;
        }
        self.at_hand.set(self.at_hand.get() - 1);
        Some(Permit(self.clone()))
    }

    /// The answer to a request that gets none.
    #[must_use]
    pub fn used_up(&self) -> Refusal {
        let most = self.common.most;
        let detail = format!("{most} requests are running, which is the limit (limits.requests)");
        Refusal::new(Code::Overloaded, detail).retry_after(Duration::from_secs(1))
    }

    fn fetch(&self) -> bool {
        let wanted = self.common.batch.max(1);
        let take = |free: usize| (free > 0).then(|| free - free.min(wanted));
        let order = Ordering::Relaxed;
        let before = self.common.free.fetch_update(order, order, take);
        before.is_ok_and(|free| {
            self.at_hand.set(free.min(wanted));
            true
        })
    }

    fn give_back(&self) {
        let batch = self.common.batch;
        let at_hand = self.at_hand.get() + 1;
        let surplus = if at_hand > 2 * batch {
            at_hand - batch
        } else {
            0
        };
        if surplus > 0 {
            self.common.free.fetch_add(surplus, Ordering::Relaxed);
        }
        self.at_hand.set(at_hand - surplus);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::{Common, Permit, Permits};
    use proptest::prelude::{any, proptest};
    use std::rc::Rc;

    fn workers(most: usize, count: usize) -> Vec<Rc<Permits>> {
        let common = Common::new(most, count);
        (0..count).map(|_| Permits::new(common.clone())).collect()
    }

    #[test]
    fn a_small_limit_is_kept_to_the_last_one_by_any_worker() {
        let workers = workers(3, 2);
        let mut held: Vec<_> = (0..3).map(|_| workers[0].take().unwrap()).collect();
        assert!(workers.iter().all(|worker| worker.take().is_none()));
        held.pop();
        assert!(workers[1].take().is_some());
        assert!(workers[1].take().is_some(), "it was given back");
    }

    #[test]
    fn a_worker_that_rests_keeps_little_from_the_others() {
        let workers = workers(10_000, 4);
        let held: Vec<Permit> = (0..5_000).map(|_| workers[0].take().unwrap()).collect();
        drop(held);
        let others = std::iter::from_fn(|| workers[1].take());
        let others: Vec<_> = others.collect();
        assert!(others.len() >= 10_000 - 128, "{}", others.len());
    }

    proptest! {
        #[test]
        fn never_more_run_than_may(most in 1_usize..300, ends in proptest::collection::vec(any::<(bool, u8)>(), 0..900)) {
            let workers = workers(most, 3);
            let mut held = Vec::new();
            for (begins, which) in ends {
                if begins {
                    held.extend(workers[usize::from(which) % 3].take());
                } else if !held.is_empty() {
                    held.swap_remove(usize::from(which) % held.len());
                }
                assert!(held.len() <= most);
            }
            drop(held);
            let free = workers[0].common.free.load(std::sync::atomic::Ordering::Relaxed);
            let kept: usize = workers.iter().map(|worker| worker.at_hand.get()).sum();
            assert_eq!(free + kept, most);
        }
    }
}
