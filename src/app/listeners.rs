//! Binds every listener before anything runs, so that all taken ports are
//! named at once.

use super::announce::Addresses;
use super::failure::{Failure, ListenError};
use super::handover::{self, Predecessor};
use super::holder;
use super::place::Place;
use crate::config::checked::listening::Address;
use crate::config::checked::{Config, Route, Upstream};
use crate::net::inherited::{Inherited, Wanted};
use crate::net::listen::{Socket, bind};
use crate::net::unix;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The bound listeners.
pub struct Bound {
    /// In the order of the configuration.
    pub proxy: Vec<Opened>,
    pub admin: TcpListener,
    pub probes: Option<TcpListener>,
}

/// A listener for applications, bound or handed over.
pub struct Opened {
    pub socket: Socket,
    /// The number by which it was handed over.
    pub inherited: Option<RawFd>,
}

/// Binds what the configuration names, or takes it from the process before.
///
/// # Errors
/// Every address that can't be had.
pub fn bind_all(
    config: &Config,
    inherited: &Inherited,
    mut predecessor: Option<&mut Predecessor>,
) -> Result<Bound, Vec<ListenError>> {
    let (mut errors, mut in_use) = (Vec::new(), Vec::new());
    let mut proxy = Vec::new();
    for listener in &config.listeners {
        let name = handover::name("listen", &listener.address);
        let taken = predecessor.as_mut().and_then(|before| {
            let lock = before.take(&handover::name("lock", &listener.address));
            Some((before.take(&name)?, lock))
        });
        let opened = match taken {
            Some((socket, lock)) => Opened::taken(&listener.address, socket, lock),
            None => open(&listener.address, inherited, &in_use),
        };
        match opened {
            Ok(opened) => {
                in_use.extend(opened.inherited);
                proxy.push(opened);
            }
            Err(why) => errors.push(ListenError::of_proxy(&listener.address, why)),
        }
    }
    let mut bind = |address, callers, flag, key| {
        let name = handover::name(key, address);
        let taken = predecessor.as_mut().and_then(|before| before.take(&name));
        taken
            .map_or_else(|| bind(address), |socket| Ok(TcpListener::from(socket)))
            .map_err(|why| errors.push(explain(&Address::Tcp(address), callers, flag, key, why)))
            .ok()
    };
    let admin = bind(
        config.admin.listen,
        "the admin API",
        "--admin-listen",
        "admin.listen",
    );
    let probes = config
        .probes
        .and_then(|address| bind(address, "probes", "--probes-listen", "probes.listen"));
    match admin {
        Some(admin) if errors.is_empty() => Ok(Bound {
            proxy,
            admin,
            probes,
        }),
        _ => Err(errors),
    }
}

/// Binds a listener for applications, or takes what was handed over and is not
/// `in_use`.
///
/// # Errors
/// When it can't be had.
pub fn open(address: &Address, inherited: &Inherited, in_use: &[RawFd]) -> io::Result<Opened> {
    let wanted = match address {
        Address::Tcp(address) => {
            let socket = bind(*address).map(Socket::Tcp)?;
            return Ok(Opened::ours(socket));
        }
        Address::Unix { path, mode } => return unix::bind(path, *mode).map(Opened::ours),
        Address::Descriptor(number) => Wanted::Number(*number),
        Address::Systemd(name) => Wanted::Name(name),
    };
    let (number, socket) = inherited.find(wanted, in_use).map_err(io::Error::other)?;
    Ok(Opened {
        socket,
        inherited: Some(number),
    })
}

impl Opened {
    /// From the process before.
    fn taken(address: &Address, socket: OwnedFd, lock: Option<OwnedFd>) -> io::Result<Self> {
        if let (Address::Unix { path, .. }, Some(lock)) = (address, lock) {
            return unix::taken(path, socket, lock).map(Self::ours);
        }
        let socket = Socket::from_descriptor(socket).map_err(io::Error::other)?;
        Ok(Self::ours(socket))
    }

