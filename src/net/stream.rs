//! Streams as hyper reads and writes them.

use super::begun::Begun;
#[cfg(target_os = "linux")]
use super::ring;
use super::share::Share;
use super::tls::client::tls_error;
use super::tls::server::SecureStream;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::cell::OnceCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop::unconstrained;
use tokio_rustls::client::TlsStream;

/// A client's connection.
pub enum ClientStream {
    Plain(Stream),
    Tls(Box<SecureStream>),
    /// TLS over what was either of these before.
    Within(Box<SecureStream<Begun>>),
}

/// A stream of which can be told when there is something to read.
pub trait Readable {
    /// As [`Stream::poll_readable`].
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

impl Readable for Stream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_readable(self, cx)
    }
}

impl ClientStream {
    /// The connection itself, where nothing is laid over it.
    pub fn plain(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(_) | Self::Within(_) => None,
        }
    }

    /// As [`Stream::poll_readable`].
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(stream) => stream.poll_readable(cx),
            Self::Tls(stream) => stream.poll_readable(cx),
            Self::Within(stream) => stream.poll_readable(cx),
        }
    }
}

/// A connection on the back end of the calling worker.
pub enum Stream {
    Poll(TokioIo<TcpStream>),
    /// On either back end: the ring has no part in it.
    Unix(TokioIo<UnixStream>),
    #[cfg(target_os = "linux")]
    Ring(ring::Stream),
}

impl Stream {
    /// Of a socket that the event loop watches.
    ///
    /// # Errors
    /// When the socket can't be taken off the loop for the ring.
    pub fn new(socket: TcpStream) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(ring) = ring::current() {
            let socket = socket.into_std()?;
            return Ok(Self::Ring(ring::Stream::new(ring, socket)));
        }
        Ok(Self::Poll(TokioIo::new(socket)))
    }

    /// Of a socket that no event loop watches.
    ///
    /// # Errors
    /// When the loop can't watch it.
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(ring) = ring::current() {
            return Ok(Self::Ring(ring::Stream::new(ring, socket)));
        }
        TcpStream::from_std(socket).map(|socket| Self::Poll(TokioIo::new(socket)))
    }
}

impl Stream {
    /// Ready when there is something to read, or an end or an error to be read;
    /// needs no buffer for it.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            // The loop takes a new socket for readable until somebody has looked.
            // What is wrong with it, the read will tell.
            Self::Poll(stream) => {
                let mut byte = [0; 1];
                let peeked = stream
                    .inner()
                    .poll_peek(cx, &mut tokio::io::ReadBuf::new(&mut byte));
                peeked.map(drop)
            }
            Self::Unix(stream) => stream.inner().poll_read_ready(cx).map(drop),
            #[cfg(target_os = "linux")]
            Self::Ring(stream) => stream.poll_readable(cx),
        }
    }
}

/// Hands a socket that may have room to `give` until that is not told to wait.
#[cfg(target_os = "linux")]
macro_rules! given {
    ($socket:expr, $cx:ident, $give:ident) => {
        loop {
            let socket = $socket;
            ready!(socket.poll_write_ready($cx))?;
            let given = socket.try_io(Interest::WRITABLE, || $give(socket.as_fd()));
            match given.as_ref().map_err(io::Error::kind) {
                Err(io::ErrorKind::WouldBlock) => {}
                _ => return Poll::Ready(given),
            }
        }
    };
}

#[cfg(target_os = "linux")]
impl Stream {
    /// Has `take` take what has come out of the socket itself, if something may be here.
    ///
    /// # Errors
    /// As `take`'s; that it would block where it has to be read instead. That alone
    /// wakes whoever waits for more.
    pub fn try_take(
        &self,
        take: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self {
            Self::Poll(stream) => {
                let socket = stream.inner();
                socket.try_io(Interest::READABLE, || take(socket.as_fd()))
            }
            Self::Unix(stream) => {
                let socket = stream.inner();
                socket.try_io(Interest::READABLE, || take(socket.as_fd()))
            }
            Self::Ring(stream) => stream.try_take(take),
        }
    }

    /// Has `give` put something into the socket itself, behind all that was written.
    ///
    /// # Errors
    /// As `give`'s.
    pub fn poll_given(
        &mut self,
        cx: &mut Context<'_>,
        mut give: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Poll(stream) => {
                given!(stream.inner(), cx, give)
            }
            Self::Unix(stream) => {
                given!(stream.inner(), cx, give)
            }
            Self::Ring(stream) => stream.poll_given(cx, give),
        }
    }
}

/// A connection to an upstream.
pub enum UpstreamStream {
    Plain(Stream),
    Tls(Box<TokioIo<TlsStream<TokioIo<Stream>>>>),
    /// TLS with the origin, within that with a proxy.
    Within(Box<TokioIo<TlsStream<TokioIo<UpstreamStream>>>>),
}

