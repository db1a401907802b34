//! For how long the token that a running stream was opened with is good.
//!
//! Only streams of routes with `on_expiry: close` hold a lease; the worker's
//! tick looks at each.

use super::credential::is_past;
use super::route::WorkerRoute;
use super::worker::Worker;
use crate::telemetry::requests::StreamEnd;
use crate::token::{Credential, Published, Unavailable};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// A stream's hold on the token that it was opened with.
pub struct Lease {
    route: Rc<WorkerRoute>,
    /// What the stream runs on, or another of the same token.
    used: RefCell<Arc<Credential>>,
    /// Why the token is no longer good, and since when.
    ended: Cell<Option<(StreamEnd, Instant)>>,
    overdue: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// The stream is to end as soon as it decently can.
    Ending(StreamEnd),
    /// It had its time for that.
    Overdue(StreamEnd),
}

impl Lease {
    /// How it stands now; the calling task is woken when that changes.
    pub fn standing(&self, cx: &Context<'_>) -> Standing {
        match (self.ended.get(), self.overdue.get()) {
            (Some((why, _)), true) => return Standing::Overdue(why),
            (Some((why, _)), false) => {
                self.wake_with(cx);
                return Standing::Ending(why);
            }
            (None, _) => self.wake_with(cx),
        }
        Standing::Good
    }

    /// Counts and tells that the stream has been ended.
    pub fn close(&self, why: StreamEnd) {
        ended(&self.route, why);
    }

    fn wake_with(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    /// The waker of a stream that has to look at its lease again.
    fn look(&self, worker: &Worker, now: Instant) -> Option<Waker> {
        match self.ended.get() {
            None => self.ended.set(Some((self.why_ended(worker, now)?, now))),
            Some((_, since)) => {
                let grace = self.route.route.streams.expiry_grace;
                if self.overdue.get() || now.saturating_duration_since(since) < grace {
                    return None;
                }
                self.overdue.set(true);
            }
        }
        self.waker.borrow_mut().take()
    }

    fn why_ended(&self, worker: &Worker, now: Instant) -> Option<StreamEnd> {
        let published = self.route.credential.with(|published| match published {
            Published::Valid(newest) => self.superseded(newest),
            Published::Unavailable(why) => is_gone(why).then_some(StreamEnd::Revoked),
        });
        let expiry = self.used.borrow().expiry;
        match expiry.is_some_and(|expiry| is_past(worker, expiry, now)) {
            true => Some(StreamEnd::Expired),
            false => published,
        }
    }

    /// A token that came ahead of the old one's expiry ends nothing; one of the
    /// same text is the old one, with another expiry.
    fn superseded(&self, newest: &Arc<Credential>) -> Option<StreamEnd> {
        let mut used = self.used.borrow_mut();
        if Arc::ptr_eq(&used, newest) {
            return None;
        }
        if used.token == newest.token {
            *used = newest.clone();
            return None;
        }
        (used.generation < newest.void_before).then_some(StreamEnd::Replaced)
    }
}

/// Nobody holds the token any more.
fn is_gone(why: &Unavailable) -> bool {
    match why {
        Unavailable::NotCreated
        | Unavailable::NotConnected
        | Unavailable::ReconnectRequired { .. } => true,
        Unavailable::Waiting | Unavailable::Pausing { .. } | Unavailable::Misconfigured { .. } => {
            false
        }
    }
}

/// Counts and tells that a stream was ended before its own end.
pub fn ended(route: &WorkerRoute, why: StreamEnd) {
    route.stats.borrow_mut().stream_closed(why);
    tracing::info!(
        "a stream of route {} was closed: {}",
        route.name,
        why.in_words()
    );
}

/// The leases of one worker.
#[derive(Default)]
pub struct Leases(RefCell<Vec<Weak<Lease>>>);

impl Leases {
    /// A lease of this credential, looked at until it is dropped.
    pub fn open(&self, route: &Rc<WorkerRoute>, used: &Arc<Credential>) -> Rc<Lease> {
        let lease = Rc::new(Lease {
            route: route.clone(),
            used: RefCell::new(used.clone()),
            ended: Cell::new(None),
            overdue: Cell::new(false),
            waker: RefCell::default(),
        });
        self.0.borrow_mut().push(Rc::downgrade(&lease));
        lease
    }

    /// Looks at each of them.
    pub fn sweep(&self, worker: &Worker, now: Instant) {
        if self.0.borrow().is_empty() {
            return;
        }
        let mut wakers = Vec::new();
        self.0.borrow_mut().retain(|lease| {
            let lease = lease.upgrade();
            wakers.extend(lease.as_ref().and_then(|lease| lease.look(worker, now)));
            lease.is_some()
        });
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// How long a WebSocket may take to say goodbye, once it can.
pub const FAREWELL: Duration = Duration::from_secs(2);
