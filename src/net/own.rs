//! A proxy that is sidekey itself: whoever exports `http_proxy` for an
//! application, and then starts sidekey in the same shell, makes one.

use crate::base::hosts::address;
use crate::base::outgoing::proxy::Proxy;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

/// Our own listener that connections to the proxy would come out at. May ask the
/// system's resolver, which blocks, but only where the port is one of ours.
#[must_use]
pub fn listener(proxy: &Proxy, ours: &[SocketAddr]) -> Option<SocketAddr> {
    let same_port = ours.iter().filter(|own| own.port() == proxy.port);
    let same_port: Vec<SocketAddr> = same_port.copied().collect();
    if same_port.is_empty() {
        return None;
    }
    if let Some(own) = same_port.iter().find(|own| proxy.is_at(**own)) {
        return Some(*own);
    }
    let addresses: Vec<IpAddr> = match address(&proxy.host) {
        Some(ip) => vec![ip.to_canonical()],
        None => (proxy.host.as_str(), proxy.port)
            .to_socket_addrs()
            .map(|found| found.map(|one| one.ip().to_canonical()).collect())
            .unwrap_or_default(),
    };
    let is_at = |own: &SocketAddr, ip: IpAddr| {
        let everywhere = own.ip().is_unspecified() && is_this_machines(ip);
        everywhere || own.ip().to_canonical() == ip
    };
    let comes_out = |own: &&SocketAddr| addresses.iter().any(|ip| is_at(own, *ip));
    same_port.iter().find(comes_out).copied()
}

/// The system would speak to one of its own addresses from that very address.
/// Nothing is sent.
fn is_this_machines(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => [0, 0, 0, 0].into(),
        IpAddr::V6(_) => [0u16; 8].into(),
    };
    let local = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    ip.is_loopback() || local.is_ok_and(|local| local.ip().to_canonical() == ip)
}

#[cfg(test)]
mod tests {
    use super::listener;
    use crate::base::outgoing::proxy::{Login, Proxy};
    use std::net::SocketAddr;

    fn is_own(url: &str, ours: &[&str]) -> bool {
        let proxy = Proxy::new(url.parse().unwrap(), Login::default());
        let ours: Vec<SocketAddr> = ours.iter().map(|a| a.parse().unwrap()).collect();
        listener(&proxy, &ours).is_some()
    }

    #[test]
    fn a_local_name_with_a_port_of_ours_is_ours() {
        for (url, own) in [
            ("http://localhost:7480", "127.0.0.1:7480"),
            ("http://127.0.0.1:7480", "0.0.0.0:7480"),
            ("http://127.0.0.2:7480", "0.0.0.0:7480"),
            ("http://[::1]:7480", "[::]:7480"),
            ("https://0.0.0.0:7480", "127.0.0.1:7480"),
            ("http://192.0.2.1:7480", "192.0.2.1:7480"),
            ("http://localhost", "127.0.0.1:80"),
        ] {
            assert!(is_own(url, &["127.0.0.1:1", own]), "{url} {own}");
        }
        for (url, own) in [
            ("http://localhost:3128", "127.0.0.1:7480"),
            ("http://192.0.2.1:7480", "0.0.0.0:7480"),
            ("http://192.0.2.1:7480", "127.0.0.1:7480"),
            ("http://proxy.invalid:3128", "0.0.0.0:7480"),
        ] {
            assert!(!is_own(url, &["127.0.0.1:1", own]), "{url} {own}");
        }
    }
}
