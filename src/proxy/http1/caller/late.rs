//! An answer that is whole goes out at the end of the loop's turn, together with
//! those of others.

use super::wire::Wire;
use crate::net::turn::{self, AtEnd};
use crate::proxy::http1::outflow::Outflow;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// What is left to write of it.
#[derive(Default)]
pub struct Late {
    flow: Outflow,
    /// The turn has not ended yet.
    is_listed: bool,
}

impl Wire {
    /// Has all of this go out at the end of the turn; false where it is to go out at
    /// once.
    pub fn write_late(self: &Rc<Self>, flow: &mut Outflow) -> bool {
        let mut late = self.late.borrow_mut();
        if !late.flow.is_empty() || !turn::at_end(self) {
            return false;
        }
        std::mem::swap(&mut late.flow, flow);
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
        let flow = &mut self.late.borrow_mut().flow;
        if flow.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_flow(cx, flow))?;
        ready!(self.poll_flush_stream(cx))?;
        flow.flushed();
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
