//! How many connections to one origin may be open, and the requests that wait
//! for one. What becomes free goes to the first of them, never to a request
//! that comes later: so nobody starves, and no wake-up is lost.

use super::multiplex::Place;
use super::patience::Share;
use super::pool::{Open, Pool};
use super::refusal::{Code, Fault, Refusal};
use super::route::WorkerRoute;
use super::worker::Worker;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// One origin's connections on one worker.
pub struct Slots {
    /// Connections that may be open.
    most: usize,
    open: Cell<usize>,
    /// Requests that may wait.
    queue: usize,
    /// The first of them first. While one waits, no slot is free and no
    /// connection idle.
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

/// A connection may be open while this lives.
pub struct Slot(Rc<Slots>);

/// What a request needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// A connection over HTTP/1.1, new or not.
    Http1,
    /// A connection that was never used.
    Fresh,
    /// A place on a shared connection, or a connection over HTTP/1.1 once the
    /// origin turns out to want that.
    Shared,
}

/// What a request gets that has waited.
pub enum Given {
    /// The right to open a connection.
    Slot(Slot),
    /// A connection over HTTP/1.1 that another request is done with.
    Open(Open),
    /// Room for a stream on a connection over HTTP/2.
    Place(Place),
}

#[derive(Default)]
struct Waiter {
    given: RefCell<Option<Given>>,
    waker: RefCell<Option<Waker>>,
}

impl Slots {
    #[must_use]
    pub fn new(most: usize, queue: usize) -> Rc<Self> {
        Rc::new(Self {
            most,
            open: Cell::new(0),
            queue,
            waiting: RefCell::default(),
        })
    }

    /// A slot, where one is free.
    #[must_use]
    pub fn free(self: &Rc<Self>) -> Option<Slot> {
        let is_free = self.open.get() < self.most;
        is_free.then(|| {
            self.open.set(self.open.get() + 1);
            Slot(self.clone())
        })
    }

    /// True while requests wait.
    #[must_use]
    pub fn are_awaited(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Hands something to the request that has waited longest; gives it back
    /// where none waits.
    pub fn give(&self, given: Given) -> Option<Given> {
        let Some(first) = self.waiting.borrow_mut().pop_front() else {
            return Some(given);
        };
        first.given.replace(Some(given));
        if let Some(waker) = first.waker.take() {
            waker.wake();
        }
        None
    }

    /// Queues up, first or last; `None` where too many wait already.
    fn queue_up(&self, first: bool) -> Option<Rc<Waiter>> {
        let mut waiting = self.waiting.borrow_mut();
        let waiter = Rc::<Waiter>::default();
        match first {
            true => waiting.push_front(waiter.clone()),
            false if waiting.len() < self.queue => waiting.push_back(waiter.clone()),
            false => return None,
        }
        Some(waiter)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let slots = &self.0;
        if slots.are_awaited() {
            slots.give(Given::Slot(Self(slots.clone())));
        } else {
            slots.open.set(slots.open.get() - 1);
        }
    }
}

/// A request in the queue.
struct Waiting<'a> {
    pool: &'a Pool,
    slots: &'a Slots,
    waiter: Rc<Waiter>,
}

impl Future for Waiting<'_> {
    type Output = Given;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Given> {
        if let Some(given) = self.waiter.given.take() {
            return Poll::Ready(given);
        }
        self.waiter.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    /// Leaves the queue; what was given already goes to the next.
    fn drop(&mut self) {
        let is_other = |waiter: &Rc<Waiter>| !Rc::ptr_eq(waiter, &self.waiter);
        self.slots.waiting.borrow_mut().retain(is_other);
        // The others pass themselves on.
        if let Some(Given::Open(open)) = self.waiter.given.take() {
            self.pool.put(open);
        }
    }
}

/// What a request that needs a connection may have: `None` where it may open
/// one, as any request may where there is no limit.
///
/// # Errors
/// When too many wait, or none becomes free in time.
pub async fn wait(
    worker: &Worker,
    route: &WorkerRoute,
    want: Want,
    share: Share,
) -> Result<Option<Given>, Refusal> {
    let Some(slots) = &route.pool.slots else {
        return Ok(None);
    };
    let given = until_given(&route.pool, slots, want);
    let until = Cell::new(share.until);
    match worker.deadlines.until(&until, given).await {
        Ok(Some(given)) => Ok(Some(given)),
        Ok(None) => Err(too_many_wait(route, slots)),
        Err(_) => Err(none_free(route, slots, share.length)),
    }
}

