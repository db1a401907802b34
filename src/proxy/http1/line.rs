//! A connection to an upstream over HTTP/1.1: one request at a time. It has no
//! task of its own: whoever waits for an answer, or reads it, drives it.

use super::answer::{self, Answer, Parsed};
use super::content::{Content, Piece};
use super::framing::may_be_whole;
use super::outflow::Outflow;
use super::scratch;
use super::upload::Upload;
use crate::net::awake;
use crate::net::dial::Connection;
use crate::net::share::LARGE_READ;
use crate::net::stream::Trouble;
use crate::net::time::Deadlines;
use crate::net::turn::{self, AtEnd};
use crate::net::worker::spawn_local;
use crate::proxy::body::SendError;
use crate::proxy::slots::Slot;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Frame;
use hyper::rt::Write;
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

mod passing;
#[cfg(test)]
mod tests;

/// How long content may take that is on its way when its answer has been read.
const LINGER: Duration = Duration::from_secs(30);

/// Answers before the answer that one request may get.
const MOST_INTERIM: usize = 1_000;

/// Our end of an open connection; clones are the same.
#[derive(Clone)]
pub struct Line(Rc<RefCell<Wire>>);

struct Wire {
    io: Connection,
    out: Outflow,
    /// What has come of a head that is not whole.
    head: BytesMut,
    /// What has come and is not used.
    come: Bytes,
    /// Statuses that came before the answer.
    interim: Vec<u16>,
    /// How much is read at once.
    reads: usize,
    /// More than the first read was needed.
    reads_on: bool,
    keeps_alive: bool,
    /// A task sends the rest of the request's content.
    sends: bool,
    /// Notes how the names of answers' fields are spelt.
    spells: bool,
    /// Content is to follow what is on its way out.
    has_more: bool,
    /// Nothing more can be read.
    is_broken: bool,
    /// What the reader is still to be told.
    failure: Option<Failure>,
    /// Whoever reads while another task sends.
    reader: Option<Waker>,
    /// That task, which is to end soon once the connection `is_left`.
    sender: Option<Waker>,
    is_left: bool,
    /// Whoever waits for the end of the turn, when what there is goes out.
    writer: Option<Waker>,
    /// Among the connections to its origin, where these are limited.
    slot: Option<Slot>,
}

/// Why there is no answer, or no more of it.
#[derive(Debug)]
pub enum Failure {
    /// The connection ended.
    Lost,
    /// What came is no answer of HTTP/1.1.
    Malformed,
    /// The caller's side of the request's content failed.
    Caller,
    /// The content is longer than this many bytes, which are allowed.
    TooLarge(u64),
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Caller(_) | SendError::Length => Self::Caller,
            SendError::TooLarge(most) => Self::TooLarge(most),
            SendError::Cut => Self::Lost,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the connection ended",
            Self::Malformed => "that is not HTTP/1.1",
            Self::Caller => "the request's content ended early",
            Self::TooLarge(_) => "the request's content is too long",
        })
    }
}

impl std::error::Error for Failure {}

impl Line {
    /// Of a connection on which nothing has been said.
    #[must_use]
    pub fn new(io: Connection, slot: Option<Slot>) -> Self {
        Self(Rc::new(RefCell::new(Wire {
            io,
            out: Outflow::default(),
            head: BytesMut::new(),
            come: Bytes::new(),
            interim: Vec::new(),
            reads: scratch::SIZE,
            reads_on: false,
            keeps_alive: true,
            sends: false,
            spells: false,
            has_more: false,
            is_broken: false,
            failure: None,
            reader: None,
            sender: None,
            is_left: false,
            writer: None,
            slot,
        })))
    }

    /// Has it note how the names of answers' fields are spelt, or not.
    #[must_use]
    pub fn spelling(self, spells: bool) -> Self {
        self.0.borrow_mut().spells = spells;
        self
    }

