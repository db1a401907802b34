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

/// The same, but a try for which no answer comes ends after `limit`.
pub fn enable_for(limit: Duration) {
    SPIN.set(Some(Spin::new(limit)));
}

/// Whether it does so.
#[must_use]
pub fn is_enabled() -> bool {
    SPIN.with_borrow(Option::is_some)
}

/// Whether staying awake may pay for itself: not where processor time is rationed, for the
/// ration would be used up, and not where the other side needs the only processor.
#[must_use]
pub fn pays() -> bool {
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    let (allowed, there_are) = processors(usable);
    usable >= allowed && there_are > 1
}

/// How many this process may run on, whatever its quota, and how many there are.
#[cfg(target_os = "linux")]
fn processors(usable: usize) -> (usize, usize) {
    let allowed = rustix::thread::sched_getaffinity(None);
    let allowed = allowed.map_or(usable, |set| set.count() as usize);
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online");
    let is_list = online.is_ok_and(|list| list.contains(['-', ',']));
    (allowed, allowed.max(1 + usize::from(is_list)))
}

#[cfg(not(target_os = "linux"))]
fn processors(usable: usize) -> (usize, usize) {
    (usable, usable)
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

#[cfg(test)]
mod tests {
    use super::{awaits, enable_for, goes_on, took};
    use crate::net::pair::pair;
    use crate::net::worker::{Io, spawn};
    use hyper::rt::{Read as _, ReadBuf};
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;
    use tokio::runtime::Handle;
    use tokio::time::sleep;

    /// Runs a test on a worker without a ring.
    fn on_loop<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        let worker = spawn("test".into(), Io::Poll, true, || async move {
            test().await;
            done.send(()).unwrap();
        });
        worker.unwrap().join().unwrap();
        is_done.recv().unwrap();
    }

    fn sleeps() -> u64 {
        Handle::current().metrics().worker_park_count(0)
    }

    /// Until the loop has slept, which it does with nothing awaited.
    async fn slept(before: u64) {
        for _ in 0..1000 {
            if sleeps() > before {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
        panic!("it never sleeps");
    }

    #[test]
    fn an_awaited_answer_comes_to_a_loop_that_does_not_sleep() {
        on_loop(|| async {
            enable_for(Duration::from_secs(30));
            took(Duration::ZERO);
            let (mut ours, theirs) = pair().await;
            let (mut asks, asked) = UnixStream::pair().unwrap();
            thread::spawn(move || {
                // What is asked here is answered there.
                let (mut asked, mut theirs) = (asked, theirs);
                let mut byte = [0];
                while asked.read_exact(&mut byte).is_ok() {
                    theirs.write_all(&byte).unwrap();
                }
            });
            for byte in 0..50 {
                let before = sleeps();
                let awaited = awaits();
                asks.write_all(&[byte]).unwrap();
                let mut space = [0];
                let mut buf = ReadBuf::new(&mut space);
                let read = poll_fn(|cx| Pin::new(&mut ours).poll_read(cx, buf.unfilled()));
                read.await.unwrap();
                assert_eq!(buf.filled(), [byte]);
                assert_eq!(sleeps(), before, "at {byte}");
                awaited.came();
                assert!(!goes_on());
                slept(before).await;
            }
        });
    }

    #[test]
    fn a_loop_sleeps_when_the_answer_does_not_come() {
        on_loop(|| async {
            enable_for(Duration::from_millis(1));
            took(Duration::ZERO);
            let (before, _awaited) = (sleeps(), awaits());
            slept(before).await;
            assert!(!goes_on());
        });
    }
}
