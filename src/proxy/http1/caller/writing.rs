//! An answer on its way out: its head, and its body as fast as the caller takes it.

use super::answer::{self, Begun, Framing, Size};
use super::head::Asked;
use super::out::Out;
use super::wire::Wire;
use crate::net::splice::Pipe;
use crate::proxy::body::Answer;
use bytes::Bytes;
use http::response;
use http_body::Body;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// After so many pieces in a row others have their turn.
const ROUNDS: usize = 32;

pub struct Writing {
    body: Answer,
    framing: Framing,
    out: Out,
    /// Nothing more comes of the body.
    ended: bool,
    /// What came of it is all that there is.
    whole: bool,
    spells: bool,
    /// The kernel may move it to the caller by itself: through this, while it does.
    passes: bool,
    pipe: Option<Pipe>,
}

impl Writing {
    /// Of an answer that nothing was written of; and whether its connection goes on.
    #[must_use]
    pub fn begin(
        wire: &Wire,
        head: &response::Parts,
        body: Answer,
        asked: &Asked,
        may_keep: bool,
    ) -> (Self, bool) {
        let size = match body.is_end_stream() {
            true => Size::Nothing,
            false => body
                .size_hint()
                .exact()
                .map_or(Size::Unknown, Size::Exactly),
        };
        let mut out = Out::new(wire.is_vectored());
        out.flow.copy(wire.take_interim(), b"");
        let Begun { framing, keeps } = answer::put(out.flow.buffer(), head, asked, size, may_keep);
        let writing = Self {
            ended: framing == Framing::Length(0),
            passes: body.may_pass() && wire.is_plain(),
            body,
            framing,
            out,
            whole: true,
            spells: asked.spells,
            pipe: None,
        };
        (writing, keeps)
    }

    /// Writes what there is; ready when nothing more is to come: with true, where all
    /// of it is out.
    pub fn poll(&mut self, cx: &mut Context<'_>, wire: &Wire) -> Poll<bool> {
        for _ in 0..ROUNDS {
            match self.poll_pass(cx, wire) {
                // That was much: others have their turn.
                Poll::Ready(Ok(true)) if !self.ended => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return self.unless_gone(cx, wire),
            }
            let waits = self.fill(cx);
            match wire.poll_write(cx, &mut self.out) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return self.unless_gone(cx, wire),
            }
            if self.ended || waits {
                let flushed = wire.poll_flush(cx);
                return match flushed {
                    Poll::Ready(Err(_)) => Poll::Ready(false),
                    Poll::Ready(Ok(())) if self.ended => Poll::Ready(self.whole),
                    _ => self.unless_gone(cx, wire),
                };
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Has the kernel move some of the body to the caller, behind what was written;
    /// false where the next of it is a frame.
    fn poll_pass(&mut self, cx: &mut Context<'_>, wire: &Wire) -> Poll<io::Result<bool>> {
        let Framing::Length(left) = &mut self.framing else {
            return Poll::Ready(Ok(false));
        };
        if !self.passes || !self.out.flow.is_written() {
            return Poll::Ready(Ok(false));
        }
        let Some(pipe) = self.pipe.take().or_else(Pipe::take) else {
            return Poll::Ready(Ok(false));
        };
        let pipe = self.pipe.insert(pipe);
        if pipe.is_empty() {
            let Some(moved) = self.body.pass(pipe) else {
                // Whoever waits for more leaves it to others.
                self.pipe = None;
                return Poll::Ready(Ok(false));
            };
            *left = left.saturating_sub(moved as u64);
        }
        ready!(wire.poll_drain(cx, pipe))?;
        self.ended = *left == 0;
        Poll::Ready(Ok(true))
    }

    /// True where it is whole, and short, and goes out at the end of the turn.
    pub fn is_late(&mut self, cx: &mut Context<'_>, wire: &Rc<Wire>) -> bool {
        self.fill(cx);
        self.ended && self.whole && self.out.flow.is_short() && wire.write_late(&mut self.out.flow)
    }

    fn unless_gone(&mut self, cx: &mut Context<'_>, wire: &Wire) -> Poll<bool> {
        match wire.is_gone(cx) {
            true => Poll::Ready(false),
            false => Poll::Pending,
        }
    }

    /// Takes of the body what there is room for; true where it has nothing at hand.
    fn fill(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.ended && self.out.flow.has_room() {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return true,
            };
            match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                Some(Ok(Ok(piece))) => {
                    let last = self.body.is_end_stream();
                    if last || !piece.is_empty() {
                        self.push(piece, last);
                    }
                }
                Some(Ok(Err(frame))) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.ended = true;
                        self.whole &= !matches!(self.framing, Framing::Length(1..));
                        self.out
                            .push_trailers(&trailers, &self.framing, self.spells);
                    }
                }
                None => self.push(Bytes::new(), true),
                // Without an end: what has come is not passed off as whole.
                Some(Err(_)) => (self.ended, self.whole) = (true, false),
            }
        }
        false
    }

    fn push(&mut self, piece: Bytes, last: bool) {
        self.whole &= self.out.push(piece, &mut self.framing, last);
        self.ended = last || !self.whole || self.framing == Framing::Length(0);
    }
}
