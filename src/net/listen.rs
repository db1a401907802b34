//! Listening sockets.

use super::stream::ClientStream;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener as StdListener};
use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Binds and listens; `[::]` also takes IPv4.
///
/// # Errors
/// What the operating system says, `AddrInUse` most of all.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(
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

/// A listener on the calling event loop.
pub struct Acceptor(TcpListener);

impl Acceptor {
    /// Takes a bound listener over to the calling event loop.
    ///
    /// # Errors
    /// When the loop can't watch it.
    pub fn new(listener: StdListener) -> io::Result<Self> {
        TcpListener::from_std(listener).map(Self)
    }

    /// The next connection, with `TCP_NODELAY` set, free of any event loop.
    ///
    /// # Errors
    /// What the operating system says. A peer that gave up or a limit reached
    /// for now is no reason to stop accepting.
    pub async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((Accepted(Held::ByLoop(stream)), peer))
    }
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

    /// The stream as hyper reads and writes it.
    ///
    /// # Errors
    /// When the event loop can't watch it, or can't let it go.
    pub fn into_stream(self) -> io::Result<ClientStream> {
        match self.0 {
            Held::ByLoop(stream) => ClientStream::new(stream),
            Held::Free(stream) => ClientStream::from_std(stream),
        }
    }
}