/// `None` where too many wait.
async fn until_given(pool: &Pool, slots: &Rc<Slots>, want: Want) -> Option<Given> {
    let mut first = false;
    loop {
        // What closed while nobody waited has left its slot.
        if let Some(slot) = slots.free() {
            return Some(Given::Slot(slot));
        }
        // One that is idle has not had its turn since its last answer.
        let idle = takes_used(pool, want).then(|| pool.take_any()).flatten();
        let given = match idle {
            Some(open) => Given::Open(open),
            None => queued(pool, slots, want, first).await?,
        };
        // It is this request's turn, whatever becomes of what it gets.
        first = true;
        match given {
            Given::Slot(_) => return Some(given),
            // To the next, or closed.
            Given::Place(_) if want == Want::Fresh => {}
            Given::Place(_) => return Some(given),
            // Closed: its slot comes back to this request.
            Given::Open(_) if !takes_used(pool, want) => {}
            Given::Open(mut open) => {
                if open.is_free().await {
                    return Some(Given::Open(open));
                }
            }
        }
    }
}

/// Whether a connection over HTTP/1.1 that was used before will do.
fn takes_used(pool: &Pool, want: Want) -> bool {
    match want {
        Want::Http1 => true,
        Want::Fresh => false,
        Want::Shared => pool.shared().is_none(),
    }
}

/// Waits in the queue. What nobody uses, and this request can't use either, is
/// closed for its sake: then it comes first, for the slot is its own.
async fn queued(pool: &Pool, slots: &Rc<Slots>, want: Want, first: bool) -> Option<Given> {
    let first = pool.close_one() || first;
    if let Some(slot) = slots.free() {
        return Some(Given::Slot(slot));
    }
    let waiting = Waiting {
        pool,
        slots,
        waiter: slots.queue_up(first)?,
    };
    // A stream was refused on the only connection, which has room all the same.
    if let Some(multiplex) = pool.shared().filter(|_| want == Want::Shared) {
        multiplex.serve();
    }
    Some(waiting.await)
}

fn too_many_wait(route: &WorkerRoute, slots: &Slots) -> Refusal {
    let detail = format!(
        "{} connections to {} are open and {} requests wait for one, which are the limits \
         (limits.pool_connections_per_origin, limits.pool_queue)",
        slots.most, route.route.upstream.authority, slots.queue
    );
    overloaded(detail)
}

fn none_free(route: &WorkerRoute, slots: &Slots, time: Duration) -> Refusal {
    let detail = format!(
        "none of the {} connections to {} became free within {time:?} (connect_timeout); more \
         may not be open (limits.pool_connections_per_origin)",
        slots.most, route.route.upstream.authority
    );
    overloaded(detail)
}

fn overloaded(detail: String) -> Refusal {
    Refusal::new(Code::Overloaded, detail)
        .retry_after(Duration::from_secs(1))
        .with(Fault::Spared)
}

#[cfg(test)]
mod tests {
    use super::{Given, Slot, Slots, Waiting, Want, until_given};
    use crate::config::checked::{PathMatch, RouteMatch};
    use crate::net::pair::{pair, turn, with_sockets};
    use crate::proxy::http1::line::Line;
    use crate::proxy::pool::{Limits, Open, Pool, Versions};
    use crate::proxy::sample;
    use proptest::prelude::{any, proptest};
    use std::future::Future;
    use std::os::unix::net::UnixStream;
    use std::pin::{Pin, pin};
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    /// Of an origin that chooses its version, with so many connections and a queue.
    fn limited(most: usize, queue: usize) -> Pool {
        let mut key = pool().key.clone();
        key.versions = Versions::Either;
        let limits = Limits {
            open: Some((most, queue)),
            idle: 8,
            idle_time: Duration::MAX,
            age: Duration::MAX,
            ping_after: Duration::ZERO,
        };
        Pool::new(key, limits)
    }

    /// An idle connection over HTTP/1.1, in a free slot; and its other side.
    async fn idle(pool: &Pool) -> UnixStream {
        let slot = pool.slots.as_ref().unwrap().free();
        assert!(slot.is_some());
        let (ours, theirs) = pair().await;
        pool.put(Open::by_us(Line::new(ours, slot)));
        theirs
    }

    /// What a request gets that may have to close what is idle.
    fn given(pool: &Pool, want: Want) -> Option<Given> {
        let mut given = pin!(until_given(pool, pool.slots.as_ref().unwrap(), want));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10 {
            if let Poll::Ready(given) = given.as_mut().poll(&mut cx) {
                return given;
            }
        }
        panic!("it waits for ever");
    }

    /// It never gets what it can't use, over and over; nor is more closed than one.
    #[test]
    fn a_request_for_a_shared_connection_takes_the_slot_of_an_idle_one() {
        with_sockets(async {
            let pool = limited(2, 0);
            let _others = [idle(&pool).await, idle(&pool).await];
            let given = given(&pool, Want::Shared);
            assert!(matches!(given, Some(Given::Slot(_))));
            assert!(pool.take_any().is_some() && pool.take_any().is_none());
        });
    }