    /// True when a request may be sent: nothing of the last one is left, and
    /// nothing has come that nobody asked for, not even the end.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let wire = &mut *self.0.borrow_mut();
        wire.is_clean() && wire.io.is_silent()
    }

    /// The same as far as is known without asking; what came in many reads is
    /// asked, so that the ring listens from then on.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let wire = &mut *self.0.borrow_mut();
        wire.is_clean() && (!wire.reads_on || wire.io.is_silent())
    }

    /// Where the error is found that TLS ended it with.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.0.borrow().io.trouble()
    }

    /// Statuses that came before the answer.
    #[must_use]
    pub fn interim(&self) -> Vec<u16> {
        std::mem::take(&mut self.0.borrow_mut().interim)
    }

    /// Has a head written, to be sent with what follows it.
    pub fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        write(self.0.borrow_mut().out.buffer())
    }

    /// Sends what was written, and the content behind it, until the answer is here.
    /// Content that is not out by then is sent by a task of its own.
    ///
    /// # Errors
    /// When there will be no answer.
    pub async fn answer(
        &self,
        content: Option<Upload>,
        of_head: bool,
        deadlines: &Rc<Deadlines>,
    ) -> Result<Answer, Failure> {
        let mut content = content;
        let mut is_begun = false;
        let is_looked_for = self.0.borrow().io.is_looked_for();
        let awaited = is_looked_for.then(awake::awaits);
        let answer = poll_fn(|cx| {
            let mut wire = self.0.borrow_mut();
            if !std::mem::replace(&mut is_begun, true) && turn::at_end(&self.0) {
                wire.writer = Some(cx.waker().clone());
            }
            let answer = wire.poll_answer(&mut content, of_head, cx);
            if let Poll::Ready(Err(_)) = &answer {
                wire.writer = None;
            }
            answer
        });
        let answer = answer.await?;
        if let Some(awaited) = awaited {
            awaited.came();
        }
        {
            let mut wire = self.0.borrow_mut();
            // What came before the request was sent is no answer to it.
            let is_unsent = wire.writer.take().is_some();
            wire.keeps_alive &= answer.keeps_alive && !is_unsent;
        }
        if let Some(content) = content {
            self.go_on_sending(content, deadlines.clone());
        }
        Ok(answer)
    }

    /// Content that nobody waits for any more has a while to go out.
    fn go_on_sending(&self, mut content: Upload, deadlines: Rc<Deadlines>) {
        self.0.borrow_mut().sends = true;
        let line = self.clone();
        spawn_local(async move {
            let send = |cx: &mut Context<'_>| {
                let mut wire = line.0.borrow_mut();
                wire.sender = Some(cx.waker().clone());
                wire.poll_send(&mut content, cx)
            };
            let mut sending = pin!(poll_fn(send));
            let sent = poll_fn(|cx| match sending.as_mut().poll(cx) {
                Poll::Ready(sent) => Poll::Ready(Some(sent)),
                Poll::Pending if line.0.borrow().is_left => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            let is_sent = match sent.await {
                Some(sent) => sent.is_ok(),
                None => matches!(deadlines.within(LINGER, sending).await, Ok(Ok(()))),
            };
            let mut wire = line.0.borrow_mut();
            wire.sends = false;
            wire.is_broken |= !is_sent;
            if let Some(reader) = wire.reader.take() {
                reader.wake();
            }
        });
    }

    /// Reads on in an answer's content.
    pub fn poll_frame(
        &self,
        content: &mut Content,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let mut wire = self.0.borrow_mut();
        loop {
            if let Some(failure) = wire.failure.take() {
                return Poll::Ready(Some(Err(failure)));
            }
            match content.take(&mut wire.come) {
                Ok(Piece::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::More) => {}
                Err(_) => return wire.breaks(Failure::Malformed, cx),
            }
            if wire.is_broken {
                return Poll::Ready(Some(Err(Failure::Lost)));
            }
            if wire.sends {
                wire.reader = Some(cx.waker().clone());
            }
            match ready!(wire.poll_read(content.wants(), cx)) {
                Ok(true) => {}
                Ok(false) if content.ends().is_ok() => return Poll::Ready(None),
                _ => return wire.breaks(Failure::Lost, cx),
            }
        }
    }

    /// No other request may follow on it.
    pub fn closes(&self) {
        self.0.borrow_mut().keeps_alive = false;
    }

    /// Nobody uses it any more: TLS says so, if there is room for that.
    pub fn leave(&self) {
        let wire = &mut *self.0.borrow_mut();
        wire.is_left = true;
        if let Some(sender) = wire.sender.take() {
            sender.wake();
        }
        if wire.io.trouble().is_some() && wire.is_clean() {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut wire.io).poll_shutdown(&mut cx);
        }
    }

    /// What it is of, and what has come behind the answer; `None` while another
    /// task sends.
    #[must_use]
    pub fn into_parts(self) -> Option<(Connection, Bytes, Option<Slot>)> {
        let wire = Rc::into_inner(self.0)?.into_inner();
        Some((wire.io, wire.come, wire.slot))
    }
}

impl AtEnd for RefCell<Wire> {
    fn at_end(self: Rc<Self>) {
        // Who has given it up by now has sent nothing.
        if Rc::strong_count(&self) == 1 {
            return;
        }
        let wire = &mut *self.borrow_mut();
        if let Some(writer) = wire.writer.take() {
            let mut cx = Context::from_waker(&writer);
            let is_written = wire.poll_written(&mut cx).is_ready();
            if is_written && wire.has_more {
                writer.wake();
            }
        }
    }
}

