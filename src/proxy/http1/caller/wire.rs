//! A caller's connection as its requests share it: the stream, what was read of it
//! and not used, and the body that may still be on its way.

use super::body::Broken;
use super::head::{Framing, Head, Most};
use super::input::{Incoming, Input, NoHead, poll_read};
use super::late::Late;
use super::out::Out;
use crate::net::splice::Pipe;
use crate::net::stream::ClientStream;
use crate::proxy::connection::{Connection, Phase};
use crate::proxy::http1::outflow::Outflow;
use crate::proxy::http1::scratch;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use hyper::rt::Write;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The connection, of which a request's body has a part.
pub struct Wire {
    pub connection: Rc<Connection>,
    io: RefCell<Input>,
    pub(super) late: RefCell<Late>,
    /// Its own task is at work on it, and need not be woken.
    attended: Cell<bool>,
}

impl Wire {
    #[must_use]
    pub fn new(connection: Rc<Connection>, stream: ClientStream) -> Self {
        Self {
            connection,
            io: RefCell::new(Input::new(stream)),
            late: RefCell::default(),
            attended: Cell::new(false),
        }
    }

    /// Takes the stream, and what was read of it and not used. Whoever still reads a
    /// body gets no more of it.
    pub fn take(&self) -> Option<(ClientStream, Bytes)> {
        let mut io = self.io.borrow_mut();
        if !matches!(io.body, Incoming::Ended) {
            io.body = Incoming::Broken;
        }
        let (stream, reader) = (io.stream.take(), io.reader.take());
        let kept = std::mem::take(&mut io.kept).freeze();
        drop(io);
        if let Some(reader) = reader {
            reader.wake();
        }
        stream.map(|stream| (stream, kept))
    }