/// Lets *reading* decide how a broken connection ends. A server that rejects an
/// upload answers and closes while we are still sending; the failed write must
/// not hide the answer that already waits in the receive buffer. So a failed
/// write counts as written, everything after it is discarded, and the read side
/// reports either the answer or the end of the connection.
pub struct ReadDecides<S> {
    stream: S,
    write_failed: bool,
    share: Share,
    trouble: Option<Trouble>,
}

/// The TLS error that ended a connection: a server judges a client's
/// certificate only after the client's side of the handshake (RFC 8446, 4.6.2
/// and 6.2), and what the HTTP client makes of it no longer tells.
#[derive(Clone, Default)]
pub struct Trouble(Rc<OnceCell<rustls::Error>>);

impl Trouble {
    /// The error, once there was one.
    #[must_use]
    pub fn get(&self) -> Option<&rustls::Error> {
        self.0.get()
    }

    fn note(&self, error: &io::Error) {
        if let Some(error) = tls_error(error) {
            let _ = self.0.set(error.clone());
        }
    }
}

impl UpstreamStream {
    /// What all of it goes over.
    fn innermost(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.inner().get_ref().0.inner(),
            Self::Within(stream) => stream.inner().get_ref().0.inner().innermost(),
        }
    }
}

impl ReadDecides<UpstreamStream> {
    /// True where a worker that stays awake sees what comes: a ring has no part in
    /// Unix sockets.
    #[must_use]
    pub fn is_looked_for(&self) -> bool {
        match self.stream.innermost() {
            #[cfg(target_os = "linux")]
            Stream::Unix(_) => ring::current().is_none(),
            _ => true,
        }
    }

    /// The connection itself, where nothing is laid over it: what goes past this has
    /// no share in large reads.
    pub fn plain(&mut self) -> Option<&mut Stream> {
        self.share.give_back();
        match &mut self.stream {
            UpstreamStream::Plain(stream) => Some(stream),
            UpstreamStream::Tls(_) | UpstreamStream::Within(_) => None,
        }
    }
}

impl<S> ReadDecides<S> {
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            write_failed: false,
            share: Share::default(),
            trouble: None,
        }
    }

    /// Over TLS: remembers the error that ended it.
    #[must_use]
    pub fn over_tls(stream: S) -> Self {
        Self {
            trouble: Some(Trouble::default()),
            ..Self::new(stream)
        }
    }

    /// Where a TLS error will be found; `None` without TLS.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.clone()
    }

    fn written(
        &mut self,
        result: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        match ready!(result) {
            Err(_) => {
                self.write_failed = true;
                Poll::Ready(Ok(length))
            }
            written => Poll::Ready(written),
        }
    }
}

impl<S: Read + Unpin> ReadDecides<S> {
    /// True when neither bytes nor an end have come: nobody is woken when they do.
    /// What is found is lost.
    pub fn is_silent(&mut self) -> bool {
        let mut byte = [MaybeUninit::uninit(); 1];
        let mut read = ReadBuf::uninit(&mut byte);
        let read = poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, read.unfilled()));
        // A task that has done much is told that there is nothing, without this.
        let read = pin!(unconstrained(read));
        read.poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }
}

impl<S: Read + Unpin> Read for ReadDecides<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let stream = &mut this.stream;
        let read = |buf: ReadBufCursor<'_>| Pin::new(stream).poll_read(cx, buf);
        let read = this.share.read(buf, read);
        if let (Poll::Ready(Err(error)), Some(trouble)) = (&read, &this.trouble) {
            trouble.note(error);
        }
        read
    }
}

impl<S: Write + Unpin> Write for ReadDecides<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.write_failed {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(result, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if self.write_failed {
            return Poll::Ready(Ok(length));
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(result, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.write_failed && ready!(Pin::new(&mut self.stream).poll_flush(cx)).is_err() {
            self.write_failed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_failed {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Reading and writing, passed on to whichever variant it is.
macro_rules! pass_on {
    ($stream:ty: $($(#[$cfg:meta])? $variant:ident),+) => {
        impl Read for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($(#[$cfg])? Self::$variant(stream) => Pin::new(stream).poll_read(cx, buf),)+
                }
            }
        }

        impl Write for $stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($(#[$cfg])? Self::$variant(stream) => Pin::new(stream).poll_write(cx, buf),)+
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($(#[$cfg])? Self::$variant(stream) => {
                        Pin::new(stream).poll_write_vectored(cx, bufs)
                    })+
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $($(#[$cfg])? Self::$variant(stream) => stream.is_write_vectored(),)+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($(#[$cfg])? Self::$variant(stream) => Pin::new(stream).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($(#[$cfg])? Self::$variant(stream) => Pin::new(stream).poll_shutdown(cx),)+
                }
            }
        }
    };
}

pass_on!(Stream: Poll, Unix, #[cfg(target_os = "linux")] Ring);
pass_on!(ClientStream: Plain, Tls, Within);
pass_on!(UpstreamStream: Plain, Tls, Within);

#[cfg(test)]
mod tests {
    use super::{ClientStream, Stream};

    #[test]
    fn that_there_is_tls_makes_no_plain_connection_bigger() {
        assert_eq!(size_of::<ClientStream>(), size_of::<Stream>());
    }
}
