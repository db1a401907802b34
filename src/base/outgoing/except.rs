//! For which hosts no proxy is used: `NO_PROXY`, and `except`.

use crate::base::hosts::{address, host_name};
use std::net::IpAddr;

/// What it must look like, for people.
pub const EXPECTED: &str = "a host with its subdomains (`example.com`, `.example.com`), an address \
     (`10.0.0.1`), a block (`10.0.0.0/8`), each but a block with a port if need be, or `*`";

/// Hosts that need no proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Except(Vec<Exception>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Exception {
    All,
    /// A name in lower case and everything below it; `None`: any port.
    Name(String, Option<u16>),
    Address(IpAddr, Option<u16>),
    /// All addresses that begin with as many bits of this one.
    Block(IpAddr, u8),
}

impl Except {
    #[must_use]
    pub fn new(exceptions: Vec<Exception>) -> Self {
        Self(exceptions)
    }

    /// Those of a variable, separated by commas or blanks, and what in it is none.
    #[must_use]
    pub fn of_variable(text: &str) -> (Self, Vec<String>) {
        let (mut all, mut bad) = (Vec::new(), Vec::new());
        let parts = text.split(|c: char| c == ',' || c.is_ascii_whitespace());
        for part in parts.filter(|part| !part.is_empty()) {
            match Exception::parse(part) {
                Some(exception) => all.push(exception),
                None => bad.push(part.chars().take(60).collect()),
            }
        }
        (Self(all), bad)
    }

    /// True for a host that needs no proxy: a name, or an address with or
    /// without brackets.
    #[must_use]
    pub fn covers(&self, host: &str, port: u16) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let ip = address(host).map(|ip| ip.to_canonical());
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.0.iter().any(|exception| match (exception, ip) {
            (Exception::All, _) => true,
            (Exception::Name(suffix, of), None) => is_below(&name, suffix) && is_port(*of, port),
            (Exception::Address(other, of), Some(ip)) => *other == ip && is_port(*of, port),
            (Exception::Block(first, bits), Some(ip)) => is_within(ip, *first, *bits),
            _ => false,
        })
    }
}

impl Exception {
    /// Reads one; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((first, bits)) = text.split_once('/') {
            return block(first, bits);
        }
        if let Some(ip) = address(text) {
            return Some(Self::Address(ip.to_canonical(), None));
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, None),
            Some((host, port)) => (host, Some(number(port)?)),
        };
        // Without brackets the last part of an IPv6 address is no port.
        let is_bare = host.contains(':') && !host.starts_with('[');
        if let Some(ip) = address(host).filter(|_| !is_bare) {
            return Some(Self::Address(ip.to_canonical(), port));
        }
        let name = host.strip_prefix("*.").or(host.strip_prefix('.'));
        let name = name.unwrap_or(host);
        let name = host_name(name.strip_suffix('.').unwrap_or(name))?;
        (!name.starts_with('[')).then_some(Self::Name(name, port))
    }
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

fn block(first: &str, bits: &str) -> Option<Exception> {
    let ip = address(first)?;
    let bits: u8 = number(bits)?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    if bits > most {
        return None;
    }
    // An IPv4 address that is written as an IPv6 one is looked up as the former.
    Some(match (ip, ip.to_canonical()) {
        (IpAddr::V6(_), v4 @ IpAddr::V4(_)) => Exception::Block(v4, bits.checked_sub(96)?),
        _ => Exception::Block(ip, bits),
    })
}

fn is_port(of: Option<u16>, port: u16) -> bool {
    of.is_none_or(|of| of == port)
}

