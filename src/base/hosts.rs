//! Host names: their form, and which of them are this machine's own.

use std::net::IpAddr;

/// A host name or IP address without a port, lower case: `a.example.com`,
/// `127.0.0.1`, `[::1]`.
#[must_use]
pub fn host_name(text: &str) -> Option<String> {
    let inside = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let fits = match inside {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => text.split('.').all(is_label) && text.len() <= 253,
    };
    fits.then(|| text.to_ascii_lowercase())
}

fn is_label(label: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !label.is_empty() && label.len() <= 63 && label.bytes().all(fits)
}

/// Whether what is sent to this host stays on this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match address(host) {
        Some(ip) => ip.to_canonical().is_loopback(),
        None => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Whether a connection to `host` reaches a listener on `listening`, as far as
/// can be told without asking the network.
#[must_use]
pub fn reaches(host: &str, listening: IpAddr) -> bool {
    let unspecified = address(host).is_some_and(|ip| ip.is_unspecified());
    let local = unspecified || is_loopback(host);
    if listening.is_unspecified() || listening.to_canonical().is_loopback() {
        return local;
    }
    address(host).is_some_and(|ip| ip.to_canonical() == listening.to_canonical())
}

/// The address that a host is, with or without brackets.
#[must_use]
pub fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{host_name, is_loopback, reaches};

    #[test]
    fn hosts_have_no_port_and_no_path() {
        for good in ["a", "a.example.com", "127.0.0.1", "[::1]", "A_b-c.d"] {
            assert_eq!(host_name(good), Some(good.to_ascii_lowercase()), "{good}");
        }
        for bad in ["", "a:80", "a/b", "a..b", "*.a", "[::1", "::1", "ä", "a b"] {
            assert_eq!(host_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn loopback_has_many_names() {
        for name in [
            "localhost",
            "a.localhost",
            "LOCALHOST.",
            "127.9.9.9",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_loopback(name), "{name}");
        }
        for name in ["localhost.com", "10.0.0.1", "::", "example.com"] {
            assert!(!is_loopback(name), "{name}");
        }
    }

    #[test]
    fn our_own_listeners_are_reached_by_any_local_name() {
        let any = "0.0.0.0".parse().unwrap();
        let lan = "10.0.0.1".parse().unwrap();
        assert!(reaches("localhost", any) && reaches("0.0.0.0", any));
        assert!(reaches("::1", "127.0.0.1".parse().unwrap()));
        assert!(reaches("10.0.0.1", lan) && !reaches("10.0.0.2", lan));
        assert!(!reaches("example.com", any));
    }
}
