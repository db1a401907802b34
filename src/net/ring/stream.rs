//! A connection on the ring, as hyper reads and writes it.

use super::Ring;
use super::conn::{DIRECT, UNSENT};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A connection on the ring of its thread.
pub struct Stream {
    ring: Rc<Ring>,
    index: u32,
}

impl Stream {
    /// Puts a socket on the ring.
    #[must_use]
    pub fn new(ring: Rc<Ring>, socket: TcpStream) -> Self {
        let index = ring.driver.borrow_mut().add(socket);
        Self { ring, index }
    }

    #[cfg(test)]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Ready when there is something to read.
    pub fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        let mut driver = self.ring.driver.borrow_mut();
        let (conn, _) = driver.conn(self.index);
        if conn.is_readable() {
            return Poll::Ready(());
        }
        conn.reader.wait(cx);
        driver.receive(self.index);
        Poll::Pending
    }

    /// Has `take` take what has come out of the socket itself; an error where that
    /// has to be read, for one because the kernel has put it into buffers.
    pub fn try_take(
        &self,
        take: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut driver = self.ring.driver.borrow_mut();
        driver.receive_by_word(self.index);
        driver.conn(self.index).0.take(take)
    }

    /// Has `give` put something into the socket itself, behind all that was written.
    pub fn poll_given(
        &self,
        cx: &Context<'_>,
        give: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut driver = self.ring.driver.borrow_mut();
        let (conn, _) = driver.conn(self.index);
        match conn.give(give) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                conn.writer.wait(cx);
                if conn.unsent() == 0 {
                    driver.await_room(self.index);
                }
                Poll::Pending
            }
            given => Poll::Ready(given),
        }
    }

    fn write(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut driver = self.ring.driver.borrow_mut();
        let (conn, _) = driver.conn(self.index);
        if let Some(error) = conn.write_error {
            return Poll::Ready(Err(io::Error::from_raw_os_error(error)));
        }
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        if length >= DIRECT && !conn.is_sending {
            match conn.send_now(bufs) {
                Ok(0) => {}
                Ok(sent) => return Poll::Ready(Ok(sent)),
                Err(error) => {
                    conn.write_failed(error.raw_os_error().unwrap_or(libc::EIO));
                    return Poll::Ready(Err(error));
                }
            }
        }
        if conn.unsent() >= UNSENT {
            conn.writer.wait(cx);
            return Poll::Pending;
        }
        if conn.written.capacity() == 0 {
            let spare = driver.spare();
            driver.conn(self.index).0.written = spare;
        }
        let taken = driver.conn(self.index).0.append(bufs);
        driver.list(self.index);
        Poll::Ready(Ok(taken))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ring.driver.borrow_mut().close(self.index);
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut driver = self.ring.driver.borrow_mut();
        let (conn, buffers) = driver.conn(self.index);
        if let Some(read) = conn.read(buffers, &mut buf) {
            return Poll::Ready(read);
        }
        conn.reader.wait(cx);
        driver.receive(self.index);
        Poll::Pending
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is written goes out at the end of the turn, also when the stream is
    /// dropped before: as with a socket, whose buffer nobody waits for either.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut driver = self.ring.driver.borrow_mut();
        let error = driver.conn(self.index).0.write_error;
        Poll::Ready(error.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error))))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut driver = self.ring.driver.borrow_mut();
        let (conn, _) = driver.conn(self.index);
        if let Some(error) = conn.write_error {
            return Poll::Ready(Err(io::Error::from_raw_os_error(error)));
        }
        if conn.unsent() > 0 {
            conn.writer.wait(cx);
            return Poll::Pending;
        }
        Poll::Ready(driver.shut_down(self.index))
    }
}
