//! What is read of a caller's connection: heads, and the bodies behind them.

use super::body::Broken;
use super::head::{self, Fault, Framing, Head, Most};
use crate::net::stream::ClientStream;
use crate::proxy::http1::chunks::{Chunks, Decoded};
use crate::proxy::http1::framing::may_be_whole;
use crate::proxy::http1::scratch;
use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;
use hyper::rt::{Read, ReadBuf};
use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// What is read of a body at once, at first and at most.
const READ: RangeInclusive<usize> = 8 * 1024..=64 * 1024;

/// The stream, and how far it was read.
pub struct Input {
    /// Until it is [taken](Wire::take).
    pub stream: Option<ClientStream>,
    /// What was read and not used.
    pub kept: BytesMut,
    /// How much of it is no whole head.
    pub looked: usize,
    /// Bytes of empty lines before it, which are gone.
    passed: usize,
    pub body: Incoming,
    /// Somebody may still read the body.
    pub is_held: bool,
    /// Whoever waits for more of it.
    pub reader: Option<Waker>,
    /// How much to read of it next.
    next: usize,
    /// The caller waits for a 100 before it sends the body.
    pub expects: bool,
    /// What is left to say of the 100.
    pub interim: &'static [u8],
    /// What was said of it may still be held back, by TLS.
    pub needs_flush: bool,
}

/// The body of the request under way.
pub enum Incoming {
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
pub type Found = Option<Result<(), NoHead>>;

pub fn poll_read(
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

impl Input {
    #[must_use]
    pub fn new(stream: ClientStream) -> Self {
        Self {
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
            needs_flush: false,
        }
    }

    /// The body behind the head that has just come.
    pub fn begin(&mut self, framing: Framing, most: Most, expects: bool) {
        self.body = match framing {
            Framing::Nothing => Incoming::Ended,
            Framing::Length(length) => Incoming::Left(length),
            Framing::Chunks => {
                Incoming::Chunks(Box::new(Chunks::with_trailers(most.bytes, most.fields)))
            }
        };
        self.is_held = framing != Framing::Nothing;
        self.expects = expects;
        self.next = *READ.start();
    }

    /// The stream, until it is taken.
    ///
    /// # Errors
    /// From then on.
    pub fn open(&mut self) -> io::Result<&mut ClientStream> {
        let closed = || io::ErrorKind::NotConnected.into();
        self.stream.as_mut().ok_or_else(closed)
    }

    /// A head among what was read before.
    pub fn kept_head(&mut self, most: Most, spells: bool, head: &mut Head) -> Found {
        if self.looked == self.kept.len() {
            return None;
        }
        if self.looked > 0 && !may_be_whole(&self.kept, self.looked) {
            return self.not_whole(most);
        }
        match head::parse(&self.kept, most, spells, head) {
            Ok(Some(length)) if length + self.passed > most.bytes => {
                Some(Err(NoHead::Fault(Fault::TooLarge)))
            }
            Ok(Some(length)) => {
                self.kept.advance(length);
                (self.looked, self.passed) = (0, 0);
                self.tidy();
                Some(Ok(()))
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
    pub fn poll_more_of_head(
        &mut self,
        cx: &mut Context<'_>,
        most: Most,
        spells: bool,
        head: &mut Head,
    ) -> Poll<Found> {
        scratch::reading(|space| {
            let read = match ready!(poll_read(&mut self.stream, cx, space)) {
                Ok(read @ 1..) => &space[..read],
                _ => return Poll::Ready(Some(Err(NoHead::End))),
            };
            if !self.kept.is_empty() || self.passed > 0 {
                self.kept.extend_from_slice(read);
                self.pass_empty_lines();
                let found = self.kept_head(most, spells, head);
                return Poll::Ready(found.or_else(|| self.not_whole(most)));
            }
            // Straight from where it was read to, where it is whole.
            let found = head::parse(read, most, spells, head);
            let used = found.map_or(0, Option::unwrap_or_default);
            self.kept.extend_from_slice(&read[used..]);
            self.looked = 0;
            Poll::Ready(match found {
                Ok(Some(_)) => Some(Ok(())),
                Ok(None) => {
                    self.pass_empty_lines();
                    self.not_whole(most)
                }
                Err(fault) => Some(Err(NoHead::Fault(fault))),
            })
        })
    }

    /// Empty lines before a head are passed over (RFC 9112, 2.2), and not looked at twice.
    pub fn pass_empty_lines(&mut self) {
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

    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
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
        let came = Pin::new(stream).poll_read(cx, space.unfilled());
        let read = space.filled().len();
        if came.is_pending() {
            self.next = *READ.start();
            self.tidy();
        }
        ready!(came)?;
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
    pub fn pass_over(&mut self, cx: &mut Context<'_>) -> bool {
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
    pub fn tidy(&mut self) {
        if self.kept.is_empty() {
            self.kept = BytesMut::new();
        }
    }
}
