//! `connect` of a listener: what its callers may reach by CONNECT.

use super::authority;
use crate::base::hosts::host_name;
use crate::config::checked::HostMatch;
use crate::config::checked::connect::{Connect, Interception, Target};
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar, resolve};
use crate::config::written::Node;

pub(super) fn read(listener: &Reader<'_, '_>) -> Option<Connect> {
    listener.node("connect")?;
    let reader = listener.section("connect")?;
    if reader.node("tunnel").is_none() && reader.node("intercept").is_none() {
        let what = "`connect` names nothing that may be reached";
        let mistake = Mistake::error(listener.key_place("connect"), what);
        reader
            .ctx
            .report(mistake.expected("`tunnel` or `intercept`"));
    }
    let tunnels = targets(&reader, "tunnel", target, TUNNEL);
    let interception = interception(&reader);
    Some(Connect {
        targets: tunnels.into_iter().map(|(target, _)| target).collect(),
        interception,
        connect_timeout: reader.duration("connect_timeout"),
        tunnel_idle_timeout: reader.duration("tunnel_idle_timeout"),
    })
}

/// The hosts that all listeners intercept, as they are written; of a file whose
/// authority may yet have to be made.
pub(in crate::config) fn intercepted_hosts(ctx: &Context<'_>, root: &Node) -> Vec<String> {
    let Some(Node::Sequence(_, listeners)) = Reader::node_in(root, "listen") else {
        return Vec::new();
    };
    let lists = listeners.iter().filter_map(|listener| {
        let connect = Reader::node_in(listener, "connect")?;
        match Reader::node_in(connect, "intercept")? {
            Node::Sequence(_, items) => Some(items),
            _ => None,
        }
    });
    let written = lists.flatten().filter_map(|item| resolve(ctx, item, false));
    let hosts = written.filter_map(|written| {
        let target = intercepted(&written.text);
        if target.is_none() {
            report(ctx, "intercept", &written, INTERCEPT);
        }
        target.map(|target| target.to_string())
    });
    hosts.collect()
}

const TUNNEL: &str = "a host and a port: `api.example.com:443` or `*.example.com:443`";
const INTERCEPT: &str = "a host: `api.example.com` or `*.example.com`, perhaps with a `:PORT`";
const AUTHORITY: &str =
    "`authority: {certificate: FILE, key: FILE}`, files that `sidekey ca init` makes";

fn interception(reader: &Reader<'_, '_>) -> Option<Interception> {
    let listed = targets(reader, "intercept", intercepted, INTERCEPT);
    let authority = authority::read(reader);
    if listed.is_empty() {
        return None;
    }
    if reader.node("authority").is_none() {
        let what = "`intercept` needs an authority that callers trust";
        let mistake = Mistake::error(reader.key_place("intercept"), what);
        reader.ctx.report(mistake.expected(AUTHORITY));
    }
    let authority = authority?;
    for (target, written) in &listed {
        authority::check_covers(reader.ctx, &authority, target, written);
    }
    let is_pattern = |target: &Target| matches!(target.host, HostMatch::Suffix(_));
    if let Some((_, pattern)) = listed.iter().find(|(target, _)| is_pattern(target)) {
        authority::warn_of_patterns(reader.ctx, &authority, pattern);
    }
    Some(Interception {
        targets: listed.into_iter().map(|(target, _)| target).collect(),
        authority,
    })
}

/// The targets that a list holds, each with what is written; the others are reported.
fn targets(
    reader: &Reader<'_, '_>,
    name: &str,
    parse: fn(&str) -> Option<Target>,
    expected: &str,
) -> Vec<(Target, Scalar)> {
    let mut targets = Vec::new();
    for written in reader.texts(name) {
        match parse(&written.text) {
            Some(target) => targets.push((target, written)),
            None => report(reader.ctx, name, &written, expected),
        }
    }
    targets
}

fn report(ctx: &Context<'_>, name: &str, written: &Scalar, expected: &str) {
    let what = format!("`{name}` can't hold {}", written.named());
    ctx.report(Mistake::error(written.place, what).expected(expected));
}

/// As a target, where HTTPS' own port may be left out.
fn intercepted(text: &str) -> Option<Target> {
    target(text).or_else(|| target(&format!("{text}:443")))
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
    use super::{HostMatch, intercepted, target};

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

    #[test]
    fn what_is_intercepted_has_https_own_port_unless_another_is_written() {
        for (text, port) in [
            ("a.example.com", Some(443)),
            ("*.example.com", Some(443)),
            ("a.example.com:8443", Some(8443)),
            ("[::1]", Some(443)),
            ("a.example.com:0", None),
            ("https://a.example.com", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(intercepted(text).map(|t| t.port), port, "{text}");
        }
    }
}