    pub fn ours(socket: Socket) -> Self {
        Self {
            socket,
            inherited: None,
        }
    }
}

impl ListenError {
    /// For a listener for applications.
    pub(super) fn of_proxy(address: &Address, why: io::Error) -> Self {
        explain(address, "applications", "--listen", "listen", why)
    }
}

/// A route that leads to one of our own listeners would go round for ever. The
/// configuration was checked for that, but the command line may have moved a
/// listener since.
///
/// # Errors
/// The names of such routes.
pub fn refuse_own_upstreams(routes: &[Route], ours: &Addresses) -> Result<(), Failure> {
    let own: Vec<_> = routes
        .iter()
        .filter(|route| match &route.reach.unix_socket {
            None => ours
                .iter()
                .any(|ours| route.upstreams().any(|upstream| leads_to(upstream, ours))),
            Some(socket) => {
                let mut ours = ours.proxy.iter().filter_map(Place::unix);
                ours.any(|ours| is_same_file(socket, ours))
            }
        })
        .map(|route| route.name.clone())
        .collect();
    if own.is_empty() {
        Ok(())
    } else {
        Err(Failure::OwnUpstream(own))
    }
}

/// Whether a connection to this upstream comes out at the listener.
pub fn leads_to(upstream: &Upstream, listener: SocketAddr) -> bool {
    let host = match upstream.host.as_str() {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.trim_matches(['[', ']']).parse().ok(),
    };
    let here = host.map(|ip: IpAddr| ip.to_canonical()).is_some_and(|ip| {
        let everywhere = listener.ip().is_unspecified();
        ip == listener.ip().to_canonical() || (everywhere && ip.is_loopback())
    });
    upstream.port == listener.port() && here
}

/// Of two paths, one of which is bound.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let place = |path| fs::metadata(path).map(|seen| (seen.dev(), seen.ino())).ok();
    one == other || place(one).is_some_and(|place_of_one| Some(place_of_one) == place(other))
}

fn explain(
    address: &Address,
    callers: &'static str,
    flag: &'static str,
    key: &'static str,
    why: io::Error,
) -> ListenError {
    let taken = why.kind() == io::ErrorKind::AddrInUse;
    ListenError {
        address: address.clone(),
        callers,
        flag,
        key,
        holder: match address {
            Address::Tcp(address) if taken => holder::of_port(address.port()),
            _ => None,
        },
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, bind, explain, leads_to};
    use crate::config::checked::{Upstream, UpstreamScheme};
    use std::net::SocketAddr;

    #[test]
    fn an_upstream_at_our_own_listener_is_recognised() {
        let upstream = |host: &str, port| Upstream {
            scheme: UpstreamScheme::Http,
            host: host.into(),
            port,
            authority: host.into(),
            path: "/".into(),
            query: None,
        };
        let ours = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (host, listener) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("localhost", "127.0.0.1:80"),
            ("127.0.0.1", "0.0.0.0:80"),
            ("::1", "[::]:80"),
            ("127.0.0.1", "[::]:80"),
        ] {
            assert!(
                leads_to(&upstream(host, 80), ours(listener)),
                "{host} {listener}"
            );
            assert!(
                !leads_to(&upstream(host, 81), ours(listener)),
                "{host} {listener}"
            );
        }
        assert!(!leads_to(
            &upstream("api.example.com", 80),
            ours("0.0.0.0:80")
        ));
        assert!(!leads_to(&upstream("10.0.0.1", 80), ours("127.0.0.1:80")));
    }

    #[test]
    fn a_taken_port_is_named_with_its_holder_and_the_way_out() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        let why = bind(address).unwrap_err();
        let said = explain(
            &Address::Tcp(address),
            "applications",
            "--listen",
            "listen",
            why,
        )
        .to_string();
        assert!(said.starts_with(&format!("{address} is in use")), "{said}");
        assert!(said.contains("--listen"), "{said}");
        if cfg!(target_os = "linux") {
            let process = format!("process {}", std::process::id());
            assert!(said.contains(&process), "{said}");
        }
    }
}
