//! `connect` of a listener: what its callers may reach by CONNECT.

use crate::base::hosts::host_name;
use crate::config::checked::HostMatch;
use crate::config::checked::connect::{Connect, Target};
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;

pub(super) fn read(listener: &Reader<'_, '_>) -> Option<Connect> {
    listener.node("connect")?;
    let reader = listener.section("connect")?;
    let mut targets = Vec::new();
    for written in reader.texts("tunnel") {
        match target(&written.text) {
            Some(target) => targets.push(target),
            None => {
                let what = format!("{} is no target of a tunnel", written.named());
                let expected = "a host and a port: `api.example.com:443` or `*.example.com:443`";
                let mistake = Mistake::error(written.place, what);
                reader.ctx.report(mistake.expected(expected));
            }
        }
    }
    Some(Connect {
        targets,
        connect_timeout: reader.duration("connect_timeout"),
        tunnel_idle_timeout: reader.duration("tunnel_idle_timeout"),
    })
}

fn target(text: &str) -> Option<Target> {
    let (host, port) = text.rsplit_once(':')?;
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|port| *port > 0 && is_number)?;
    let host = match host.strip_prefix("*.") {
        Some(suffix) => HostMatch::Suffix(format!(".{}", host_name(suffix)?)),
        None => HostMatch::Exact(host_name(host)?),
    };
    Some(Target { host, port })
}

#[cfg(test)]
mod tests {
    use super::{HostMatch, target};

    #[test]
    fn a_target_is_a_host_and_a_port() {
        let found = target("*.Example.com:443").unwrap();
        assert_eq!(found.host, HostMatch::Suffix(".example.com".into()));
        assert_eq!(target("[::1]:5432").unwrap().port, 5432);
        for bad in [
            "",
            "a.example.com",
            "a.example.com:",
            "a.example.com:0",
            "a.example.com:65536",
            "a.example.com:+1",
            "*:443",
            "*.*.example.com:443",
            "https://a.example.com:443",
            ":443",
        ] {
            assert_eq!(target(bad), None, "{bad}");
        }
    }
}
