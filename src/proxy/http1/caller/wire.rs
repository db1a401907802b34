//! A caller's connection as its requests share it: the stream, what was read of it
//! and not used, and the body that may still be on its way.

use super::body::Broken;
use super::head::{self, Fault, Framing, Head, Most};
use super::out::Out;
use super::scratch;
use crate::net::stream::ClientStream;
use crate::proxy::connection::{Connection, Phase};
use crate::proxy::http1::chunks::{Chunks, Decoded};
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use hyper::rt::{Read, ReadBuf, Write};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// What is read of a body at once, at first and at most.
const READ: std::ops::RangeInclusive<usize> = 8 * 1024..=64 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

pub struct Wire {
    pub connection: Rc<Connection>,
    io: RefCell<Io>,
    /// Its own task is at work on it, and need not be woken.
    attended: Cell<bool>,
}

struct Io {
    /// Until it is [taken](Wire::take).
    stream: Option<ClientStream>,
    /// What was read and not used.
    kept: BytesMut,
    /// How much of it is no whole head.
    looked: usize,
    /// Bytes of empty lines before it, which are gone.
    passed: usize,
    body: Incoming,
    /// Somebody may still read the body.
    is_held: bool,
    /// Whoever waits for more of it.
    reader: Option<Waker>,
    /// How much to read of it next.
    next: usize,
    /// The caller waits for a 100 before it sends the body.
    expects: bool,
    /// What is left to say of the 100.
    interim: &'static [u8],
}

/// The body of the request under way.
enum Incoming {
    Ended,
    Left(u64),
    Chunks(Box<Chunks>),
    /// It can't be read to its end.
    Broken,
}

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHead {
    /// What has come can't be one; it is kept.
    Fault(Fault),
    /// The caller has ended, or is gone.
    End,
    /// The caller is silent.
    Rests,
}

/// What comes of looking for a head; `None`: it is not whole yet.
type Found = Option<Result<Head, NoHead>>;

impl Wire {
    #[must_use]
    pub fn new(connection: Rc<Connection>, stream: ClientStream) -> Self {
        Self {
            connection,
            io: RefCell::new(Io {
                stream: Some(stream),
                kept: BytesMut::new(),
                looked: 0,
                passed: 0,
                body: Incoming::Ended,
                is_held: false,
                reader: None,
                next: *READ.start(),
                expects: false,
                interim: b"",
            }),
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
        loop {
            if let Some(found) = ready!(io.poll_more_of_head(cx, most, spells, headers)) {
                return Poll::Ready(found);
            }
            // Whoever has begun with a head is to come to its end.
            if self.connection.phase.get() == Phase::Idle {
                self.connection.enter(Phase::Head);
            }
        }
    }

    /// The body of the request whose head has come; it is `held` until it is
    /// [let go](Self::let_go).
    pub fn begin_body(&self, framing: Framing, most: Most, expects: bool) {
        let mut io = self.io.borrow_mut();
        io.body = match framing {
            Framing::Nothing => Incoming::Ended,
            Framing::Length(length) => Incoming::Left(length),
            Framing::Chunks => {
                Incoming::Chunks(Box::new(Chunks::with_trailers(most.bytes, most.fields)))
            }
        };
        io.is_held = framing != Framing::Nothing;
        io.expects = expects;
        io.next = *READ.start();
    }

    /// Nobody will read the body.
    pub fn let_go(&self) {
        self.io.borrow_mut().is_held = false;
        self.call();
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
        let mut io = self.io.borrow_mut();
        let io = &mut *io;
        if io.interim.is_empty() {
            return;
        }
        // Where that fails, so will the answer.
        let Some(stream) = &mut io.stream else { return };
        while let Poll::Ready(Ok(written @ 1..)) = Pin::new(&mut *stream).poll_write(cx, io.interim)
        {
            io.interim = &io.interim[written..];
            if io.interim.is_empty() {
                let _ = Pin::new(stream).poll_flush(cx);
                return;
            }
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

    /// Writes all of it; `Ok` with nothing left.
    pub fn poll_write(&self, cx: &mut Context<'_>, out: &mut Out) -> Poll<io::Result<()>> {
        let mut io = self.io.borrow_mut();
        self.connection.unflushed.set(true);
        while !out.is_empty() {
            let written = ready!(out.poll_write(cx, io.open()?))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            // The caller's silence ends with every byte that it takes.
            self.connection.since.set(None);
        }
        Poll::Ready(Ok(()))
    }

    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(self.io.borrow_mut().open()?).poll_flush(cx))?;
        self.connection.unflushed.set(false);
        Poll::Ready(Ok(()))
    }

    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        out.buffer.extend_from_slice(&words);
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

fn poll_read(
    stream: &mut Option<ClientStream>,
    cx: &mut Context<'_>,
    space: &mut [u8],
) -> Poll<io::Result<usize>> {
    let Some(stream) = stream else {
        return Poll::Ready(Ok(0));
    };
    let mut space = ReadBuf::new(space);
    ready!(Pin::new(stream).poll_read(cx, space.unfilled()))?;
    Poll::Ready(Ok(space.filled().len()))
}

impl Io {
    fn open(&mut self) -> io::Result<&mut ClientStream> {
        let closed = || io::ErrorKind::NotConnected.into();
        self.stream.as_mut().ok_or_else(closed)
    }

    /// A head among what was read before.
    fn kept_head(&mut self, most: Most, spells: bool, headers: &mut HeaderMap) -> Found {
        if self.looked == self.kept.len() {
            return None;
        }
        if self.looked > 0 && !head::may_be_whole(&self.kept, self.looked) {
            return self.not_whole(most);
        }
        match head::parse(&self.kept, most, spells, headers) {
            Ok(Some(head)) if head.length + self.passed > most.bytes => {
                Some(Err(NoHead::Fault(Fault::TooLarge)))
            }
            Ok(Some(head)) => {
                self.kept.advance(head.length);
                (self.looked, self.passed) = (0, 0);
                self.tidy();
                Some(Ok(head))
            }
            Ok(None) => self.not_whole(most),
            Err(fault) => Some(Err(NoHead::Fault(fault))),
        }
    }

    fn not_whole(&mut self, most: Most) -> Found {
        self.looked = self.kept.len();
        let came = self.looked + self.passed;
        (came >= most.bytes).then_some(Err(NoHead::Fault(Fault::TooLarge)))
    }

    /// Reads, and looks whether there is a whole head now.
    fn poll_more_of_head(
        &mut self,
        cx: &mut Context<'_>,
        most: Most,
        spells: bool,
        headers: &mut HeaderMap,
    ) -> Poll<Found> {
        scratch::reading(|space| {
            let read = match ready!(poll_read(&mut self.stream, cx, space)) {
                Ok(read @ 1..) => &space[..read],
                _ => return Poll::Ready(Some(Err(NoHead::End))),
            };
            if !self.kept.is_empty() || self.passed > 0 {
                self.kept.extend_from_slice(read);
                self.pass_empty_lines();
                let found = self.kept_head(most, spells, headers);
                return Poll::Ready(found.or_else(|| self.not_whole(most)));
            }
            // Straight from where it was read to, where it is whole.
            let found = head::parse(read, most, spells, headers);
            let used = found
                .as_ref()
                .map_or(0, |head| head.as_ref().map_or(0, |h| h.length));
            self.kept.extend_from_slice(&read[used..]);
            self.looked = 0;
            Poll::Ready(match found {
                Ok(Some(head)) => Some(Ok(head)),
                Ok(None) => {
                    self.pass_empty_lines();
                    self.not_whole(most)
                }
                Err(fault) => Some(Err(NoHead::Fault(fault))),
            })
        })
    }

    /// Empty lines before a head are passed over (RFC 9112, 2.2), and not looked at twice.
    fn pass_empty_lines(&mut self) {
        loop {
            let line_end = match &*self.kept {
                [b'\r', b'\n', ..] => 2,
                [b'\n', ..] => 1,
                _ => return,
            };
            self.kept.advance(line_end);
            self.passed += line_end;
            self.looked = 0;
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(frame) = self.next_frame() {
                return Poll::Ready(frame);
            }
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) => return Poll::Ready(Some(Err(Broken::Cut))),
                Err(error) => return Poll::Ready(Some(Err(Broken::Io(error)))),
            }
        }
    }

