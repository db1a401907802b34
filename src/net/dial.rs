//! Opening connections to upstreams: resolve, connect, TLS.

use super::stream::{ReadDecides, Stream, UpstreamStream};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

/// As TLS's handshake names them.
const HTTP1: &str = "http/1.1";
const HTTP2: &str = "h2";

fn alpn(protocols: &[&str]) -> Vec<Vec<u8>> {
    let names = protocols.iter();
    names.map(|name| name.as_bytes().to_vec()).collect()
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub tls: bool,
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
}

/// An open connection to an upstream.
pub type Connection = ReadDecides<UpstreamStream>;

/// A connection, and what is spoken over it.
pub struct Dialed {
    pub stream: Connection,
    /// TLS's handshake has settled on HTTP/2.
    pub http2: bool,
}

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
    /// Without a trust store only TLS fails, and says why.
    tls: Result<TlsConnector, String>,
}

impl Dialer {
    /// Names are resolved on `cold`, where blocking is allowed; certificates
    /// are judged by the operating system's trust store, read here.
    #[must_use]
    pub fn new(cold: Handle) -> Self {
        let tls = rustls::ClientConfig::builder()
            .with_platform_verifier()
            .map_err(|error| format!("there is no trust store: {error}"))
            .map(|builder| {
                let mut config = builder.with_no_client_auth();
                config.alpn_protocols = alpn(&[HTTP1]);
                TlsConnector::from(Arc::new(config))
            });
        Self { cold, tls }
    }

    /// Opens a connection; every address of the name is tried in turn. Over
    /// TLS, HTTP/2 may be offered beside HTTP/1.1 (RFC 7301).
    ///
    /// # Errors
    /// [`DialError`], of the last address tried.
    pub async fn connect(&self, origin: &Origin, offer_http2: bool) -> Result<Dialed, DialError> {
        let stream = self.connect_tcp(origin).await?;
        let stream = Stream::new(stream).map_err(DialError::Connect)?;
        if !origin.tls {
            return Ok(Dialed {
                stream: ReadDecides::new(UpstreamStream::Plain(stream)),
                http2: false,
            });
        }
        let tls = self
            .tls
            .as_ref()
            .map_err(|why| DialError::Tls(why.clone()))?;
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|_| DialError::Tls(format!("{:?} is not a server name", origin.host)))?;
        let io = TokioIo::new(stream);
        let connect = match offer_http2 {
            true => tls.with_alpn(alpn(&[HTTP2, HTTP1])).connect(name, io),
            false => tls.connect(name, io),
        };
        let stream = connect
            .await
            .map_err(|error| DialError::Tls(error.to_string()))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2.as_bytes());
        let stream = UpstreamStream::Tls(Box::new(TokioIo::new(stream)));
        Ok(Dialed {
            stream: ReadDecides::new(stream),
            http2,
        })
    }

    async fn connect_tcp(&self, origin: &Origin) -> Result<TcpStream, DialError> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.resolve(origin).await.map_err(DialError::Resolve)? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(DialError::Connect)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(DialError::Connect(last))
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
