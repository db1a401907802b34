//! The body of an upstream's answer, over either version of HTTP.

use super::http1::content::Content;
use super::http1::line::Failure;
use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::header::CONTENT_LENGTH;
use http::{StatusCode, response};
use http_body::{Frame, SizeHint};
use hyper::body::{Body, Incoming};
use std::error::Error;
use std::fmt;
use std::task::{Context, Poll, ready};

/// An answer's body, unread.
pub enum Received {
    /// What its connection is to give.
    Http1(Content),
    ByHyper(Incoming),
    Http2(Box<Streamed>),
}

/// Why an answer's body ended early.
#[derive(Debug)]
pub enum ReceiveError {
    Http1(Failure),
    ByHyper(hyper::Error),
    Http2(h2::Error),
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the upstream's answer ended early")
    }
}

impl Error for ReceiveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Http1(failure) => Some(failure),
            Self::ByHyper(error) => Some(error),
            // Its code becomes that of the caller's stream, where this one would
            // say that all is well.
            Self::Http2(error) if error.reason() == Some(Reason::NO_ERROR) => None,
            Self::Http2(error) => Some(error),
        }
    }
}

/// An answer's body over HTTP/2.
pub struct Streamed {
    stream: RecvStream,
    length: Option<u64>,
    /// The status has no content (RFC 9110, 6.4.1), whatever DATA may come.
    is_bare: bool,
    trailers_next: bool,
}

impl Streamed {
    /// The body that follows this head.
    #[must_use]
    pub fn new(stream: RecvStream, head: &response::Parts) -> Self {
        let length = head.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let is_bare = matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        Self {
            length: if is_bare || stream.is_end_stream() {
                Some(0)
            } else {
                length
            },
            is_bare,
            stream,
            trailers_next: false,
        }
    }

    /// What is passed on makes room for more; what is not holds up this stream
    /// alone.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.is_bare {
            return Poll::Ready(None);
        }
        if !self.trailers_next {
            if let Some(data) = ready!(self.stream.poll_data(cx)) {
                let data = data.and_then(|data| {
                    let room = self.stream.flow_control();
                    room.release_capacity(data.len()).map(|()| data)
                });
                return Poll::Ready(Some(data.map(Frame::data)));
            }
            self.trailers_next = true;
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.transpose().map(|t| t.map(Frame::trailers)))
    }
}

impl Received {
    /// True when nothing of it is left.
    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(content) => content.is_ended(),
            Self::ByHyper(incoming) => incoming.is_end_stream(),
            Self::Http2(streamed) => streamed.is_bare || streamed.stream.is_end_stream(),
        }
    }

    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(content) => content.size_hint(),
            Self::ByHyper(incoming) => incoming.size_hint(),
            Self::Http2(streamed) => match streamed.length {
                Some(length) => SizeHint::with_exact(length),
                None => SizeHint::default(),
            },
        }
    }
}
