//! Client connections: each served by one worker, watched for silence.

use super::connection::{Close, Connection, Phase};
use super::http1::caller::{self, End, Wire};
use super::http2;
use super::secure::{self, Opening};
use super::worker::Worker;
use crate::net::stream::ClientStream;
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Serves a connection to its end. While it is silent, at first or for a while
/// between requests, no memory is held for them.
pub async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, opening: Opening) {
    let Some(stream) = secure::open(&worker, &connection, opening).await else {
        return;
    };
    let wire = Rc::new(Wire::new(connection.clone(), stream));
    // Whoever still reads a body from it has a part in it.
    let taken = Taken(&wire);
    // Whoever opened it may have said so: TLS, by ALPN.
    let mut end = match connection.http2() {
        Some(_) => End::Http2,
        None => End::Rests,
    };
    while end == End::Rests {
        if !readable(&wire).await {
            return;
        }
        connection.holds_buffers.set(true);
        end = Box::pin(caller::requests(&worker, &connection, &wire)).await;
        connection.holds_buffers.set(false);
        if end == End::Rests {
            tracing::trace!("the connection of {} rests", connection.peer.as_str());
        }
    }
    let parts = taken.0.take();
    if let Some(tunnel) = connection.take_tunnel() {
        let parts = parts.filter(|_| end == End::Onward);
        return Box::pin(tunnel.begin(&worker, &connection, parts)).await;
    }
    if let (End::Http2, Some((stream, rest))) = (end, parts) {
        let io = Watched {
            stream,
            rest,
            connection: connection.clone(),
        };
        Box::pin(http2::serve(worker, connection, io)).await;
    }
}

/// Takes the stream off a connection that ends, however that comes about.
struct Taken<'w>(&'w Wire);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.take();
    }
}

/// Waits until there is something to read; false when the connection is to
/// be closed before.
async fn readable(wire: &Wire) -> bool {
    let connection = &wire.connection;
    poll_fn(|cx| {
        connection.wake_with(cx);
        match connection.close.get() {
            Close::No | Close::Softly => wire.poll_readable(cx).map(|()| true),
            // The end of an answer may still be on its way to a slow caller.
            Close::Gently => wire.poll_shutdown(cx).map(|_| false),
            Close::Now => Poll::Ready(false),
        }
    })
    .await
}

/// The stream of a caller that speaks HTTP/2, of which is noted what comes and goes.
pub(super) struct Watched {
    pub(super) stream: ClientStream,
    /// What was read before and not yet used.
    pub(super) rest: Bytes,
    pub(super) connection: Rc<Connection>,
}

impl Watched {
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
        let read = match self.rest.is_empty() {
            true => ready!(Pin::new(&mut self.stream).poll_read(cx, buf)),
            false => {
                let length = self.rest.len().min(buf.remaining());
                buf.put_slice(&self.rest.split_to(length));
                Ok(())
            }
        };
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
