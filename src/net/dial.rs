//! Opening connections to upstreams: resolve, connect, TLS.

use super::race::race;
use super::stream::{ReadDecides, Stream, UpstreamStream};
use super::via::{self, NoWay, Via, Why};
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
    /// `None`: it goes there by itself.
    pub via: Option<Arc<Via>>,
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
    /// There is no way through the proxy.
    Proxy(NoWay),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => write!(f, "the name could not be resolved: {error}"),
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
            Self::Proxy(why) => why.fmt(f),
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

    /// Opens a connection, to the first address of the name that takes one. Over
    /// TLS, HTTP/2 may be offered beside HTTP/1.1 (RFC 7301).
    ///
    /// # Errors
    /// [`DialError`], with what each address said.
    pub async fn connect(&self, origin: &Origin, offer_http2: bool) -> Result<Dialed, DialError> {
        if let Some(via) = &origin.via {
            return Box::pin(self.connect_via(via, via.tunnel, origin, offer_http2)).await;
        }
        let stream = match &origin.unix_socket {
            None => self.connect_tcp(&origin.host, origin.port).await?,
            Some(path) => connect_unix(path).await.map_err(DialError::Connect)?,
        };
        if !origin.tls {
            return Ok(Dialed {
                stream: ReadDecides::new(UpstreamStream::Plain(stream)),
                http2: false,
            });
        }
        self.secured(origin, stream, offer_http2).await
    }

    /// The same for HTTP/1.1 that may become something else, of which a proxy is
    /// to know nothing: always by a tunnel.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_past(&self, origin: &Origin) -> Result<Dialed, DialError> {
        match &origin.via {
            None => self.connect(origin, false).await,
            Some(via) => Box::pin(self.connect_via(via, true, origin, false)).await,
        }
    }

    /// TLS with the origin over what leads there.
    async fn secured(
        &self,
        origin: &Origin,
        stream: Stream,
        offer_http2: bool,
    ) -> Result<Dialed, DialError> {
        let stream = self.tls.connect(origin, stream, offer_http2).await;
        let stream = stream.map_err(DialError::Tls)?;
        let http2 = tls::client::is_http2(&stream);
        let stream = UpstreamStream::Tls(Box::new(TokioIo::new(stream)));
        Ok(Dialed {
            stream: ReadDecides::over_tls(stream),
            http2,
        })
    }

    async fn connect_via(
        &self,
        via: &Via,
        tunnel: bool,
        origin: &Origin,
        offer_http2: bool,
    ) -> Result<Dialed, DialError> {
        let proxy = &via.proxy;
        let no_way = |why| {
            let proxy = proxy.clone();
            DialError::Proxy(NoWay { proxy, why })
        };
        let stream = self.connect_tcp(&proxy.host, proxy.port).await;
        let stream = stream.map_err(|why| no_way(Why::Unreachable(why.to_string())))?;
        let mut stream = match proxy.tls {
            false => UpstreamStream::Plain(stream),
            true => {
                let secured = self.tls.connect_proxy(proxy, stream).await;
                let secured = secured.map_err(|why| no_way(Why::Tls(why)))?;
                UpstreamStream::Tls(Box::new(TokioIo::new(secured)))
            }
        };
        if tunnel {
            let shown = proxy.login.authorization.as_ref();
            let mut io = TokioIo::new(&mut stream);
            via::ask(&mut io, &authority(origin), shown)
                .await
                .map_err(no_way)?;
        }
        match stream {
            stream if !origin.tls => Ok(Dialed {
                stream: ReadDecides::new(stream),
                http2: false,
            }),
            UpstreamStream::Plain(stream) => self.secured(origin, stream, offer_http2).await,
            outer => {
                let stream = self.tls.connect(origin, outer, offer_http2).await;
                let stream = stream.map_err(DialError::Tls)?;
                let http2 = tls::client::is_http2(&stream);
                let stream = UpstreamStream::Within(Box::new(TokioIo::new(stream)));
                Ok(Dialed {
                    stream: ReadDecides::over_tls(stream),
                    http2,
                })
            }
        }
    }

    /// Opens a plain connection to a name or address, without brackets; only to
    /// other machines where it is to lead `elsewhere`: not to this one, by
    /// whichever of its addresses, and not to its link.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn through(
        &self,
        host: &str,
        port: u16,
        elsewhere: bool,
    ) -> Result<Connection, DialError> {
        let addresses = self.resolve(host, port).await.map_err(DialError::Resolve)?;
        let connected = race(&addresses, |address| async move {
            if elsewhere && !may_lead_elsewhere(address.ip()) {
                return Err(not_elsewhere());
            }
            let stream = TcpStream::connect(address).await?;
            if elsewhere && stream.local_addr()?.ip() == stream.peer_addr()?.ip() {
                return Err(not_elsewhere());
            }
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let stream = connected.await.and_then(Stream::new);
        let stream = stream.map_err(DialError::Connect)?;
        Ok(ReadDecides::new(UpstreamStream::Plain(stream)))
    }

    async fn connect_tcp(&self, host: &str, port: u16) -> Result<Stream, DialError> {
        let addresses = self.resolve(host, port).await;
        let addresses = addresses.map_err(DialError::Resolve)?;
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
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let host = host.to_owned();
        self.cold
            .spawn_blocking(move || (host.as_str(), port).to_socket_addrs())
            .await
            .map_err(io::Error::other)?
            .map(Iterator::collect)
    }
}

/// The origin's host and port, as CONNECT names them.
fn authority(origin: &Origin) -> String {
    match origin.host.contains(':') {
        true => format!("[{}]:{}", origin.host, origin.port),
        false => format!("{}:{}", origin.host, origin.port),
    }
}

/// False for addresses that lead to this machine, or no further than its link,
/// where clouds answer with a machine's own credentials.
fn may_lead_elsewhere(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let is_near = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(is_near || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

fn not_elsewhere() -> io::Error {
    let what = "the name leads to this machine or its link, and a pattern let it through: \
                where that is meant, list the host itself under connect.tunnel";
    io::Error::new(io::ErrorKind::PermissionDenied, what)
}

async fn connect_unix(path: &Path) -> io::Result<Stream> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let connected = unix_dial::connect(path).await.map_err(named)?;
    Ok(Stream::Unix(TokioIo::new(connected)))
}

#[cfg(test)]
mod tests {
    use super::may_lead_elsewhere;

    #[test]
    fn this_machine_and_its_link_are_not_elsewhere() {
        for near in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ] {
            assert!(!may_lead_elsewhere(near.parse().unwrap()), "{near}");
        }
        for far in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(may_lead_elsewhere(far.parse().unwrap()), "{far}");
        }
    }
}
