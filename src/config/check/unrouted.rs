//! Hosts that are intercepted, and named by no route: all their requests would be
//! refused.

use super::settings::Placed;
use crate::base::hosts::is_loopback;
use crate::config::checked::listening::Listener;
use crate::config::checked::{HostMatch, Route};
use crate::config::mistakes::Mistake;
use crate::config::scalar::Context;

/// Reports them; not where a route may be missing for a mistake in it.
pub(super) fn warn(ctx: &Context<'_>, listeners: &[Placed<Listener>], routes: &[Route]) {
    if ctx.has_errors() {
        return;
    }
    for listener in listeners {
        let connect = listener.value.connect.as_ref();
        let targets = connect.and_then(|connect| connect.interception.as_ref());
        let own = &listener.value.hosts;
        for target in targets.iter().flat_map(|which| &which.targets) {
            let mut named =
                served(listener, routes).filter_map(|route| route.matcher.host.as_ref());
            if !named.any(|named| meet(named, &target.host)) && !is_own(&target.host, own) {
                let what = format!(
                    "{target} is intercepted, and no route names it: its requests are answered \
                     with 404; a route needs `match: {{host: …}}`"
                );
                ctx.report(Mistake::warning(listener.place, what));
            }
        }
    }
}

fn served<'r>(
    listener: &'r Placed<Listener>,
    routes: &'r [Route],
) -> impl Iterator<Item = &'r Route> {
    let some = listener.value.routes.as_ref();
    let is_served = move |route: &&Route| some.is_none_or(|some| some.serves(route));
    routes.iter().filter(is_served)
}

/// True where some host is of both.
fn meet(one: &HostMatch, other: &HostMatch) -> bool {
    let under = |name: &str, suffix: &str| name.len() > suffix.len() && name.ends_with(suffix);
    match (one, other) {
        (HostMatch::Exact(one), HostMatch::Exact(other)) => one == other,
        (HostMatch::Exact(name), HostMatch::Suffix(suffix))
        | (HostMatch::Suffix(suffix), HostMatch::Exact(name)) => under(name, suffix),
        (HostMatch::Suffix(one), HostMatch::Suffix(other)) => {
            one.ends_with(other.as_str()) || other.ends_with(one.as_str())
        }
    }
}

/// By these also routes that name no host are reached.
fn is_own(host: &HostMatch, own: &[String]) -> bool {
    match host {
        HostMatch::Exact(name) => is_loopback(name) || own.contains(name),
        HostMatch::Suffix(suffix) => own.iter().any(|name| name.ends_with(suffix.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::{HostMatch, meet};

    #[test]
    fn hosts_meet_where_one_name_is_of_both() {
        let host = |text: &str| match text.strip_prefix('*') {
            Some(suffix) => HostMatch::Suffix(suffix.to_owned()),
            None => HostMatch::Exact(text.to_owned()),
        };
        for (one, other, expected) in [
            ("a.example", "a.example", true),
            ("a.example", "b.example", false),
            ("a.example", "*.example", true),
            ("a.example", "*.a.example", false),
            ("*.a.example", "*.example", true),
            ("*.a.example", "*.b.example", false),
        ] {
            assert_eq!(meet(&host(one), &host(other)), expected, "{one} {other}");
            assert_eq!(meet(&host(other), &host(one)), expected, "{other} {one}");
        }
    }
}
