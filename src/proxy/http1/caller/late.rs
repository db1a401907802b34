//! An answer that is whole goes out at the end of the loop's turn, together with
//! those of others.

use super::scratch;
use super::wire::Wire;
use crate::net::turn::{self, AtEnd};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// What is left to write of it.
#[derive(Default)]
pub struct Late {
    buffer: Vec<u8>,
    written: usize,
    /// The turn has not ended yet.
    is_listed: bool,
    /// What was written may still be held back, by TLS.
    needs_flush: bool,
}

impl Wire {
    /// Has these bytes go out at the end of the turn; false where they are to go out
    /// at once.
    pub fn write_late(self: &Rc<Self>, bytes: &mut Vec<u8>) -> bool {
        let mut late = self.late.borrow_mut();
        if !late.buffer.is_empty() || late.needs_flush || !turn::at_end(self) {
            return false;
        }
        std::mem::swap(&mut late.buffer, bytes);
        late.is_listed = true;
        self.connection.unflushed.set(true);
        true
    }

    /// True until the turn ends in which something was late.
    #[must_use]
    pub fn is_waiting_for_turn(&self) -> bool {
        self.late.borrow().is_listed
    }

    /// Writes what is late, before anything else is written.
    pub fn poll_late(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut late = self.late.borrow_mut();
        if late.buffer.is_empty() && !late.needs_flush {
            return Poll::Ready(Ok(()));
        }
        late.needs_flush = true;
        while late.written < late.buffer.len() {
            let rest = &late.buffer[late.written..];
            let written = ready!(self.poll_write_some(cx, rest))?;
            late.written += written;
        }
        scratch::give_back(std::mem::take(&mut late.buffer));
        late.written = 0;
        ready!(self.poll_flush_stream(cx))?;
        late.needs_flush = false;
        Poll::Ready(Ok(()))
    }
}

impl AtEnd for Wire {
    /// What the caller does not take at once, its own task goes on with.
    fn at_end(self: Rc<Self>) {
        self.late.borrow_mut().is_listed = false;
        let mut cx = Context::from_waker(Waker::noop());
        match self.poll_late(&mut cx) {
            Poll::Ready(Ok(())) => {}
            _ => self.connection.wake(),
        }
    }
}
