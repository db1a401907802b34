//! Where applications call: addresses of every kind, and TLS.

use super::callers::Allowed;
use super::connect::Connect;
use super::served::Served;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Where applications call.
#[derive(Debug, Clone)]
pub struct Listener {
    pub address: Address,
    /// Host names (lower case, without port) that may be used to reach this listener.
    pub hosts: Vec<String>,
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// `None`: whoever can reach it.
    pub callers: Option<Arc<Allowed>>,
    /// `None`: CONNECT is refused.
    pub connect: Option<Connect>,
    /// `None`: all routes.
    pub routes: Option<Served>,
}

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    /// A Unix socket; `mode` are the permission bits of its file.
    Unix {
        path: PathBuf,
        mode: u32,
    },
    /// A listening socket that was open when the process began, by its descriptor.
    Descriptor(u32),
    /// The same, by the name that systemd gives it.
    Systemd(String),
}

/// A listener's TLS. The files' content, not their names: another content makes
/// it another.
#[derive(Clone)]
pub struct Tls {
    /// The certificate, its chain and its key, which fit.
    pub own: Arc<CertifiedKey>,
    pub clients: Option<Clients>,
    /// SHA-256 of everything about it.
    pub digest: [u8; 32],
}

/// Certificates that callers show.
#[derive(Clone)]
pub struct Clients {
    /// Who may have issued them.
    pub roots: Arc<RootCertStore>,
    /// False: those without one may call, too.
    pub required: bool,
    /// SHA-256 of both.
    pub digest: [u8; 32],
}

impl Listener {
    /// Whether anybody on the network may call it, and under any name. What a
    /// handed-over socket is, the configuration does not know.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        matches!(&self.address, Address::Tcp(address) if self.is_exposed_at(*address))
    }

    /// The same for a listener whose address is known.
    #[must_use]
    pub fn is_exposed_at(&self, address: SocketAddr) -> bool {
        let clients = self.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        let is_asked = clients.is_some_and(|clients| clients.required);
        let is_limited = !self.hosts.is_empty() || is_asked || self.callers.is_some();
        !address.ip().to_canonical().is_loopback() && !is_limited
    }

    /// What follows from that, for one that is here.
    #[must_use]
    pub fn exposure(&self, place: &dyn fmt::Display) -> String {
        let what = match &self.routes {
            None => "every route, and with it every route's account".to_owned(),
            Some(some) => format!("the routes {some}, and with them their accounts"),
        };
        format!(
            "whoever can reach {place} may use {what}; `hosts` names the hosts by which it may \
             be called"
        )
    }
}

impl Address {
    /// The mode of a Unix socket's file where none is written: for its owner only.
    pub const MODE: u32 = 0o600;

    /// `127.0.0.1:7480`, `unix:/path`, `fd:3`, `systemd:NAME`; a relative path
    /// as it is. `None` when it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            let (path, mode) = (PathBuf::from(path), Self::MODE);
            return is_path(text).then_some(Self::Unix { path, mode });
        }
        if let Some(number) = text.strip_prefix("fd:") {
            let is_number = number.bytes().all(|b| b.is_ascii_digit());
            let number = number.parse().ok().filter(|n| *n >= 3 && is_number);
            return number.map(Self::Descriptor);
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            let fits = |b: u8| b.is_ascii_graphic() && b != b':';
            let is_name = !name.is_empty() && name.len() <= 255 && name.bytes().all(fits);
            return is_name.then(|| Self::Systemd(name.to_owned()));
        }
        text.parse().ok().map(Self::Tcp)
    }
}

/// A path that unix(7) takes for a file's: not empty, no NUL.
fn is_path(text: &str) -> bool {
    let path = text.trim_start_matches("unix:");
    !path.is_empty() && !path.ends_with('/') && !path.contains('\0') && !path.starts_with('@')
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Descriptor(number) => write!(f, "fd:{number}"),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_of_four_kinds() {
        for good in [
            "127.0.0.1:80",
            "[::]:80",
            "unix:/a/b",
            "unix:b",
            "fd:3",
            "systemd:web",
        ] {
            let parsed = Address::parse(good).map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), Some(good));
        }
        for bad in [
            "",
            "a:80",
            "127.0.0.1",
            "unix:",
            "unix:/a/",
            "unix:@a",
            "unix:a\0b",
            "fd:",
            "fd:2",
            "fd:+3",
            "fd:x",
            "systemd:",
            "systemd:a:b",
            "systemd:a b",
            "http://127.0.0.1:80",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad:?}");
        }
    }
}