    #[test]
    fn once_the_origin_wants_http1_it_takes_what_is_idle() {
        with_sockets(async {
            let pool = limited(1, 0);
            let _other = idle(&pool).await;
            pool.multiplex.as_ref().unwrap().found_http1();
            let given = given(&pool, Want::Shared);
            assert!(matches!(given, Some(Given::Open(_))));
        });
    }

    #[test]
    fn one_that_has_ended_while_it_was_idle_leaves_its_slot() {
        with_sockets(async {
            let pool = limited(1, 0);
            drop(idle(&pool).await);
            turn().await;
            let given = given(&pool, Want::Http1);
            assert!(matches!(given, Some(Given::Slot(_))));
        });
    }

    /// What it has closed makes room for it, though nobody may wait.
    #[test]
    fn a_fresh_connection_takes_the_slot_of_an_idle_one_without_a_queue() {
        with_sockets(async {
            let pool = limited(1, 0);
            let _other = idle(&pool).await;
            let slot = given(&pool, Want::Fresh);
            assert!(matches!(slot, Some(Given::Slot(_))));
            assert!(given(&pool, Want::Fresh).is_none(), "nobody may wait");
        });
    }

    fn pool() -> Rc<Pool> {
        let matcher = RouteMatch {
            host: None,
            path: PathMatch::Prefix(String::new()),
            methods: Vec::new(),
            headers: Vec::new(),
        };
        sample::route("sample", matcher).pool.clone()
    }

    fn waiting<'a>(pool: &'a Pool, slots: &'a Slots) -> Option<Pin<Box<Waiting<'a>>>> {
        let waiter = slots.queue_up(false)?;
        Some(Box::pin(Waiting {
            pool,
            slots,
            waiter,
        }))
    }

    fn poll(waiting: &mut Pin<Box<Waiting<'_>>>) -> Option<Slot> {
        match waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Given::Slot(slot)) => Some(slot),
            Poll::Ready(_) => panic!("nothing but slots are given here"),
            Poll::Pending => None,
        }
    }

    #[test]
    fn whoever_waits_longest_is_first() {
        let (pool, slots) = (pool(), Slots::new(1, 2));
        let slot = slots.free().unwrap();
        assert!(slots.free().is_none());
        let mut first = waiting(&pool, &slots).unwrap();
        let mut second = waiting(&pool, &slots).unwrap();
        assert!(waiting(&pool, &slots).is_none(), "two may wait");
        assert!(poll(&mut second).is_none() && poll(&mut first).is_none());
        drop(slot);
        assert!(slots.free().is_none(), "nobody overtakes");
        assert!(poll(&mut second).is_none());
        let slot = poll(&mut first).unwrap();
        drop(slot);
        assert!(poll(&mut second).is_some());
        drop((first, second));
        assert!(slots.free().is_some());
    }

    #[test]
    fn what_was_given_to_one_that_is_gone_goes_to_the_next() {
        let (pool, slots) = (pool(), Slots::new(1, 3));
        let slot = slots.free().unwrap();
        let first = waiting(&pool, &slots).unwrap();
        let second = waiting(&pool, &slots).unwrap();
        let mut third = waiting(&pool, &slots).unwrap();
        drop(second);
        drop(slot);
        drop(first);
        assert!(poll(&mut third).is_some());
    }

    proptest! {
        #[test]
        fn none_is_lost_and_none_too_many(most in 1_usize..4, steps in proptest::collection::vec(any::<(u8, u8)>(), 0..200)) {
            let (pool, slots) = (pool(), Slots::new(most, 5));
            let (mut held, mut waits) = (Vec::new(), Vec::new());
            for (what, which) in steps {
                let at = |length: usize| usize::from(which) % length;
                match what % 4 {
                    0 => match slots.free() {
                        Some(slot) => held.push(slot),
                        None => waits.extend(waiting(&pool, &slots)),
                    },
                    1 if !held.is_empty() => drop(held.swap_remove(at(held.len()))),
                    2 if !waits.is_empty() => drop(waits.swap_remove(at(waits.len()))),
                    _ if !waits.is_empty() => {
                        let at = at(waits.len());
                        if let Some(slot) = poll(&mut waits[at]) {
                            held.push(slot);
                            waits.swap_remove(at);
                        }
                    }
                    _ => {}
                }
                assert!(held.len() <= most);
                assert!(!slots.are_awaited() || slots.open.get() == most);
            }
            // Whoever still waits gets one, once all who hold one are done.
            held.clear();
            while !waits.is_empty() {
                let before = waits.len();
                waits.retain_mut(|wait| poll(wait).is_none());
                assert!(waits.len() < before, "{before} wait for ever");
            }
            assert_eq!(slots.open.get(), 0);
        }
    }
}
