//! What a reload has changed, in plain words.

use super::place::Place;
use crate::config::checked::Route;
use crate::refresh::Counts;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The differences between what was in use and what is now.
pub struct Changes {
    accounts: Counts,
    routes: Counts,
    opened: Vec<Place>,
    closed: Vec<Place>,
    /// Those that serve other routes now.
    served: Vec<Place>,
}

impl Changes {
    /// Of accounts; each pair is before and after.
    pub fn new(
        accounts: Counts,
        routes: (&[Arc<Route>], &[Arc<Route>]),
        listening: (&[Place], &[Place]),
    ) -> Self {
        let without = |some: &[Place], others: &[Place]| {
            let is_left = |place: &&Place| !others.iter().any(|other| place.is_of(other));
            some.iter().filter(is_left).cloned().collect()
        };
        let is_changed = |place: &&Place| {
            let mut before = listening.0.iter();
            before.any(|before| place.is_of(before) && place.routes() != before.routes())
        };
        let served = listening.1.iter().filter(is_changed).cloned().collect();
        Self {
            accounts,
            routes: compare(routes.0, routes.1),
            opened: without(listening.1, listening.0),
            closed: without(listening.0, listening.1),
            served,
        }
    }
}

fn compare(before: &[Arc<Route>], after: &[Arc<Route>]) -> Counts {
    let mut left: HashMap<&str, &Arc<Route>> =
        before.iter().map(|r| (r.name.as_str(), r)).collect();
    let mut counts = Counts::default();
    for route in after {
        match left.remove(route.name.as_str()) {
            Some(old) if old == route => {}
            Some(_) => counts.changed += 1,
            None => counts.added += 1,
        }
    }
    counts.removed = left.len();
    counts
}

/// `accounts: 1 added; routes: 2 changed, 1 removed`
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [("accounts", &self.accounts), ("routes", &self.routes)];
        let counts = counts.map(|(what, counts)| {
            let parts = parts(counts);
            (!parts.is_empty()).then(|| format!("{what}: {}", parts.join(", ")))
        });
        let opened = self.opened.iter().map(|a| format!("listening on {a}"));
        let closed = self.closed.iter().map(|a| format!("no longer on {a}"));
        let served = self.served.iter().map(|place| match place.routes() {
            None => format!("all routes at {place}"),
            Some(some) => format!("at {place} the routes {some} alone"),
        });
        let said: Vec<_> = counts
            .into_iter()
            .flatten()
            .chain(opened)
            .chain(closed)
            .chain(served)
            .collect();
        match said.is_empty() {
            true => f.write_str("accounts, routes and listeners are the same as before"),
            false => f.write_str(&said.join("; ")),
        }
    }
}

fn parts(counts: &Counts) -> Vec<String> {
    let all = [
        (counts.added, "added"),
        (counts.changed, "changed"),
        (counts.removed, "removed"),
    ];
    let some = all.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, how)| format!("{count} {how}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Changes, Place};
    use crate::config::checked::listening::{Address, Listener};
    use crate::net::listen::Local;
    use crate::refresh::Counts;

    #[test]
    fn only_what_has_changed_is_said() {
        let of = |port: u16| {
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
            let listener = Listener {
                address: Address::Tcp(address),
                hosts: Vec::new(),
                tls: None,
                callers: None,
                connect: None,
                routes: None,
            };
            Place::new(Local::Tcp(address), &listener, false)
        };
        let none = Changes::new(Counts::default(), (&[], &[]), (&[of(1)], &[of(1)]));
        assert!(none.to_string().contains("same as before"));
        let accounts = Counts {
            added: 1,
            removed: 0,
            changed: 2,
        };
        let some = Changes::new(accounts, (&[], &[]), (&[of(1)], &[of(2)]));
        assert_eq!(
            some.to_string(),
            "accounts: 1 added, 2 changed; listening on http://127.0.0.1:2; \
             no longer on http://127.0.0.1:1"
        );
    }
}
