//! A worker that has sent a request to an upstream on the same machine stays awake
//! for the answer: going to sleep and being woken would take about as long as the
//! answer does, and cost as much. Where answers don't come that soon it sleeps.
//!
//! Who awaits an answer says so ([`awaits`]), and how long each took ([`took`]). The
//! loop's part is to ask, with nothing else to do, whether it [goes on](goes_on): a
//! ring before it sleeps, other loops by [a task](task).

mod spin;

use spin::{LIMIT, Spin, UNTRIED};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

thread_local! {
    /// `None`: this thread sleeps at once.
    static SPIN: RefCell<Option<Spin>> = const { RefCell::new(None) };
    /// Of the task that keeps the loop awake, where that is a task's part; taken
    /// while it does so.
    static TASK: Cell<Option<Waker>> = const { Cell::new(None) };
}

/// Has this thread stay awake where that helps.
pub fn enable() {
    enable_for(LIMIT);
}

/// With another limit than a failed try should have.
fn enable_for(limit: Duration) {
    SPIN.set(Some(Spin::new(limit)));
}

/// Whether it does.
#[must_use]
pub fn is_enabled() -> bool {
    SPIN.with_borrow(Option::is_some)
}

/// An answer is awaited as long as this lives.
pub struct Awaited(u32);

/// Says that a request is on its way, whose answer is awaited.
#[must_use]
pub fn awaits() -> Awaited {
    let number = SPIN.with_borrow_mut(|spin| spin.as_mut().map_or(UNTRIED, Spin::sent));
    if number != UNTRIED
        && let Some(task) = TASK.take()
    {
        task.wake();
    }
    Awaited(number)
}

impl Awaited {
    /// The answer is here.
    pub fn came(mut self) {
        self.ends(true);
    }

    fn ends(&mut self, has_come: bool) {
        let number = std::mem::replace(&mut self.0, UNTRIED);
        if number != UNTRIED {
            SPIN.with_borrow_mut(|spin| {
                if let Some(spin) = spin {
                    spin.ended(number, has_come);
                }
            });
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.ends(false);
    }
}

/// An answer took so long, whether this thread stayed awake or not.
pub fn took(time: Duration) {
    SPIN.with_borrow_mut(|spin| {
        if let Some(spin) = spin {
            spin.took(time);
        }
    });
}

/// Whether the loop, with nothing else to do, stays awake; reads the clock if so.
#[must_use]
pub fn goes_on() -> bool {
    SPIN.with_borrow_mut(|spin| match spin {
        Some(spin) if spin.is_on() => spin.goes_on(Instant::now()),
        _ => false,
    })
}

/// The task that keeps its loop awake: while it yields, the loop looks at its
/// sockets without sleeping.
pub async fn task() {
    loop {
        poll_fn(|cx| {
            if goes_on() {
                return Poll::Ready(());
            }
            TASK.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        while goes_on() {
            tokio::task::yield_now().await;
        }
    }
}
