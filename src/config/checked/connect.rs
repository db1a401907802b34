//! What the callers of a listener may reach by CONNECT.

use super::HostMatch;
use crate::base::authority::Authority;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a listener does where it is asked to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Tunnels.
    pub targets: Vec<Target>,
    /// What goes before tunnels; `None` where nothing is intercepted.
    pub interception: Option<Interception>,
    /// For the look-up of the name and the connection.
    pub connect_timeout: Duration,
    /// How long both directions may be silent.
    pub tunnel_idle_timeout: Duration,
}

/// The connections that end here, and who signs the certificates for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interception {
    pub targets: Vec<Target>,
    pub authority: Arc<Authority>,
}

/// `api.example.com:443`, `*.example.com:443`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: HostMatch,
    pub port: u16,
}

/// How a target was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// The very host: wherever it leads.
    Exactly,
    /// By `*.suffix`, under which anybody's name server may put any address.
    ByPattern,
}

impl Connect {
    /// Whether this host, in lower case, may be reached at this port by a tunnel.
    #[must_use]
    pub fn lists(&self, host: &str, port: u16) -> Option<Listed> {
        listed(&self.targets, host, port)
    }
}

impl Interception {
    /// Whether connections to this host, in lower case, and port end here.
    #[must_use]
    pub fn lists(&self, host: &str, port: u16) -> bool {
        listed(&self.targets, host, port).is_some()
    }
}

fn listed(targets: &[Target], host: &str, port: u16) -> Option<Listed> {
    let listed = targets.iter().filter(|target| target.port == port);
    let listed = listed.filter_map(|target| match &target.host {
        HostMatch::Exact(name) => (name == host).then_some(Listed::Exactly),
        HostMatch::Suffix(suffix) => (host.len() > suffix.len() && host.ends_with(suffix.as_str()))
            .then_some(Listed::ByPattern),
    });
    listed.min_by_key(|listed| *listed != Listed::Exactly)
}

/// The host as it is written, without the port.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostMatch::Exact(name) => f.write_str(name),
            HostMatch::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Connect, HostMatch, Listed, Target};
    use std::time::Duration;

    #[test]
    fn the_host_itself_counts_for_more_than_a_pattern() {
        let target = |host, port| Target { host, port };
        let connect = Connect {
            targets: vec![
                target(HostMatch::Suffix(".example.com".into()), 443),
                target(HostMatch::Exact("a.example.com".into()), 443),
            ],
            interception: None,
            connect_timeout: Duration::ZERO,
            tunnel_idle_timeout: Duration::ZERO,
        };
        for (host, port, expected) in [
            ("a.example.com", 443, Some(Listed::Exactly)),
            ("b.example.com", 443, Some(Listed::ByPattern)),
            ("c.b.example.com", 443, Some(Listed::ByPattern)),
            ("a.example.com", 80, None),
            ("example.com", 443, None),
            (".example.com", 443, None),
            ("badexample.com", 443, None),
        ] {
            assert_eq!(connect.lists(host, port), expected, "{host}:{port}");
        }
    }
}