    /// What is here of the body; `None` where nothing is, and more is to come.
    fn next_frame(&mut self) -> Option<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.body {
            Incoming::Ended => Some(None),
            Incoming::Broken => Some(Some(Err(Broken::Cut))),
            Incoming::Left(_) if self.kept.is_empty() => None,
            Incoming::Left(left) => {
                let here = self.kept.len();
                let taken = usize::try_from(*left).map_or(here, |left| left.min(here));
                *left -= taken as u64;
                if *left == 0 {
                    self.body = Incoming::Ended;
                }
                Some(Some(Ok(Frame::data(self.kept.split_to(taken).freeze()))))
            }
            Incoming::Chunks(chunks) => match chunks.decode(&self.kept) {
                Ok(Decoded::More) => {
                    self.kept.clear();
                    None
                }
                Ok(Decoded::Data(range)) => {
                    self.kept.advance(range.start);
                    Some(Some(Ok(Frame::data(
                        self.kept.split_to(range.len()).freeze(),
                    ))))
                }
                Ok(Decoded::End(used, trailers)) => {
                    self.kept.advance(used);
                    self.body = Incoming::Ended;
                    Some(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
                }
                Err(error) => Some(Some(Err(Broken::Chunks(error)))),
            },
        }
    }

    /// Reads of the body into a buffer that pieces of it are parts of.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = match &self.body {
            Incoming::Left(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        self.kept.reserve(self.next.min(wanted));
        let space = self.kept.spare_capacity_mut();
        let room = space.len().min(self.next).min(wanted);
        let mut space = ReadBuf::uninit(&mut space[..room]);
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        ready!(Pin::new(stream).poll_read(cx, space.unfilled()))?;
        let read = space.filled().len();
        // SAFETY: `ReadBuf` counts as filled only what is initialised, and that much
        // of the spare room was filled just now, from its beginning.
        unsafe { self.kept.set_len(self.kept.len() + read) };
        self.next = match read == room {
            true => (self.next * 2).min(*READ.end()),
            false if read < self.next / 4 => (self.next / 2).max(*READ.start()),
            false => self.next,
        };
        Poll::Ready(Ok(read))
    }

    /// Passes over the rest of a body that nobody reads, as far as it is here.
    fn pass_over(&mut self, cx: &mut Context<'_>) -> bool {
        let mut may_read = true;
        loop {
            match self.next_frame() {
                Some(Some(Ok(_))) => {}
                Some(Some(Err(_))) => return false,
                Some(None) => {
                    self.tidy();
                    return true;
                }
                None if !std::mem::take(&mut may_read) => return false,
                None => {
                    if !matches!(self.poll_fill(cx), Poll::Ready(Ok(1..))) {
                        return false;
                    }
                }
            }
        }
    }

    /// Holds no memory where there is nothing in it.
    fn tidy(&mut self) {
        if self.kept.is_empty() {
            self.kept = BytesMut::new();
        }
    }
}
