//! Client connections: each served by one worker, watched for silence.

use super::connection::{Close, Connection, Phase};
use super::forward::forward;
use super::http2;
use super::preface;
use super::secure::{self, Opening};
use super::worker::Worker;
use crate::net::stream::ClientStream;
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Serves a connection to its end. While it is silent, at first or for a while
/// between requests, hyper and its buffers have no part in it.
pub async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, opening: Opening) {
    let Some(stream) = secure::open(&worker, &connection, opening).await else {
        return;
    };
    let mut io = Watched {
        stream,
        rest: Bytes::new(),
        last_word: Vec::new(),
        connection: connection.clone(),
    };
    // Whoever opened it may have said so: TLS, by ALPN.
    while connection.http2().is_some() || io.readable().await {
        if connection.http2().is_some() {
            return Box::pin(http2::serve(worker, connection, io)).await;
        }
        match stretch(&worker, &connection, io).await {
            Some(resting) => io = resting,
            None => return,
        }
    }
}

/// Serves requests by HTTP/1.1 until the connection ends, or gives it back when
/// it rests or turns out to speak HTTP/2.
async fn stretch(worker: &Rc<Worker>, connection: &Rc<Connection>, io: Watched) -> Option<Watched> {
    let service = service_fn(|request| forward(worker.clone(), connection.clone(), request));
    let mut http = Box::new(worker.http().serve_connection(io, service));
    connection.holds_buffers.set(true);
    let (mut failed, mut ended) = (false, false);
    let rests = poll_fn(|cx| {
        connection.wake_with(cx);
        match connection.close.get() {
            Close::No | Close::Softly => {}
            Close::Now => return Poll::Ready(false),
            Close::Gently => Pin::new(&mut *http).graceful_shutdown(),
        }
        let asked = connection.rest.take();
        if let Poll::Ready(end) = Pin::new(&mut *http).poll(cx) {
            failed = end.is_err();
            ended = true;
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
    if let Some(tunnel) = connection.take_tunnel() {
        let agreed = (ended && !failed).then(|| http.into_parts());
        let parts = agreed.map(|parts| (parts.io.stream, parts.io.rest, parts.read_buf));
        Box::pin(tunnel.begin(worker, connection, parts)).await;
        return None;
    }
    if failed {
        // Its error is the client's doing, and most often the client is gone.
        let parts = http.into_parts();
        let io = Watched {
            rest: parts.read_buf,
            ..parts.io
        };
        return Box::pin(preface::look(worker, io)).await;
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
pub(super) struct Watched {
    pub(super) stream: ClientStream,
    /// What was read before and not yet used.
    pub(super) rest: Bytes,
    /// What hyper said before it could read anything.
    pub(super) last_word: Vec<u8>,
    pub(super) connection: Rc<Connection>,
}

impl Watched {
    /// Waits until there is something to read; false when the connection is to
    /// be closed before.
    async fn readable(&mut self) -> bool {
        poll_fn(|cx| {
            self.connection.wake_with(cx);
            match self.connection.close.get() {
                Close::No | Close::Softly if !self.rest.is_empty() => Poll::Ready(true),
                Close::No | Close::Softly => self.stream.poll_readable(cx).map(|()| true),
                // The end of an answer may still be on its way to a slow caller.
                Close::Gently => Pin::new(&mut self.stream).poll_shutdown(cx).map(|_| false),
                Close::Now => Poll::Ready(false),
            }
        })
        .await
    }

    /// hyper speaks before it is asked only when it can make nothing of what
    /// came; that may be HTTP/2, whose caller would read no other words.
    #[cold]
    fn hold_back(&mut self, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let before = self.last_word.len();
        for buf in bufs {
            self.last_word.extend_from_slice(buf);
        }
        Poll::Ready(Ok(self.last_word.len() - before))
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
        if self.connection.is_unheard() {
            return self.hold_back(&[IoSlice::new(buf)]);
        }
        self.connection.unflushed.set(true);
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.taken(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.connection.is_unheard() {
            return self.hold_back(bufs);
        }
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
        if !self.last_word.is_empty() {
            return Poll::Ready(Ok(()));
        }
        // It ends, and must not rest before it has, whatever a flush said.
        self.connection.unflushed.set(true);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
