//! An answer's content that is not read here: the kernel moves it.

use super::Line;
use crate::net::splice::Pipe;
use crate::proxy::http1::content::Content;

impl Line {
    /// True where the kernel may move content by itself.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.borrow_mut().io.plain().is_some()
    }

    /// Has the kernel move some of an answer's content into a pipe; gives how much,
    /// or `None` where the next of it is to be [read](Self::poll_frame).
    pub fn pass(&self, content: &mut Content, pipe: &mut Pipe) -> Option<usize> {
        let wire = &mut *self.0.borrow_mut();
        let is_read = wire.come.is_empty() && wire.failure.is_none() && !wire.is_broken;
        let (Content::Length(left), true, false) = (&*content, is_read, wire.sends) else {
            return None;
        };
        let left = *left;
        wire.reads_on = true;
        let moved = pipe.fill(wire.io.plain()?, left)?;
        *content = Content::of_length(left - moved as u64);
        Some(moved)
    }
}