    /// Ready when there is something to read, or to look at.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut io = self.io.borrow_mut();
        match io.kept.len() > io.looked {
            true => Poll::Ready(()),
            false => match &mut io.stream {
                Some(stream) => stream.poll_readable(cx),
                None => Poll::Ready(()),
            },
        }
    }

    /// True where nothing was read that is not used.
    #[must_use]
    pub fn is_at_start(&self) -> bool {
        self.io.borrow().kept.is_empty()
    }

    /// Reads up to the end of a head.
    pub fn poll_head(
        &self,
        cx: &mut Context<'_>,
        (most, spells): (Most, bool),
        headers: &mut HeaderMap,
    ) -> Poll<Result<Head, NoHead>> {
        let mut io = self.io.borrow_mut();
        if let Some(found) = io.kept_head(most, spells, headers) {
            return Poll::Ready(found);
        }
        // It may have come together with the request before.
        io.pass_empty_lines();
        if !io.kept.is_empty() {
            self.begins_head();
        }
        loop {
            if let Some(found) = ready!(io.poll_more_of_head(cx, most, spells, headers)) {
                return Poll::Ready(found);
            }
            self.begins_head();
        }
    }

    /// Whoever has begun with a head is to come to its end.
    pub fn begins_head(&self) {
        if self.connection.phase.get() == Phase::Idle {
            self.connection.enter(Phase::Head);
        }
    }

    /// The body of the request whose head has come; it is `held` until it is
    /// [let go](Self::let_go).
    pub fn begin_body(&self, framing: Framing, most: Most, expects: bool) {
        self.io.borrow_mut().begin(framing, most, expects);
    }

    /// Nobody will read the body.
    pub fn let_go(&self) {
        let mut io = self.io.borrow_mut();
        io.is_held = false;
        // Else nobody waits for it.
        let goes_on = !matches!(io.body, Incoming::Ended);
        drop(io);
        if goes_on {
            self.call();
        }
    }

    /// How much of the body is to come.
    #[must_use]
    pub fn body_hint(&self) -> SizeHint {
        match &self.io.borrow().body {
            Incoming::Ended => SizeHint::with_exact(0),
            Incoming::Left(left) => SizeHint::with_exact(*left),
            Incoming::Chunks(_) | Incoming::Broken => SizeHint::default(),
        }
    }

    #[must_use]
    pub fn is_body_ended(&self) -> bool {
        matches!(self.io.borrow().body, Incoming::Ended)
    }

    /// The next piece of the body.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut io = self.io.borrow_mut();
        if std::mem::take(&mut io.expects) {
            io.interim = CONTINUE;
            drop(io);
            // Its own task writes to it.
            self.call();
            io = self.io.borrow_mut();
        }
        let Poll::Ready(frame) = io.poll_body(cx) else {
            match &mut io.reader {
                Some(reader) => reader.clone_from(cx.waker()),
                reader => *reader = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        };
        // Its silence, if it is one, begins anew.
        self.connection.since.set(None);
        if let Some(Err(_)) = &frame {
            io.body = Incoming::Broken;
        }
        if matches!(io.body, Incoming::Ended | Incoming::Broken) {
            io.tidy();
            io.reader = None;
            drop(io);
            self.call();
        }
        Poll::Ready(frame)
    }

    /// What is owed of a 100; from here on none is said.
    pub fn take_interim(&self) -> &'static [u8] {
        let mut io = self.io.borrow_mut();
        io.expects = false;
        std::mem::take(&mut io.interim)
    }

    /// Says the 100 that is owed.
    pub fn poll_interim(&self, cx: &mut Context<'_>) {
        if self.poll_late(cx).is_pending() {
            return;
        }
        let mut io = self.io.borrow_mut();
        let io = &mut *io;
        // Where that fails, so will the answer.
        let Some(stream) = &mut io.stream else { return };
        while !io.interim.is_empty() {
            let written = Pin::new(&mut *stream).poll_write(cx, io.interim);
            let Poll::Ready(Ok(written @ 1..)) = written else {
                return;
            };
            io.interim = &io.interim[written..];
            io.needs_flush = true;
        }
        if io.needs_flush && Pin::new(stream).poll_flush(cx).is_ready() {
            io.needs_flush = false;
        }
    }

    /// Looks whether the caller is gone while its answer is made or written. It may
    /// send its next request meanwhile, and is not read further then.
    pub fn is_gone(&self, cx: &mut Context<'_>) -> bool {
        let mut io = self.io.borrow_mut();
        let io = &mut *io;
        if !matches!(io.body, Incoming::Ended) || !io.kept.is_empty() {
            return false;
        }
        scratch::reading(|space| match poll_read(&mut io.stream, cx, space) {
            Poll::Ready(Ok(read @ 1..)) => {
                io.kept.extend_from_slice(&space[..read]);
                io.looked = 0;
                false
            }
            Poll::Ready(_) => true,
            Poll::Pending => false,
        })
    }

    /// Ready when nothing of the body is to come any more; false where what comes
    /// next can't be told from it. A body that nobody reads is passed over where
    /// the rest of it is here.
    pub fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut io = self.io.borrow_mut();
        match io.body {
            Incoming::Ended => Poll::Ready(true),
            Incoming::Broken => Poll::Ready(false),
            _ if io.is_held => Poll::Pending,
            _ => Poll::Ready(io.pass_over(cx)),
        }
    }

    /// Writes all of it.
    pub fn poll_write(&self, cx: &mut Context<'_>, out: &mut Out) -> Poll<io::Result<()>> {
        ready!(self.poll_late(cx))?;
        self.connection.unflushed.set(true);
        self.poll_flow(cx, &mut out.flow)
    }

    pub(super) fn poll_flow(
        &self,
        cx: &mut Context<'_>,
        flow: &mut Outflow,
    ) -> Poll<io::Result<()>> {
        let mut io = self.io.borrow_mut();
        while !flow.is_written() {
            ready!(flow.poll_some(io.open()?, cx))?;
            // The caller's silence ends with every byte that it takes.
            self.connection.since.set(None);
        }
        Poll::Ready(Ok(()))
    }

    /// True where the kernel may move content by itself.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let mut io = self.io.borrow_mut();
        io.open().is_ok_and(|stream| stream.plain().is_some())
    }

    /// Writes all that is in a pipe, behind what was written.
    pub fn poll_drain(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<()>> {
        self.connection.unflushed.set(true);
        let mut io = self.io.borrow_mut();
        while !pipe.is_empty() {
            let stream = io.open()?.plain().ok_or(io::ErrorKind::Unsupported)?;
            ready!(pipe.poll_drain(stream, cx))?;
            self.connection.since.set(None);
        }
        Poll::Ready(Ok(()))
    }

    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_late(cx))?;
        self.poll_flush_stream(cx)
    }

    pub(super) fn poll_flush_stream(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(self.io.borrow_mut().open()?).poll_flush(cx))?;
        self.connection.unflushed.set(false);
        Poll::Ready(Ok(()))
    }

    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_late(cx))?;
        // It ends, and must not rest before it has, whatever a flush said.
        self.connection.unflushed.set(true);
        Pin::new(self.io.borrow_mut().open()?).poll_shutdown(cx)
    }

    /// Whether pieces go out together without being copied.
    #[must_use]
    pub fn is_vectored(&self) -> bool {
        let io = self.io.borrow();
        io.stream.as_ref().is_some_and(Write::is_write_vectored)
    }

    /// Looks at what was read and not used.
    pub fn look<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.io.borrow().kept)
    }

    /// Reads some more; false at the caller's end.
    pub fn poll_more(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut io = self.io.borrow_mut();
        let io = &mut *io;
        scratch::reading(|space| {
            let read = ready!(poll_read(&mut io.stream, cx, space)).unwrap_or(0);
            io.kept.extend_from_slice(&space[..read]);
            Poll::Ready(read > 0)
        })
    }

    /// Says the last words, and ends the connection.
    pub async fn say(&self, words: Vec<u8>) {
        let mut out = Out::new(self.is_vectored());
        out.flow.copy(&words, b"");
        // The caller is gone where one of these fails.
        if poll_fn(|cx| self.poll_write(cx, &mut out)).await.is_ok() {
            let _ = poll_fn(|cx| self.poll_flush(cx)).await;
            let _ = poll_fn(|cx| self.poll_shutdown(cx)).await;
        }
    }

    /// Does something in its own task, which then looks at it anyway.
    pub fn attend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.attended.set(true);
        let done = work();
        self.attended.set(false);
        done
    }

    /// Has its own task look at it.
    fn call(&self) {
        if !self.attended.get() {
            self.connection.wake();
        }
    }
}
