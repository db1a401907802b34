//! What is done at the end of a turn of a worker's loop: connections that have
//! something to send send it then. All that has come is read first, and what
//! follows from it goes out together: that costs the kernel less than a write
//! behind each read. The ring collects what is to be sent by itself.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::SystemTime;

/// Something that waits for the end of the turn.
pub trait AtEnd {
    /// Called with the last handle but those that others hold.
    fn at_end(self: Rc<Self>);
}

#[derive(Default)]
struct Waiting {
    list: Vec<Rc<dyn AtEnd>>,
    /// Of the task that ends the turns.
    waker: Option<Waker>,
    /// It has been woken.
    is_called: bool,
    /// The wall clock's first reading in this turn.
    wall: Option<SystemTime>,
}

impl Waiting {
    /// Has the turn end; false where turns have no end.
    fn call(&mut self) -> bool {
        let Some(waker) = &self.waker else {
            return false;
        };
        if !std::mem::replace(&mut self.is_called, true) {
            waker.wake_by_ref();
        }
        true
    }
}

thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
}

/// Has `what` called once at the end of this turn; false where turns have no such
/// end, and it is to be done at once.
pub fn at_end<T: AtEnd + 'static>(what: &Rc<T>) -> bool {
    WAITING.with_borrow_mut(|waiting| {
        let ends = waiting.call();
        if ends {
            waiting.list.push(what.clone());
        }
        ends
    })
}

/// The wall clock, read once a turn where turns have an end.
#[must_use]
pub fn wall() -> SystemTime {
    WAITING.with_borrow_mut(|waiting| match waiting.wall {
        Some(wall) => wall,
        None => {
            let now = SystemTime::now();
            waiting.wall = waiting.call().then_some(now);
            now
        }
    })
}

/// The task that ends the turns of its thread: the tasks that were woken before it
/// have run by then.
pub fn ends() -> impl Future<Output = ()> {
    let mut spare = Vec::new();
    poll_fn(move |cx| {
        let mut list = WAITING.with_borrow_mut(|waiting| {
            if waiting.waker.is_none() {
                waiting.waker = Some(cx.waker().clone());
            }
            (waiting.is_called, waiting.wall) = (false, None);
            std::mem::replace(&mut waiting.list, std::mem::take(&mut spare))
        });
        for what in list.drain(..) {
            // What goes wrong with one of them is not to end the turns of all others.
            let _ = catch_unwind(AssertUnwindSafe(|| what.at_end()));
        }
        spare = list;
        Poll::Pending
    })
}

#[cfg(test)]
mod tests {
    use super::{AtEnd, at_end, ends, wall};
    use crate::net::pair::{turn, with_sockets};
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::{SystemTime, UNIX_EPOCH};

    struct Counted(Cell<u32>);

    impl AtEnd for Counted {
        fn at_end(self: Rc<Self>) {
            self.0.set(self.0.get() + 1);
            assert_ne!(self.0.get(), 2, "a fault in one of many");
        }
    }

    #[test]
    fn a_turn_has_one_time_and_the_next_another() {
        assert!(
            wall() >= UNIX_EPOCH,
            "without ends of turns it is read each time"
        );
        with_sockets(async {
            tokio::task::spawn_local(ends());
            turn().await;
            let first = wall();
            let read_since = SystemTime::now();
            while SystemTime::now() == read_since {}
            assert_eq!(wall(), first);
            turn().await;
            assert!(wall() > read_since);
        });
    }

    #[test]
    fn each_turn_ends_once_for_what_waits() {
        with_sockets(async {
            let counted = Rc::new(Counted(Cell::new(0)));
            assert!(!at_end(&counted), "nothing ends the turns yet");
            tokio::task::spawn_local(ends());
            turn().await;
            for ends in 1..4 {
                assert!(at_end(&counted));
                assert_eq!(counted.0.get(), ends - 1);
                turn().await;
                assert_eq!(counted.0.get(), ends);
            }
        });
    }
}
