//! The hosts for which an authority is believed (RFC 5280, 4.2.1.10).

use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, ParsedExtension};

/// What is permitted, as far as anything is said of names and of addresses, and
/// what is excluded.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    permitted: Hosts,
    excluded: Hosts,
}

#[derive(Debug, Default)]
struct Hosts {
    names: Vec<String>,
    /// Addresses and their masks.
    addresses: Vec<Vec<u8>>,
}

impl Constraints {
    /// Of an authority's certificate; `None` when they can't be read.
    pub fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let mut constraints = Self::default();
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::NameConstraints(found) => {
                    constraints.permitted = Hosts::of(found.permitted_subtrees.as_deref());
                    constraints.excluded = Hosts::of(found.excluded_subtrees.as_deref());
                }
                ParsedExtension::ParseError { .. } => return None,
                _ => {}
            }
        }
        Some(constraints)
    }

    /// True for a name, in lower case.
    pub fn permit_name(&self, name: &str) -> bool {
        let permitted = &self.permitted.names;
        (permitted.is_empty() || permitted.iter().any(|base| is_under(name, base)))
            && !self.excluded.names.iter().any(|base| is_under(name, base))
    }

    pub fn permit_address(&self, ip: IpAddr) -> bool {
        let permitted = &self.permitted.addresses;
        (permitted.is_empty() || permitted.iter().any(|net| is_in(ip, net)))
            && !self.excluded.addresses.iter().any(|net| is_in(ip, net))
    }

    /// True when not every name is permitted, and not every address.
    pub fn limit_both(&self) -> bool {
        let addresses = &self.permitted.addresses;
        let excludes = |length| {
            let mut nets = self.excluded.addresses.iter();
            nets.any(|net| net.len() == length && net[length / 2..].iter().all(|b| *b == 0))
        };
        !self.permitted.names.is_empty() && (!addresses.is_empty() || (excludes(8) && excludes(32)))
    }
}

impl Hosts {
    fn of(subtrees: Option<&[GeneralSubtree<'_>]>) -> Self {
        let mut hosts = Self::default();
        for subtree in subtrees.unwrap_or_default() {
            match &subtree.base {
                GeneralName::DNSName(name) => hosts.names.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(net) => hosts.addresses.push(net.to_vec()),
                _ => {}
            }
        }
        hosts
    }
}

/// The name itself and all under it; `.name` stands, where it is used, for those
/// under it only.
fn is_under(name: &str, base: &str) -> bool {
    match base.strip_prefix('.') {
        _ if base.is_empty() => true,
        Some(_) => name.len() > base.len() && name.ends_with(base),
        None => name
            .strip_suffix(base)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
    }
}

/// An address of the same kind, the same in all that the mask covers.
fn is_in(ip: IpAddr, net: &[u8]) -> bool {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (base, mask) = net.split_at(net.len() / 2);
    let pairs = octets.iter().zip(base).zip(mask);
    base.len() == octets.len() && pairs.into_iter().all(|((o, b), m)| o & m == b & m)
}

#[cfg(test)]
mod tests {
    use super::{is_in, is_under};

    #[test]
    fn a_base_stands_for_itself_and_what_is_under_it() {
        for (name, base, expected) in [
            ("a.example", "a.example", true),
            ("x.a.example", "a.example", true),
            ("xa.example", "a.example", false),
            ("example", "a.example", false),
            ("a.example", ".a.example", false),
            ("x.a.example", ".a.example", true),
            ("anything", "", true),
        ] {
            assert_eq!(is_under(name, base), expected, "{name} {base}");
        }
    }

    #[test]
    fn a_net_holds_addresses_of_its_kind() {
        let net = [10, 1, 0, 0, 255, 255, 0, 0];
        for (ip, expected) in [("10.1.9.9", true), ("10.2.0.0", false), ("::a01:0", false)] {
            assert_eq!(is_in(ip.parse().unwrap(), &net), expected, "{ip}");
        }
        assert!(!is_in("10.1.0.0".parse().unwrap(), &[]));
    }
}
