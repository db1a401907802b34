//! Client connections: each served by one worker, watched for silence.

use super::callers::Listener;
use super::forward::forward;
use super::handshake;
use super::peer::Peer;
use super::preface;
use super::worker::Worker;
use crate::net::listen::{self, Accepted};
use crate::net::stream::ClientStream;
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A head has begun to arrive.
    Head,
    /// A request is being answered.
    Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    No,
    /// After the request that is being answered.
    Gently,
    Now,
}

/// A client's connection.
pub struct Connection {
    pub peer: Peer,
    pub listener: Rc<Listener>,
    phase: Cell<Phase>,
    /// When a sweep first saw the connection in its phase: a request reads no
    /// clock for it.
    since: Cell<Option<Instant>>,
    close: Cell<Close>,
    /// A request has come over it.
    used: Cell<bool>,
    /// Something written may still be on its way.
    unflushed: Cell<bool>,
    /// Bodies of requests that may not have been read to their end.
    bodies: Cell<usize>,
    /// Where a request ended is in doubt: what follows is none.
    doubtful: Cell<bool>,
    /// hyper looks after it, with a buffer of its own.
    holds_buffers: Cell<bool>,
    /// It has been idle for a while and is to give its buffers back.
    rest: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Marks its connection as busy while it lives.
pub struct InRequest(Rc<Connection>);

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

/// Says that a request's body may not have been read to its end, while it lives.
///
/// hyper looks for the end of trailers by CR LF alone, and then reads their
/// lines by bare LFs too: a line of them may have swallowed the next request.
/// So where there were trailers, or chunks that nobody has read to their end,
/// the connection takes no further request.
pub struct Reading {
    connection: Rc<Connection>,
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
        self.connection.take_no_more();
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
            unflushed: Cell::new(false),
            bodies: Cell::new(0),
            doubtful: Cell::new(false),
            holds_buffers: Cell::new(false),
            rest: Cell::new(false),
            waker: RefCell::default(),
        }
    }

    /// A request has begun.
    #[must_use]
    pub fn in_request(self: &Rc<Self>) -> InRequest {
        self.used.set(true);
        self.enter(Phase::Request);
        InRequest(self.clone())
    }

    /// A request has a body, in chunks or of a length.
    #[must_use]
    pub fn reading(self: &Rc<Self>, in_chunks: bool) -> Reading {
        self.bodies.set(self.bodies.get() + 1);
        Reading {
            connection: self.clone(),
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

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(None);
    }

    /// Closes it when it has been silent for too long.
    pub fn sweep(&self, now: Instant, worker: &Worker) {
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        let limit = match self.phase.get() {
            // Whoever takes nothing of an answer is as good as gone.
            Phase::Request if self.unflushed.get() => worker.limits.idle_timeout,
            Phase::Request => return self.since.set(None),
            Phase::Head => worker.limits.header_timeout,
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

    /// Between requests, with nothing on its way in either direction. An answer
    /// may be out long before its request's body is in: what follows then is
    /// the rest of that body, which only hyper can tell from a request.
    fn is_at_rest(&self) -> bool {
        self.phase.get() == Phase::Idle && !self.unflushed.get() && self.bodies.get() == 0
    }

    /// Closes it once it is between requests. hyper waits for the first one of
    /// a connection that has had none; we don't.
    pub fn close_gently(&self) {
        let never_used = !self.used.get() && self.phase.get() == Phase::Idle;
        self.close(if never_used {
            Close::Now
        } else {
            Close::Gently
        });
    }

    /// Does `work`, unless the connection is to be closed first.
    pub async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.wake_with(cx);
            match self.close.get() {
                Close::No => work.as_mut().poll(cx).map(Some),
                _ => Poll::Ready(None),
            }
        })
        .await
    }

    fn close(&self, how: Close) {
        self.close.set(how);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn wake_with(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }
}

/// How long a last word may take that the caller does not read.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// How long a connection is idle before it gives its buffers back.
const REST_AFTER: Duration = Duration::from_secs(1);

/// Serves a connection to its end. While it is silent, at first or for a while
/// between requests, hyper and its buffers have no part in it.
pub async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, accepted: Accepted) {
    let Some(stream) = handshake::open(&worker, &connection, accepted).await else {
        return;
    };
    let mut io = Watched {
        stream,
        rest: Bytes::new(),
        connection: connection.clone(),
    };
    while io.readable().await {
        match stretch(&worker, &connection, io).await {
            Some(resting) => io = resting,
            None => return,
        }
    }
}

/// Serves requests until the connection ends, or gives it back when it rests.
async fn stretch(worker: &Rc<Worker>, connection: &Rc<Connection>, io: Watched) -> Option<Watched> {
    let service = service_fn(|request| forward(worker.clone(), connection.clone(), request));
    let mut http = Box::new(worker.http.serve_connection(io, service));
    connection.holds_buffers.set(true);
    let mut failed = false;
    let rests = poll_fn(|cx| {
        connection.wake_with(cx);
        match connection.close.get() {
            Close::No => {}
            Close::Now => return Poll::Ready(false),
            Close::Gently => Pin::new(&mut *http).graceful_shutdown(),
        }
        let asked = connection.rest.take();
        if let Poll::Ready(ended) = Pin::new(&mut *http).poll(cx) {
            failed = ended.is_err();
            return Poll::Ready(false);
        }
        // Only after hyper has done all that it could.
        match asked && connection.close.get() == Close::No && connection.is_at_rest() {
            true => Poll::Ready(true),
            false => Poll::Pending,
        }
    });
    let rests = rests.await;
    connection.holds_buffers.set(false);
    if failed {
        // Its error is the client's doing, and most often the client is gone.
        let mut parts = http.into_parts();
        let refusal = preface::refuse(&mut parts.io, &parts.read_buf);
        let _ = worker.deadlines.within(REFUSAL_TIME, refusal).await;
        return None;
    }
    rests.then(|| {
        tracing::trace!("the connection of {} rests", connection.peer.as_str());
        let parts = http.into_parts();
        Watched {
            rest: parts.read_buf,
            ..parts.io
        }
    })
}

/// A client's stream that notices when a head begins to arrive.
struct Watched {
    stream: ClientStream,
    /// What was read before and not yet used.
    rest: Bytes,
    connection: Rc<Connection>,
}

impl Watched {
    /// Waits until there is something to read; false when the connection is to
    /// be closed before.
    async fn readable(&mut self) -> bool {
        poll_fn(|cx| {
            self.connection.wake_with(cx);
            match self.connection.close.get() {
                Close::No if !self.rest.is_empty() => Poll::Ready(true),
                Close::No => self.stream.poll_readable(cx).map(|()| true),
                // The end of an answer may still be on its way to a slow caller.
                Close::Gently => Pin::new(&mut self.stream).poll_shutdown(cx).map(|_| false),
                Close::Now => Poll::Ready(false),
            }
        })
        .await
    }

    /// The caller's silence ends with every byte that it takes.
    fn taken(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.connection.since.set(None);
        }
        written
    }
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.rest.is_empty() {
            let length = self.rest.len().min(buf.remaining());
            buf.put_slice(&self.rest.split_to(length));
            if self.connection.phase.get() == Phase::Idle {
                self.connection.enter(Phase::Head);
            }
            return Poll::Ready(Ok(()));
        }
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if self.connection.phase.get() == Phase::Idle {
            self.connection.enter(Phase::Head);
        }
        Poll::Ready(read)
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.unflushed.set(true);
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.taken(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.unflushed.set(true);
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.taken(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.connection.unflushed.set(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It ends, and must not rest before it has, whatever a flush said.
        self.connection.unflushed.set(true);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
