//! What a worker knows of a client's connection, whichever HTTP it speaks.

use super::callers::Listener;
use super::onward::Onward;
use super::peer::Peer;
use super::permits::Permit;
use super::signs::{Doing, Signs, Verdict};
use super::within::Origin;
use super::worker::Worker;
use crate::net::listen;
use crate::net::time::Deadlines;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests.
    Idle,
    /// A head has begun to arrive.
    Head,
    /// A request is being answered.
    Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    No,
    /// After one more request, or a while of silence: one may be on its way.
    Softly,
    /// After the request that is being answered.
    Gently,
    Now,
}

/// A client's connection.
pub struct Connection {
    pub peer: Peer,
    pub listener: Rc<Listener>,
    pub(super) phase: Cell<Phase>,
    /// When a sweep first saw the connection in its phase: a request reads no
    /// clock for it.
    pub(super) since: Cell<Option<Instant>>,
    pub(super) close: Cell<Close>,
    /// A request has come over it, or the words of HTTP/2.
    used: Cell<bool>,
    /// Requests that are being answered.
    running: Cell<usize>,
    /// Something written may still be on its way.
    pub(super) unflushed: Cell<bool>,
    /// Bodies of requests that may not have been read to their end.
    bodies: Cell<usize>,
    /// Where a request ended is in doubt: what follows is none.
    doubtful: Cell<bool>,
    /// Its requests are waited for with memory held for them.
    pub(super) holds_buffers: Cell<bool>,
    /// It has been idle for a while and is to give that memory back.
    pub(super) rest: Cell<bool>,
    /// What goes on over it once the answer under way is written.
    tunnel: RefCell<Option<Box<Onward>>>,
    /// Whatever still runs over it has to say goodbye.
    farewell: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Of a connection that speaks HTTP/2.
    http2: OnceCell<Box<Signs>>,
    /// Called when its streams are to be cut off, which is noted.
    cut: Notify,
    is_cut_off: Cell<bool>,
    /// Where it goes on as a connection of this origin's.
    origin: OnceCell<Box<Origin>>,
}

/// How long a connection is idle before it gives its memory back.
const REST_AFTER: Duration = Duration::from_secs(1);

/// How long a connection that is to end may be silent between requests.
const LET_GO_AFTER: Duration = Duration::from_secs(1);

/// Marks its connection as busy while it lives. HTTP/2 has many at once.
/// `None`: a tunnel, or one request too many in the process.
pub struct InRequest(Rc<Connection>, Option<Permit>);

impl InRequest {
    #[must_use]
    pub fn connection(&self) -> &Rc<Connection> {
        &self.0
    }

    /// True of a request that may run.
    #[must_use]
    pub fn is_permitted(&self) -> bool {
        self.1.is_some()
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        let running = self.0.running.get() - 1;
        self.0.running.set(running);
        if running == 0 {
            self.0.enter(Phase::Idle);
        }
    }
}

/// Says that a request's body may not have been read to its end, while it lives.
///
/// Where trailers end is what servers agree on least, and of chunks that nobody has
/// read to their end nothing is known. So behind either the connection takes no
/// further request.
pub struct Reading {
    connection: Rc<Connection>,
    in_chunks: bool,
    /// Chunks, and what follows them, may be unread.
    chunks: Cell<bool>,
}

impl Reading {
    /// The body came to its end, without trailers.
    pub fn ended(&self) {
        self.chunks.set(false);
    }

    /// The body came to its end, with trailers.
    pub fn ended_with_trailers(&self) {
        if self.in_chunks {
            self.connection.take_no_more();
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.bodies.set(connection.bodies.get() - 1);
        if self.chunks.get() {
            connection.take_no_more();
        }
    }
}

impl Connection {
    #[must_use]
    pub fn new(peer: listen::Peer, listener: Rc<Listener>) -> Self {
        Self {
            peer: Peer::new(peer),
            listener,
            phase: Cell::new(Phase::Idle),
            since: Cell::new(None),
            close: Cell::new(Close::No),
            used: Cell::new(false),
            running: Cell::new(0),
            unflushed: Cell::new(false),
            bodies: Cell::new(0),
            doubtful: Cell::new(false),
            holds_buffers: Cell::new(false),
            rest: Cell::new(false),
            tunnel: RefCell::default(),
            farewell: Cell::new(false),
            waker: RefCell::default(),
            http2: OnceCell::new(),
            cut: Notify::new(),
            is_cut_off: Cell::new(false),
            origin: OnceCell::new(),
        }
    }

    /// After CONNECT: it goes on as one of this origin's, of which nothing has come.
    pub fn begin_within(&self, origin: Origin) {
        let _ = self.origin.set(Box::new(origin));
        self.used.set(false);
        self.unflushed.set(false);
        self.rest.set(false);
        self.enter(Phase::Idle);
    }

    /// The origin that its caller believes to speak to; `None` where that is the listener.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.get().map(|origin| &**origin)
    }

