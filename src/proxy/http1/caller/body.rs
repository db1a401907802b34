//! The body of a caller's request, as it comes over its connection.

use super::wire::Wire;
use crate::proxy::http1::chunks::ChunkError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::{fmt, io};

/// A body that is to come; its connection goes on once it has, or is dropped.
pub struct CallerBody(Rc<Wire>);

/// Why a body has not come to its end.
#[derive(Debug)]
pub enum Broken {
    /// The caller has ended before it.
    Cut,
    Chunks(ChunkError),
    Io(io::Error),
}

impl CallerBody {
    /// Of the request whose head has just come.
    #[must_use]
    pub fn new(wire: Rc<Wire>) -> Self {
        Self(wire)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("it was cut off"),
            Self::Chunks(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Broken {}

impl Drop for CallerBody {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Body for CallerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.0.poll_body(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_body_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body_hint()
    }
}
