//! A connection that says when something has been read from it.

use super::dial::Connection;
use super::pass_on::writes_by;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to an upstream, as HTTP/2's library reads and writes it.
pub struct Heard {
    io: TokioIo<Connection>,
    heard: Rc<Cell<bool>>,
}

impl Heard {
    /// Sets `heard` whenever bytes have come.
    #[must_use]
    pub fn new(io: Connection, heard: Rc<Cell<bool>>) -> Self {
        Self {
            io: TokioIo::new(io),
            heard,
        }
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.heard.set(true);
        }
        read
    }
}

impl AsyncWrite for Heard {
    writes_by!(io);
}
