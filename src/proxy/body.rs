//! What goes back to the caller behind an answer's head; and why what goes to the
//! upstream ends early.

use super::called::CalledError;
use super::connection::InRequest;
use super::edits;
use super::hop;
use super::http2::Patience;
use super::received::Received;
use super::streamed::{BodyError, Leased};
use super::upstream::Return;
use crate::config::checked::edits::Edits;
use crate::net::splice::Pipe;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Why a request's body ended early.
#[derive(Debug)]
pub enum SendError {
    /// The caller's side failed.
    Caller(CalledError),
    /// It is longer than this many bytes, which are allowed.
    TooLarge(u64),
    /// It is longer or shorter than its head has it.
    Length,
    /// We stopped sending, because the upstream had already answered.
    Cut,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Caller(error) => write!(f, "the caller's body failed: {error}"),
            Self::TooLarge(most) => write!(f, "the body has more than {most} bytes"),
            Self::Length => f.write_str("the body is not as long as its head has it"),
            Self::Cut => f.write_str("the upstream answered before the body was sent"),
        }
    }
}

impl std::error::Error for SendError {}

/// The body of an answer to a caller.
pub struct Answer {
    source: Source,
    /// For what follows an upstream's body.
    edits: Option<Arc<Edits>>,
    /// Marks the connection as busy until the answer has been written.
    _in_request: Option<InRequest>,
    /// Of one that goes out on a stream of HTTP/2.
    stream: Option<Rc<Patience>>,
}

enum Source {
    /// Made here.
    Own(Option<Bytes>),
    /// The upstream's, streamed; its connection goes back to the pool at the end.
    Upstream(Received, Return),
    /// The same, for as long as its token is good.
    Leased(Box<Leased>),
}

impl Answer {
    #[must_use]
    pub fn own(text: String) -> Self {
        Self::of(Source::Own(Some(Bytes::from(text))))
    }

    #[must_use]
    pub fn empty() -> Self {
        Self::of(Source::Own(None))
    }

    #[must_use]
    pub fn upstream(incoming: Received, back: Return) -> Self {
        Self::of(Source::Upstream(incoming, back))
    }

    /// Trailers heed what the route changes.
    pub fn edited(&mut self, edits: &Option<Arc<Edits>>) {
        self.edits.clone_from(edits);
    }

    #[must_use]
    pub fn leased(leased: Leased) -> Self {
        Self::of(Source::Leased(Box::new(leased)))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            edits: None,
            _in_request: None,
            stream: None,
        }
    }

    /// The request ends when this answer has been written.
    pub fn during(&mut self, request: InRequest) {
        self._in_request = Some(request);
    }

    /// It goes out on a stream of HTTP/2.
    pub fn on_stream(&mut self, stream: Rc<Patience>) {
        self.stream = Some(stream);
    }

    /// Keeps content of our own back, as an answer to HEAD does; gives its length.
    pub fn withhold(&mut self) -> Option<usize> {
        match &mut self.source {
            Source::Own(bytes) => bytes.take().map(|bytes| bytes.len()),
            Source::Upstream(..) | Source::Leased(_) => None,
        }
    }

    /// Content that the kernel may move to the caller by itself.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match &self.source {
            Source::Upstream(incoming, back) => back.may_pass(incoming),
            Source::Own(_) | Source::Leased(_) => false,
        }
    }

    /// Moves some of it into a pipe; gives how much, or `None` where the next of it
    /// is a frame to be asked for.
    pub fn pass(&mut self, pipe: &mut Pipe) -> Option<usize> {
        let Source::Upstream(incoming, back) = &mut self.source else {
            return None;
        };
        let moved = back.pass(incoming, pipe)?;
        if incoming.is_end_stream() {
            back.ended();
        }
        Some(moved)
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Upstream(incoming, back) => {
                let frame = back.poll_frame(incoming, cx);
                match &frame {
                    Poll::Ready(None) => back.ended(),
                    Poll::Ready(Some(Ok(_))) if incoming.is_end_stream() => back.ended(),
                    _ => {}
                }
                frame.map(|frame| frame.map(|frame| frame.map_err(BodyError::Upstream)))
            }
            Source::Leased(leased) => leased.poll_frame(cx),
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = self.poll_source(cx);
        if let Some(edits) = &self.edits {
            frame = frame.map_ok(|frame| edits::frame(edits, frame));
        }
        if let Some(stream) = &self.stream {
            stream.has_a_piece(frame.is_ready());
            if let Poll::Ready(Some(Ok(frame))) = &mut frame
                && let Some(trailers) = frame.trailers_mut()
            {
                hop::strip_trailers(trailers);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Upstream(incoming, _) => incoming.is_end_stream(),
            Source::Leased(leased) => leased.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Source::Upstream(incoming, _) => incoming.size_hint(),
            Source::Leased(leased) => leased.size_hint(),
        }
    }
}
