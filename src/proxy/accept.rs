//! Client connections: each served by one worker, watched for silence.

use super::callers::Listener;
use super::forward::forward;
use super::worker::Worker;
use crate::net::listen::Accepted;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

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
    /// The client's address, for the log.
    pub peer: Box<str>,
    pub listener: Rc<Listener>,
    phase: Cell<Phase>,
    /// When a sweep first saw the connection in its phase: a request reads no
    /// clock for it.
    since: Cell<Option<Instant>>,
    close: Cell<Close>,
    /// A request has come over it.
    used: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Marks its connection as busy while it lives.
pub struct InRequest(Rc<Connection>);

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

impl Connection {
    #[must_use]
    pub fn new(peer: IpAddr, listener: Rc<Listener>) -> Self {
        Self {
            peer: peer.to_canonical().to_string().into(),
            listener,
            phase: Cell::new(Phase::Idle),
            since: Cell::new(None),
            close: Cell::new(Close::No),
            used: Cell::new(false),
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

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(None);
    }

    /// Closes it when it has been silent for too long.
    pub fn sweep(&self, now: Instant, worker: &Worker) {
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        let limit = match self.phase.get() {
            Phase::Request => return,
            Phase::Head => worker.limits.header_timeout,
            Phase::Idle => worker.limits.idle_timeout,
        };
        if now.saturating_duration_since(since) >= limit {
            self.close(Close::Now);
        }
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

    fn close(&self, how: Close) {
        self.close.set(how);
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

/// Serves a connection to its end.
pub async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, accepted: Accepted) {
    let Ok(stream) = accepted.into_stream() else {
        return;
    };
    let io = Watched {
        stream,
        connection: connection.clone(),
    };
    let service = service_fn(|request| forward(worker.clone(), connection.clone(), request));
    let mut http = pin!(worker.http.serve_connection(io, service));
    poll_fn(|cx| {
        connection.wake_with(cx);
        match connection.close.get() {
            Close::No => {}
            Close::Now => return Poll::Ready(()),
            Close::Gently => http.as_mut().graceful_shutdown(),
        }
        // Its error is the client's doing, and the client is gone.
        http.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// A client's stream that notices when a head begins to arrive.
struct Watched<S> {
    stream: S,
    connection: Rc<Connection>,
}

impl<S: Read + Unpin> Read for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if self.connection.phase.get() == Phase::Idle {
            self.connection.enter(Phase::Head);
        }
        Poll::Ready(read)
    }
}

impl<S: Write + Unpin> Write for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
