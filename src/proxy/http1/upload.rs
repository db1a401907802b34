//! The content of a request on its way to an upstream (RFC 9112, 6 and 7).

use super::outflow::Outflow;
use crate::proxy::body::SendError;
use crate::proxy::expect::Gate;
use crate::proxy::replay::Sending;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::io::Write;
use std::task::{Context, Poll};

/// How a request's content is framed.
#[derive(Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes more.
    Length(u64),
    /// In chunks; behind them go the trailers of these names.
    Chunked(Vec<HeaderName>),
}

/// Behind the last chunk of all.
const LAST: &[u8] = b"\r\n0\r\n\r\n";

/// One sending of a request's content.
pub struct Upload {
    sending: Sending,
    framing: Framing,
    is_ended: bool,
}

impl Upload {
    #[must_use]
    pub fn new(sending: Sending, framing: Framing) -> Self {
        Self {
            sending,
            framing,
            is_ended: false,
        }
    }

    /// What the upstream's word opens.
    pub fn gate(&self) -> Option<&Gate> {
        self.sending.gate()
    }

    /// There will be no more of it; looked at again when that changes.
    pub fn is_cut(&self, cx: &Context<'_>) -> bool {
        self.sending.is_cut(cx)
    }

    /// All of it has been put in.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Puts in what there is, and room for; ready when nothing is to be waited
    /// for but room.
    ///
    /// # Errors
    /// When there will be no more of it.
    pub fn poll_put(
        &mut self,
        out: &mut Outflow,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        while !self.is_ended && out.has_room() {
            match self.sending.poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.end(out, None)?,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.put(out, data)?,
                    Err(frame) => self.end(out, frame.into_trailers().ok())?,
                },
            }
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, out: &mut Outflow, data: Bytes) -> Result<(), SendError> {
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(SendError::Length)?;
                out.put(data, b"");
            }
            // A chunk of no bytes would end it.
            Framing::Chunked(_) if data.is_empty() => {}
            Framing::Chunked(_) => {
                // Writing to memory never fails.
                let _ = write!(out.buffer(), "{:x}\r\n", data.len());
                // Its end goes out with its last piece.
                self.is_ended = self.sending.is_end_stream();
                out.put(data, if self.is_ended { LAST } else { b"\r\n" });
            }
        }
        match self.sending.is_end_stream() && !self.is_ended {
            true => self.end(out, None),
            false => Ok(()),
        }
    }

    fn end(&mut self, out: &mut Outflow, trailers: Option<HeaderMap>) -> Result<(), SendError> {
        self.is_ended = true;
        match &self.framing {
            Framing::Length(0) => Ok(()),
            Framing::Length(_) => Err(SendError::Length),
            Framing::Chunked(names) => {
                let buffer = out.buffer();
                buffer.extend_from_slice(b"0\r\n");
                let trailers = trailers.iter().flatten();
                for (name, value) in trailers.filter(|(name, _)| names.contains(name)) {
                    put_field(buffer, name, value);
                }
                buffer.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }
}

/// A field's line.
pub fn put_field(buffer: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    buffer.extend_from_slice(name.as_str().as_bytes());
    buffer.extend_from_slice(b": ");
    buffer.extend_from_slice(value.as_bytes());
    buffer.extend_from_slice(b"\r\n");
}