/// The name itself, or one below it.
fn is_below(name: &str, suffix: &str) -> bool {
    let before = name.strip_suffix(suffix);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn is_within(ip: IpAddr, first: IpAddr, bits: u8) -> bool {
    let (one, other, width) = match (ip, first) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (u128::from(one.to_bits()), u128::from(other.to_bits()), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    let differing = one ^ other;
    differing.checked_shr(width - u32::from(bits)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::{Except, Exception};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn covers(list: &str, host: &str, port: u16) -> bool {
        Except::of_variable(list).0.covers(host, port)
    }

    #[test]
    fn names_cover_what_is_below_them() {
        for list in [
            "example.com",
            ".example.com",
            "*.Example.COM",
            "example.com.",
        ] {
            for host in [
                "example.com",
                "a.example.com",
                "A.B.EXAMPLE.com",
                "example.com.",
            ] {
                assert!(covers(list, host, 443), "{list} {host}");
            }
            for host in ["badexample.com", "example.com.evil", "example.org", "com"] {
                assert!(!covers(list, host, 443), "{list} {host}");
            }
        }
        assert!(covers("a.test, b.test c.test:8443", "c.test", 8443));
        assert!(!covers("a.test, b.test c.test:8443", "c.test", 443));
        assert!(covers("*", "anything", 1) && covers("x,*", "::1", 1));
        assert!(!covers("", "a.test", 1) && !covers(" , ", "a.test", 1));
    }

    #[test]
    fn addresses_and_blocks() {
        for (list, host, port) in [
            ("10.0.0.1", "10.0.0.1", 1),
            ("10.0.0.1:80", "10.0.0.1", 80),
            ("10.0.0.0/8", "10.255.0.1", 1),
            ("10.0.0.0/8", "::ffff:10.1.1.1", 1),
            ("::ffff:10.0.0.0/104", "10.1.1.1", 1),
            ("0.0.0.0/0", "192.0.2.1", 1),
            ("2001:db8::/32", "[2001:db8::1]", 1),
            ("::1", "::1", 1),
            ("[::1]:80", "::1", 80),
            ("[::1]", "0:0::1", 80),
        ] {
            assert!(covers(list, host, port), "{list} {host}");
        }
        for (list, host, port) in [
            ("10.0.0.1:80", "10.0.0.1", 81),
            ("10.0.0.0/8", "11.0.0.1", 1),
            ("10.0.0.0/8", "10.example.com", 1),
            ("0.0.0.1", "10.0.0.1", 1),
            ("::/0", "10.0.0.1", 1),
            ("[::1]:80", "::1", 81),
            ("10.0.0.0/32", "10.0.0.1", 1),
        ] {
            assert!(!covers(list, host, port), "{list} {host}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        let (_, bad) = Except::of_variable("10.*, a:b:c, x/8, 10.0.0.0/33, a..b, ok.test, a:99999");
        assert_eq!(
            bad,
            ["10.*", "a:b:c", "x/8", "10.0.0.0/33", "a..b", "a:99999"]
        );
    }

    proptest! {
        #[test]
        fn reading_and_asking_never_panics(list in any::<String>(), host in any::<String>(), port: u16) {
            let _ = covers(&list, &host, port);
        }

        #[test]
        fn a_block_covers_just_the_addresses_with_its_bits(first: u32, other: u32, bits in 0u8..=32) {
            let list = format!("{}/{bits}", Ipv4Addr::from(first));
            let same = (0..bits).all(|bit| (first ^ other) >> (31 - bit) & 1 == 0);
            prop_assert_eq!(covers(&list, &Ipv4Addr::from(other).to_string(), 1), same);
        }

        #[test]
        fn so_of_ipv6(first: u128, flipped in 0u32..128, bits in 0u8..=128) {
            let first = first | 1 << 127;
            let other = Ipv6Addr::from(first ^ 1 << flipped);
            let list = format!("{}/{bits}", Ipv6Addr::from(first));
            let is_behind = 127 - flipped >= u32::from(bits);
            prop_assert_eq!(covers(&list, &other.to_string(), 1), is_behind);
        }

        #[test]
        fn a_name_covers_itself_and_below_and_nothing_beside(
            name in "[a-z][a-z0-9-]{0,8}(\\.[a-z]{2,5}){1,2}", below in "[a-z0-9]{1,8}", port: u16,
        ) {
            prop_assert!(covers(&name, &name, port));
            let sub = format!("{below}.{name}");
            prop_assert!(covers(&name, &sub, port));
            let beside = format!("{below}{name}");
            prop_assert!(!covers(&name, &beside, port));
            let with_port = format!("{name}:{port}");
            prop_assert!(covers(&with_port, &sub, port));
            prop_assert!(!covers(&with_port, &sub, port ^ 1));
        }

        #[test]
        fn an_address_covers_itself_however_it_is_written(bits: u128) {
            let ip = IpAddr::from(Ipv6Addr::from(bits));
            let bracketed = format!("[{ip}]");
            prop_assert!(covers(&ip.to_string(), &bracketed, 1));
            prop_assert!(covers(&bracketed, &ip.to_string(), 1));
            prop_assert_eq!(Exception::parse(&bracketed), Exception::parse(&ip.to_string()));
        }
    }
}
