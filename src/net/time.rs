//! A worker's coarse time: deadlines that one sweep every [`TICK`] looks after,
//! instead of a timer for each request.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How late a deadline may be noticed.
pub const TICK: Duration = Duration::from_millis(100);

/// How often what is not urgent is looked after.
const SLOW_TICK: Duration = Duration::from_secs(1);

/// The deadlines of one worker.
#[derive(Default)]
pub struct Deadlines {
    waiting: RefCell<Waiting>,
    /// Wakes the sweeper out of its sleep when the first deadline is set.
    busy: Notify,
}

#[derive(Default)]
struct Waiting {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
}

struct Entry {
    at: Instant,
    waker: Waker,
}

/// The time ran out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl Deadlines {
    /// Waits for `work` until the deadline, which may be moved while it waits;
    /// noticed within one [`TICK`].
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline came first; `work` is then dropped.
    pub async fn until<T>(
        &self,
        deadline: &Cell<Instant>,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let mut work = pin!(work);
        let mut place = Place {
            deadlines: self,
            index: None,
        };
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            // The clock is read only by those who had to wait.
            let at = deadline.get();
            if place.index.is_some() && Instant::now() >= at {
                return Poll::Ready(Err(Elapsed));
            }
            place.wait(at, cx);
            Poll::Pending
        })
        .await
    }

    /// Waits for `work` for a fixed time.
    ///
    /// # Errors
    /// As [`Deadlines::until`].
    pub async fn within<T>(
        &self,
        time: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let deadline = Cell::new(Instant::now() + time);
        self.until(&deadline, work).await
    }

    /// Waits until the next tick: soon while a deadline is set, now and then
    /// while there is `anything_else` to look after, else until [`wake`](Self::wake).
    pub async fn tick(&self, anything_else: bool) {
        if self.waiting.borrow().is_empty() {
            let busy = self.busy.notified();
            if anything_else {
                let _ = tokio::time::timeout(SLOW_TICK, busy).await;
            } else {
                busy.await;
            }
        }
        tokio::time::sleep(TICK).await;
    }

    /// Says that there is something to tick for.
    pub fn wake(&self) {
        self.busy.notify_one();
    }

    /// Wakes all whose time has come.
    pub fn sweep(&self, now: Instant) {
        let due: Vec<Waker> = self
            .waiting
            .borrow()
            .entries
            .iter()
            .flatten()
            .filter(|entry| entry.at <= now)
            .map(|entry| entry.waker.clone())
            .collect();
        for waker in due {
            waker.wake();
        }
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.entries.len() == self.free.len()
    }
}

/// One waiter's place, given back when it is dropped.
struct Place<'a> {
    deadlines: &'a Deadlines,
    index: Option<usize>,
}

impl Place<'_> {
    fn wait(&mut self, at: Instant, cx: &Context<'_>) {
        let mut waiting = self.deadlines.waiting.borrow_mut();
        if let Some(index) = self.index {
            if let Some(entry) = &mut waiting.entries[index] {
                entry.at = at;
                entry.waker.clone_from(cx.waker());
            }
            return;
        }
        if waiting.is_empty() {
            self.deadlines.busy.notify_one();
        }
        let entry = Some(Entry {
            at,
            waker: cx.waker().clone(),
        });
        let index = waiting.free.pop().unwrap_or(waiting.entries.len());
        if index == waiting.entries.len() {
            waiting.entries.push(entry);
        } else {
            waiting.entries[index] = entry;
        }
        self.index = Some(index);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            let mut waiting = self.deadlines.waiting.borrow_mut();
            waiting.entries[index] = None;
            waiting.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Deadlines, Elapsed};
    use std::cell::Cell;
    use std::future::{Future, pending, ready};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::{Duration, Instant};

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_ready_takes_no_place() {
        let deadlines = Deadlines::default();
        let done = poll(pin!(deadlines.within(Duration::ZERO, ready(1))));
        assert_eq!(done, Poll::Ready(Ok(1)));
        assert!(deadlines.waiting.borrow().is_empty());
    }

    #[test]
    fn a_deadline_that_passed_ends_the_wait_and_gives_its_place_back() {
        let deadlines = Deadlines::default();
        let deadline = Cell::new(Instant::now() + Duration::from_secs(3600));
        {
            let mut wait = pin!(deadlines.until(&deadline, pending::<()>()));
            assert_eq!(poll(wait.as_mut()), Poll::Pending);
            assert_eq!(poll(wait.as_mut()), Poll::Pending);
            deadline.set(Instant::now());
            assert_eq!(poll(wait.as_mut()), Poll::Ready(Err(Elapsed)));
        }
        assert!(deadlines.waiting.borrow().is_empty());
    }

    #[test]
    fn a_moved_deadline_is_respected() {
        let deadlines = Deadlines::default();
        let deadline = Cell::new(Instant::now());
        let mut wait = pin!(deadlines.until(&deadline, pending::<()>()));
        assert_eq!(poll(wait.as_mut()), Poll::Pending);
        deadline.set(Instant::now() + Duration::from_secs(3600));
        assert_eq!(poll(wait.as_mut()), Poll::Pending);
    }
}
