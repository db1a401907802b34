//! Opening connections to upstreams: resolve, connect, TLS.

use super::race::race;
use super::stream::{ReadDecides, Stream, UpstreamStream};
use super::{tls, unix_dial};
use crate::base::client_tls::ClientTls;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub tls: bool,
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
    /// The connection goes here instead of to the host and port.
    pub unix_socket: Option<Arc<Path>>,
    /// TLS other than by the system's authorities and without a client certificate.
    pub settings: Option<Arc<ClientTls>>,
}

/// An open connection to an upstream.
pub type Connection = ReadDecides<UpstreamStream>;

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address.
    Resolve(io::Error),
    /// No address took the connection.
    Connect(io::Error),
    /// TLS failed, in words for people.
    Tls(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => write!(f, "the name could not be resolved: {error}"),
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
        }
    }
}

/// Opens connections; one per process, cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    cold: Handle,
    tls: tls::client::Client,
}

impl Dialer {
    /// Names are resolved on `cold`, where blocking is allowed; certificates
    /// are judged by the operating system's trust store, read here, where the
    /// origin names no other.
    #[must_use]
    pub fn new(cold: Handle) -> Self {
        Self {
            cold,
            tls: tls::client::Client::new(),
        }
    }

    /// Opens a connection, to the first address of the name that takes one.
    ///
    /// # Errors
    /// [`DialError`], with what each address said.
    pub async fn connect(&self, origin: &Origin) -> Result<Connection, DialError> {
        let stream = match &origin.unix_socket {
            None => self.connect_tcp(origin).await?,
            Some(path) => connect_unix(path).await.map_err(DialError::Connect)?,
        };
        if !origin.tls {
            return Ok(ReadDecides::new(UpstreamStream::Plain(stream)));
        }
        let stream = self.tls.connect(origin, stream).await;
        let stream = stream.map_err(DialError::Tls)?;
        Ok(ReadDecides::over_tls(UpstreamStream::Tls(Box::new(
            TokioIo::new(stream),
        ))))
    }

    async fn connect_tcp(&self, origin: &Origin) -> Result<Stream, DialError> {
        let addresses = self.resolve(origin).await.map_err(DialError::Resolve)?;
        let connected = race(&addresses, |address| async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        connected
            .await
            .and_then(Stream::new)
            .map_err(DialError::Connect)
    }

    /// An address as it is; a name by the operating system's resolver, anew for
    /// each connection.
    async fn resolve(&self, origin: &Origin) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = origin.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, origin.port)]);
        }
        let (host, port) = (origin.host.clone(), origin.port);
        self.cold
            .spawn_blocking(move || (host.as_str(), port).to_socket_addrs())
            .await
            .map_err(io::Error::other)?
            .map(Iterator::collect)
    }
}

async fn connect_unix(path: &Path) -> io::Result<Stream> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let connected = unix_dial::connect(path).await.map_err(named)?;
    Ok(Stream::Unix(TokioIo::new(connected)))
}
