//! How many connections one caller has open (`limits.connections_per_caller`):
//! an IP address, or the user at the other end of a Unix socket. Asked where
//! connections are accepted, never by a request.

use crate::net::listen::Peer;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Open connections by caller, over all workers. It knows those alone that have
/// one open, so it is no larger than `limits.connections`.
pub struct Crowd {
    most: usize,
    open: Mutex<HashMap<Caller, usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Caller {
    Address(IpAddr),
    /// `None` where the system does not say who it is.
    User(Option<u32>),
}

/// A connection's place among those of its caller.
pub struct Seat(Option<(Arc<Crowd>, Caller)>);

impl Crowd {
    /// `None`: any number.
    #[must_use]
    pub fn new(most: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            most: most.unwrap_or(usize::MAX),
            open: Mutex::default(),
        })
    }

    /// `None`: the caller has as many as it may have.
    #[must_use]
    pub fn seat(self: &Arc<Self>, peer: &Peer) -> Option<Seat> {
        if self.most == usize::MAX {
            return Some(Seat(None));
        }
        let caller = Caller::of(peer);
        let mut open = self.open();
        let count = open.entry(caller).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat(Some((self.clone(), caller))))
    }

    /// Connections that one caller may have.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// No code that holds it can panic.
    fn open(&self) -> MutexGuard<'_, HashMap<Caller, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Tcp(ip) => Self::Address(ip.to_canonical()),
            Peer::Unix(who) => Self::User(who.map(|who| who.uid)),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((crowd, caller)) = self.0.take() else {
            return;
        };
        let mut open = crowd.open();
        if let Some(count) = open.get_mut(&caller) {
            *count -= 1;
            if *count == 0 {
                open.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Crowd;
    use crate::net::listen::{Credentials, Peer};

    fn at(ip: &str) -> Peer {
        Peer::Tcp(ip.parse().unwrap())
    }

    fn user(uid: u32) -> Peer {
        Peer::Unix(Some(Credentials { uid, gid: 1 }))
    }

    #[test]
    fn each_caller_has_its_own_number_and_leaves_nothing_behind() {
        let crowd = Crowd::new(Some(2));
        for (one, same, other) in [
            (at("10.0.0.1"), at("::ffff:10.0.0.1"), at("10.0.0.2")),
            (user(1), user(1), user(2)),
            (Peer::Unix(None), Peer::Unix(None), user(3)),
        ] {
            let first = crowd.seat(&one);
            let second = crowd.seat(&same);
            assert!(first.is_some() && second.is_some());
            assert!(crowd.seat(&one).is_none());
            assert!(crowd.seat(&other).is_some());
            drop(first);
            assert!(crowd.seat(&same).is_some());
        }
        assert!(crowd.open().is_empty());
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let crowd = Crowd::new(None);
        let seats: Vec<_> = (0..3).map(|_| crowd.seat(&at("10.0.0.1"))).collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(crowd.open().is_empty());
    }
}