impl Wire {
    fn is_clean(&self) -> bool {
        self.keeps_alive
            && !self.sends
            && !self.is_broken
            && self.out.is_empty()
            && self.come.is_empty()
            && self.head.is_empty()
    }

    /// What came before goes out first: whoever writes it tells of the failure by
    /// giving everything up.
    fn breaks<T>(&mut self, why: Failure, cx: &Context<'_>) -> Poll<T> {
        self.is_broken = true;
        self.failure = Some(why);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_answer(
        &mut self,
        content: &mut Option<Upload>,
        of_head: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answer, Failure>> {
        let mut failed = None;
        loop {
            if let Poll::Ready(Err(error)) = self.poll_out(content, cx) {
                self.keeps_alive = false;
                failed = Some(error);
            }
            // An answer counts more than content that failed: it may say why.
            match self.poll_head(of_head, cx) {
                Poll::Ready(Ok(Parsed::Answer(answer))) => return Poll::Ready(Ok(answer)),
                Poll::Ready(Ok(Parsed::Interim(status))) => self.heard(status, content.as_ref())?,
                Poll::Ready(Ok(Parsed::Partial)) => {}
                Poll::Ready(Err(failure)) => {
                    let failure = failed.map_or(failure, Failure::from);
                    return Poll::Ready(Err(failure));
                }
                Poll::Pending => {
                    return match failed {
                        Some(error) => Poll::Ready(Err(error.into())),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }

    /// Sends what there is to send.
    fn poll_out(
        &mut self,
        content: &mut Option<Upload>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        match content {
            None => self.poll_written(cx),
            Some(upload) => {
                let sent = self.poll_send(upload, cx);
                if sent.is_ready() {
                    *content = None;
                }
                sent
            }
        }
    }

    /// Sends content to its end.
    fn poll_send(
        &mut self,
        content: &mut Upload,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            let put = content.poll_put(&mut self.out, cx)?;
            self.has_more = !content.is_ended();
            if self.poll_written(cx)?.is_pending() {
                // Whoever is blocked by the upstream must see that, too.
                return match content.is_cut(cx) {
                    true => Poll::Ready(Err(SendError::Cut)),
                    false => Poll::Pending,
                };
            }
            if content.is_ended() {
                return Poll::Ready(Ok(()));
            }
            ready!(put);
        }
    }

    /// A failed writing shows in reading, which finds the answer that came before.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.writer.is_some() {
            return Poll::Pending;
        }
        let written = self.out.poll_write(&mut self.io, cx);
        written.map_err(|_| SendError::Cut)
    }

    fn heard(&mut self, status: StatusCode, content: Option<&Upload>) -> Result<(), Failure> {
        if self.interim.len() == MOST_INTERIM {
            return Err(Failure::Malformed);
        }
        self.interim.push(status.as_u16());
        let gate = content.and_then(Upload::gate);
        if let Some(gate) = gate.filter(|_| status == StatusCode::CONTINUE) {
            gate.open();
        }
        Ok(())
    }

    fn poll_head(&mut self, of_head: bool, cx: &mut Context<'_>) -> Poll<Result<Parsed, Failure>> {
        loop {
            if !self.come.is_empty() {
                let parsed = answer::parse(&mut self.come, of_head, self.spells);
                let parsed = parsed.map_err(|_| Failure::Malformed)?;
                if !matches!(parsed, Parsed::Partial) {
                    return Poll::Ready(Ok(parsed));
                }
                self.head.extend_from_slice(&std::mem::take(&mut self.come));
            }
            let more = ready!(scratch::read(&mut self.io, cx)).map_err(|_| Failure::Lost)?;
            if more.is_empty() {
                return Poll::Ready(Err(Failure::Lost));
            }
            self.has_come(more);
        }
    }

    fn has_come(&mut self, more: Bytes) {
        if self.head.is_empty() {
            self.come = more;
            return;
        }
        let seen = self.head.len();
        self.head.extend_from_slice(&more);
        if may_be_whole(&self.head, seen) || self.head.len() > answer::LONGEST {
            self.come = std::mem::take(&mut self.head).freeze();
        }
    }

    /// Reads some of an answer's content; false at the end.
    fn poll_read(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        self.reads_on = true;
        let most = wanted.min(self.reads);
        self.come = ready!(match most <= scratch::SIZE {
            true => scratch::read(&mut self.io, cx),
            false => scratch::read_much(&mut self.io, most, cx),
        })?;
        self.reads = match self.come.len() {
            length if length >= self.reads => LARGE_READ.min(4 * self.reads),
            length if length < self.reads / 4 => scratch::SIZE,
            _ => self.reads,
        };
        Poll::Ready(Ok(!self.come.is_empty()))
    }
}
