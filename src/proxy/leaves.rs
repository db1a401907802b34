//! The certificates that a listener shows to callers of intercepted hosts: made
//! when they are first needed, kept for half of their life.

use crate::base::authority::{Authority, Key, LEAF_LIFE};
use crate::net::tls::server::ServerTls;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

/// Names under a pattern are the callers' choice; more than these are not kept.
const MOST: usize = 256;
const KEPT: Duration = Duration::from_secs(LEAF_LIFE.as_secs() / 2);

/// Those of one listener on one worker.
#[derive(Default)]
pub struct Leaves {
    kept: RefCell<HashMap<Box<str>, Leaf>>,
    /// Of all of them: to make a key for each name that a caller thinks of would
    /// cost more than the certificate.
    key: OnceCell<Key>,
}

struct Leaf {
    tls: ServerTls,
    /// Until when it is shown. Seconds of the wall clock may pass while the other
    /// stands still, and the other way round.
    until: Instant,
    wall: Range<SystemTime>,
}

impl Leaves {
    /// How to do TLS as this host.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn for_host(&self, host: &str, authority: &Authority) -> Result<ServerTls, String> {
        self.at((Instant::now(), SystemTime::now()), host, authority)
    }

    fn at(
        &self,
        now: (Instant, SystemTime),
        host: &str,
        authority: &Authority,
    ) -> Result<ServerTls, String> {
        let mut kept = self.kept.borrow_mut();
        let found = kept.get(host).filter(|leaf| leaf.is_good(now));
        if let Some(leaf) = found.filter(|_| authority.is_valid(now.1)) {
            return Ok(leaf.tls.clone());
        }
        let issued = authority.issue(host, self.key()?, now.1)?;
        let tls = ServerTls::only_for(host, issued)?;
        make_room(&mut kept);
        let leaf = Leaf {
            tls: tls.clone(),
            until: now.0 + KEPT,
            wall: now.1..authority.until().min(now.1 + KEPT),
        };
        kept.insert(host.into(), leaf);
        Ok(tls)
    }

    fn key(&self) -> Result<&Key, String> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let made = Key::generate()?;
        Ok(self.key.get_or_init(|| made))
    }
}

impl Leaf {
    /// A wall clock that was set back makes none older than it is.
    fn is_good(&self, (now, wall): (Instant, SystemTime)) -> bool {
        now < self.until && self.wall.contains(&wall)
    }
}

/// The one that ends first makes way for another.
fn make_room(kept: &mut HashMap<Box<str>, Leaf>) {
    if kept.len() < MOST {
        return;
    }
    let first = kept.iter().min_by_key(|(_, leaf)| leaf.until);
    if let Some(host) = first.map(|(host, _)| host.clone()) {
        kept.remove(&host);
    }
}

#[cfg(test)]
mod tests {
    use super::{Leaves, MOST};
    use crate::base::authority::{Authority, make};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::time::{Duration, Instant, SystemTime};

    const HOUR: Duration = Duration::from_secs(3600);

    fn authority(life: Duration) -> Authority {
        let made = make(&["*.a.example".to_owned()], SystemTime::now(), life).unwrap();
        let chain = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.key.expose().as_bytes()).unwrap();
        Authority::new(&[chain], &key).unwrap()
    }

    #[test]
    fn none_is_shown_once_the_authority_has_ended() {
        let (leaves, authority) = (Leaves::default(), authority(2 * HOUR));
        let (now, wall) = (Instant::now(), SystemTime::now());
        let at = |after| leaves.at((now + after, wall + after), "x.a.example", &authority);
        for good in [Duration::ZERO, HOUR] {
            assert!(at(good).is_ok());
            let kept = leaves.kept.borrow();
            let shown = &kept["x.a.example"].wall;
            assert_eq!(shown.start, wall, "made once");
            assert_eq!(shown.end, authority.until());
        }
        let why = at(2 * HOUR + HOUR / 60).map(drop).unwrap_err();
        assert!(why.contains("not valid now"), "{why}");
    }

    #[test]
    fn all_of_a_listener_have_one_key() {
        let (leaves, authority) = (Leaves::default(), authority(2 * HOUR));
        let first: *const _ = leaves.key().unwrap();
        leaves.for_host("x.a.example", &authority).unwrap();
        leaves.for_host("y.a.example", &authority).unwrap();
        assert!(std::ptr::eq(first, leaves.key().unwrap()));
    }

    #[test]
    fn certificates_are_kept_and_never_too_many() {
        let authority = authority(24 * HOUR);
        let leaves = Leaves::default();
        for n in 0..MOST + 10 {
            let host = format!("host{n}.a.example");
            leaves.for_host(&host, &authority).unwrap();
            leaves.for_host(&host, &authority).unwrap();
            assert_eq!(leaves.kept.borrow().len(), (n + 1).min(MOST));
        }
        let kept = leaves.kept.borrow();
        assert!(!kept.contains_key("host0.a.example"));
        assert!(kept.contains_key(&*format!("host{}.a.example", MOST + 9)));
    }
}
