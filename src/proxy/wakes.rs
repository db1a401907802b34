//! Who may wake an upstream connection's task.
//!
//! hyper's body channel wakes its sending side for every chunk that is taken out
//! of it, also for the last one, when there is nobody left to send. A short
//! answer then costs its connection a whole turn in vain: a third of the turns.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

/// A connection's wake-ups, which can be looked at before they count.
#[derive(Default)]
pub struct Wakes {
    task: OnceLock<Waker>,
    held: AtomicBool,
    missed: AtomicBool,
}

impl Wakes {
    /// Does `work`, and afterwards wakes the task if that was asked for and is
    /// not `needless`. Whatever wakes such a task does so on the task's own
    /// thread, so nothing but `work` can ask in between.
    pub fn held_during<T>(&self, work: impl FnOnce() -> T, needless: impl FnOnce(&T) -> bool) -> T {
        self.held.store(true, Ordering::Relaxed);
        let result = work();
        self.held.store(false, Ordering::Relaxed);
        if self.missed.load(Ordering::Relaxed) {
            self.missed.store(false, Ordering::Relaxed);
            if !needless(&result) {
                self.wake_task();
            }
        }
        result
    }

    fn wake_task(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.held.load(Ordering::Relaxed) {
            self.missed.store(true, Ordering::Relaxed);
        } else {
            self.wake_task();
        }
    }
}

/// A task's whole future, woken through [`Wakes`].
pub struct Woken<F> {
    future: F,
    wakes: Arc<Wakes>,
    /// What `future` is polled with; made once.
    waker: Waker,
}

impl<F: Future + Unpin> Woken<F> {
    #[must_use]
    pub fn new(future: F) -> Self {
        let wakes = Arc::<Wakes>::default();
        Self {
            future,
            waker: Waker::from(wakes.clone()),
            wakes,
        }
    }

    #[must_use]
    pub fn wakes(&self) -> Arc<Wakes> {
        self.wakes.clone()
    }
}

impl<F: Future + Unpin> Future for Woken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // A task keeps its waker for life.
        this.wakes.task.get_or_init(|| cx.waker().clone());
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use super::{Wakes, Woken};
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A future that has handed its waker out, and the task that counts.
    fn started() -> (Arc<Wakes>, Waker, Arc<Count>) {
        let count = Arc::<Count>::default();
        let mut inner = None;
        let wakes = {
            let mut future = pin!(Woken::new(poll_fn(|cx| {
                inner = Some(cx.waker().clone());
                Poll::<()>::Pending
            })));
            let waker = Waker::from(count.clone());
            assert!(
                future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            future.wakes()
        };
        (wakes, inner.unwrap(), count)
    }

    #[test]
    fn an_ordinary_wake_passes() {
        let (_, waker, count) = started();
        waker.wake_by_ref();
        waker.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_held_wake_passes_afterwards_unless_it_is_needless() {
        let (wakes, waker, count) = started();
        let during = || {
            waker.wake_by_ref();
            count.0.load(Ordering::Relaxed)
        };
        assert_eq!(wakes.held_during(during, |_| true), 0);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert_eq!(wakes.held_during(during, |_| false), 0);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        wakes.held_during(|| (), |()| false);
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "nobody asked");
    }
}
