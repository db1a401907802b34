//! Bodies of the admin listener's answers: whole, or told bit by bit.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// A body.
pub enum ReplyBody {
    Whole(Full<Bytes>),
    /// Ends when its sender is gone.
    Told(mpsc::Receiver<Bytes>),
}

impl From<Full<Bytes>> for ReplyBody {
    fn from(whole: Full<Bytes>) -> Self {
        Self::Whole(whole)
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context),
            Self::Told(bits) => bits
                .poll_recv(context)
                .map(|bit| bit.map(|bit| Ok(Frame::data(bit)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Told(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Told(_) => SizeHint::default(),
        }
    }
}