    /// The scheme of the addresses that its caller calls.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self.origin() {
            Some(_) => "https",
            None => self.listener.scheme(),
        }
    }

    /// From here on it speaks HTTP/2: its preface came, or TLS has settled it.
    pub fn speak_http2(&self) {
        self.used.set(true);
        let _ = self.http2.set(Box::default());
        if self.is_let_go() {
            self.close_gently();
        }
    }

    /// What is seen of its HTTP/2; `None` for HTTP/1.1.
    pub fn http2(&self) -> Option<&Signs> {
        self.http2.get().map(|signs| &**signs)
    }

    /// True when it is to end, and nothing that comes counts any more.
    pub fn is_closing(&self) -> bool {
        matches!(self.close.get(), Close::Gently | Close::Now)
    }

    /// True before anything has come that makes sense.
    pub fn is_unheard(&self) -> bool {
        !self.used.get()
    }

    /// A request has begun, or a tunnel, which has no permit and needs none.
    #[must_use]
    pub fn in_request(self: &Rc<Self>, permit: Option<Permit>) -> InRequest {
        self.used.set(true);
        self.running.set(self.running.get() + 1);
        self.enter(Phase::Request);
        InRequest(self.clone(), permit)
    }

    /// A request has a body, in chunks or in another way that leaves no doubt
    /// where it ends.
    #[must_use]
    pub fn reading(self: &Rc<Self>, in_chunks: bool) -> Reading {
        self.bodies.set(self.bodies.get() + 1);
        Reading {
            connection: self.clone(),
            in_chunks,
            chunks: Cell::new(in_chunks),
        }
    }

    fn take_no_more(&self) {
        self.doubtful.set(true);
        self.close_gently();
    }

    /// True when what comes may be the rest of an earlier request.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.get()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(None);
    }

    /// Closes it when it has been silent for too long.
    pub fn sweep(&self, now: Instant, worker: &Worker) {
        if let Some(signs) = self.http2() {
            return self.sweep_http2(signs, now, worker);
        }
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        let limit = match self.phase.get() {
            // Whoever takes nothing of an answer is as good as gone.
            Phase::Request if self.unflushed.get() => worker.limits.idle_timeout,
            Phase::Request => return self.since.set(None),
            Phase::Head => worker.limits.header_timeout,
            // An answer may still be on its way to a slow caller.
            Phase::Idle if self.is_let_go() && !self.unflushed.get() => LET_GO_AFTER,
            Phase::Idle => worker.limits.idle_timeout,
        };
        let waited = now.saturating_duration_since(since);
        if waited >= limit {
            self.close(Close::Now);
        } else if waited >= REST_AFTER && self.is_at_rest() && self.holds_buffers.get() {
            self.rest.set(true);
            self.wake();
        }
    }

    fn sweep_http2(&self, signs: &Signs, now: Instant, worker: &Worker) {
        let doing = Doing {
            running: self.running.get() > 0,
            unflushed: self.unflushed.get(),
            closing: self.close.get() == Close::Gently,
            taking: &self.since,
        };
        match signs.sweep(now, &worker.limits, &doing) {
            Verdict::Stay => {}
            Verdict::GoAway => self.close_gently(),
            Verdict::End => self.close(Close::Now),
        }
    }

    /// Between requests, with nothing on its way in either direction. An answer
    /// may be out long before its request's body is in: what follows then is
    /// the rest of that body, and no request.
    pub(super) fn is_at_rest(&self) -> bool {
        self.phase.get() == Phase::Idle && !self.unflushed.get() && self.bodies.get() == 0
    }

    /// Closes it once it is between requests; at once, where it has had none.
    pub fn close_gently(&self) {
        let never_used = !self.used.get() && self.phase.get() == Phase::Idle;
        self.close(if never_used {
            Close::Now
        } else {
            Close::Gently
        });
    }

    /// True where something waits for the end of this answer.
    pub(super) fn has_tunnel(&self) -> bool {
        self.tunnel.borrow().is_some()
    }

    /// The connection is a tunnel's from the end of this answer on.
    pub fn hand_over(&self, tunnel: Box<Onward>) {
        self.tunnel.replace(Some(tunnel));
    }

    pub fn take_tunnel(&self) -> Option<Box<Onward>> {
        self.tunnel.take()
    }

    /// The process will not wait much longer.
    pub fn say_farewell(&self) {
        self.farewell.set(true);
        self.wake();
    }

    #[must_use]
    pub fn is_farewell(&self) -> bool {
        self.farewell.get()
    }

    /// Lets a caller who knows of nothing have one more request, which is told
    /// that it was the last; closes it when none comes. HTTP/2 has words for
    /// that (GOAWAY).
    pub fn let_go(&self) {
        if self.http2().is_some() {
            self.close_gently();
        } else if self.close.get() == Close::No {
            self.since.set(None);
            self.close(Close::Softly);
        }
    }

    /// True when a request is the last of its connection.
    #[must_use]
    pub fn is_let_go(&self) -> bool {
        self.close.get() == Close::Softly
    }

    /// True where it is closed from here, whatever runs over it.
    pub fn is_being_closed(&self) -> bool {
        self.close.get() == Close::Now || self.farewell.get() || self.is_cut_off.get()
    }

    fn cut_streams(&self) -> bool {
        let has_any = self.http2.get().is_some() && self.running.get() > 0;
        if has_any {
            self.is_cut_off.set(true);
            self.cut.notify_waiters();
        }
        has_any
    }

    /// Waits until its streams are to be cut off.
    pub async fn is_cut(&self) {
        self.cut.notified().await;
    }

    /// Does `work`, unless the connection is to be closed first.
    pub async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.wake_with(cx);
            match self.close.get() {
                Close::No | Close::Softly => work.as_mut().poll(cx).map(Some),
                Close::Gently | Close::Now => Poll::Ready(None),
            }
        })
        .await
    }

    fn close(&self, how: Close) {
        self.close.set(how);
        self.wake();
    }

    /// Has its task look after it.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// The calling task is woken when something is asked of the connection.
    pub fn wake_with(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }
}

/// How long the resets of streams may take to go out.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Ends the streams of HTTP/2 that are still running, with `CANCEL`, and lets
/// that go out.
pub async fn cut_off(connections: &[Rc<Connection>], deadlines: &Deadlines) {
    let cut = connections.iter().filter(|open| open.cut_streams());
    if cut.count() > 0 {
        let _ = deadlines.within(LAST_WORDS, pending::<()>()).await;
    }
}
