//! Listening sockets: bound, watched by an event loop, accepted at.

use super::inherited;
use super::stream::Stream;
use super::unix::{self, Bound};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that may wait to be accepted.
pub(super) const BACKLOG: i32 = 4096;

/// Binds and listens; `[::]` also takes IPv4.
///
/// # Errors
/// What the operating system says, `AddrInUse` most of all.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the last process's connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A listening socket that no event loop watches yet.
#[derive(Debug)]
pub enum Socket {
    Tcp(StdListener),
    /// With its file, where we made that: it goes when the last copy does.
    Unix(StdUnixListener, Option<Arc<Bound>>),
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Who is at the other end of an accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(IpAddr),
    /// The process that connected, where the system says it.
    Unix(Option<Credentials>),
}

/// A process's user and group, as they were when it connected (unix(7), `SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub uid: u32,
    pub gid: u32,
}

impl Socket {
    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// When there are no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket, bound) => Self::Unix(socket.try_clone()?, bound.clone()),
        })
    }

    /// Of a descriptor that another process has opened. One that is of no use
    /// stays open: whoever passed it may know why.
    ///
    /// # Errors
    /// What it is instead of a listening stream socket.
    pub fn from_descriptor(socket: OwnedFd) -> Result<Self, &'static str> {
        inherited::listening(socket)
    }

    /// A copy for another process.
    ///
    /// # Errors
    /// When there are no more descriptors.
    pub fn to_pass_on(&self) -> io::Result<OwnedFd> {
        Ok(match self {
            Self::Tcp(socket) => socket.try_clone()?.into(),
            Self::Unix(socket, _) => socket.try_clone()?.into(),
        })
    }

    /// Its file, where we made that.
    #[must_use]
    pub fn file(&self) -> Option<&Arc<Bound>> {
        match self {
            Self::Unix(_, bound) => bound.as_ref(),
            Self::Tcp(_) => None,
        }
    }

    /// Whether accepting waits; for all copies of the socket.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(nonblocking),
            Self::Unix(socket, _) => socket.set_nonblocking(nonblocking),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn local(&self) -> io::Result<Local> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Local::Tcp),
            Self::Unix(socket, _) => {
                let address = socket.local_addr()?;
                let path = address.as_pathname().map(PathBuf::from);
                Ok(Local::Unix(path.unwrap_or_else(|| "(unnamed)".into())))
            }
        }
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A listener on the calling event loop.
pub enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener, Option<Arc<Bound>>),
}

impl Acceptor {
    /// Takes a bound listener over to the calling event loop.
    ///
    /// # Errors
    /// When the loop can't watch it.
    pub fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            Socket::Unix(socket, bound) => {
                UnixListener::from_std(socket).map(|socket| Self::Unix(socket, bound))
            }
        }
    }

    /// The next connection, one of TCP with `TCP_NODELAY` set.
    ///
    /// # Errors
    /// What the operating system says. A peer that gave up or a limit reached
    /// for now is no reason to stop accepting.
    pub async fn accept(&self) -> io::Result<(Accepted, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Accepted(Held::ByLoop(stream)), Peer::Tcp(peer.ip())))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::Unix(unix::credentials(&stream));
                Ok((Accepted(Held::Free(generic(stream)?)), peer))
            }
        }
    }
}

/// What is called on a connected stream socket is the same for both families,
/// so that from here on both are of one type: hot code has no case for it.
fn generic(stream: UnixStream) -> io::Result<std::net::TcpStream> {
    let stream = OwnedFd::from(stream.into_std()?);
    Ok(std::net::TcpStream::from(stream))
}

/// A connection on the worker that accepted it.
pub struct Accepted(Held);

enum Held {
    /// The event loop watches it.
    ByLoop(TcpStream),
    /// No event loop does.
    Free(std::net::TcpStream),
}

impl Accepted {
    /// Frees it from its event loop, for another worker.
    ///
    /// # Errors
    /// When it can't be taken off.
    pub fn detach(self) -> io::Result<std::net::TcpStream> {
        match self.0 {
            Held::ByLoop(stream) => stream.into_std(),
            Held::Free(stream) => Ok(stream),
        }
    }

    /// Gives a freed connection to the calling worker.
    #[must_use]
    pub fn attach(stream: std::net::TcpStream) -> Self {
        Self(Held::Free(stream))
    }

    /// Writes what the socket's buffer takes at once, and closes.
    ///
    /// # Errors
    /// When it takes nothing.
    pub fn say_and_close(self, bytes: &[u8]) -> io::Result<()> {
        self.detach()?.write_all(bytes)
    }

    /// The bytes of the connection, as hyper reads and writes them.
    ///
    /// # Errors
    /// When the event loop can't watch it, or can't let it go.
    pub fn into_stream(self) -> io::Result<Stream> {
        match self.0 {
            Held::ByLoop(stream) => Stream::new(stream),
            Held::Free(stream) => Stream::from_std(stream),
        }
    }
}
