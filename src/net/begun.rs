//! A caller's stream of which something was read already.

use super::pass_on::writes_by;
use super::stream::{ClientStream, Readable};
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The stream, and what comes before it.
pub struct Begun {
    pub read: Bytes,
    pub stream: ClientStream,
}

impl Readable for Begun {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.read.is_empty() {
            true => self.stream.poll_readable(cx),
            false => Poll::Ready(()),
        }
    }
}

impl Read for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl Write for Begun {
    writes_by!(stream);
}
