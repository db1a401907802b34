//! Binds every listener before anything runs, so that all taken ports are
//! named at once.

use super::announce::Addresses;
use super::failure::{Failure, ListenError};
use super::handover::{self, Predecessor};
use super::holder;
use crate::config::checked::{Config, Route, Upstream};
use crate::net::listen::bind;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// The bound listeners.
pub struct Bound {
    /// In the order of the configuration.
    pub proxy: Vec<TcpListener>,
    pub admin: TcpListener,
    pub probes: Option<TcpListener>,
}

/// Binds what the configuration names, or takes it from the process before.
///
/// # Errors
/// Every address that can't be had.
pub fn bind_all(
    config: &Config,
    mut predecessor: Option<&mut Predecessor>,
) -> Result<Bound, Vec<ListenError>> {
    let mut errors = Vec::new();
    let mut bind = |address, callers, flag, key| {
        let name = handover::name(key, address);
        let taken = predecessor.as_mut().and_then(|before| before.take(&name));
        taken
            .map_or_else(|| bind(address), |socket| Ok(TcpListener::from(socket)))
            .map_err(|why| errors.push(explain(address, callers, flag, key, why)))
            .ok()
    };
    let proxy: Vec<_> = config
        .listeners
        .iter()
        .filter_map(|listener| bind(listener.address, "applications", "--listen", "listen"))
        .collect();
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

/// Binds one more listener for applications.
///
/// # Errors
/// When the address can't be had, and who has it.
pub fn bind_proxy(address: SocketAddr) -> Result<TcpListener, ListenError> {
    bind(address).map_err(|why| ListenError::of_proxy(address, why))
}

impl ListenError {
    /// For a listener for applications.
    pub(super) fn of_proxy(address: SocketAddr, why: io::Error) -> Self {
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
        .filter(|route| {
            let over_network = route.reach.unix_socket.is_none();
            over_network && ours.iter().any(|ours| leads_to(&route.upstream, ours))
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

fn explain(
    address: SocketAddr,
    callers: &'static str,
    flag: &'static str,
    key: &'static str,
    why: io::Error,
) -> ListenError {
    let taken = why.kind() == io::ErrorKind::AddrInUse;
    ListenError {
        address,
        callers,
        flag,
        key,
        holder: if taken {
            holder::of_port(address.port())
        } else {
            None
        },
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::{bind, explain, leads_to};
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
        let said = explain(address, "applications", "--listen", "listen", why).to_string();
        assert!(said.starts_with(&format!("{address} is in use")), "{said}");
        assert!(said.contains("--listen"), "{said}");
        if cfg!(target_os = "linux") {
            let process = format!("process {}", std::process::id());
            assert!(said.contains(&process), "{said}");
        }
    }
}
