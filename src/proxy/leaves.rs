//! The certificates that a listener shows to callers of intercepted hosts: made
//! when they are first needed, kept for half of their life.

use crate::base::authority::{Authority, LEAF_LIFE};
use crate::net::tls::server::ServerTls;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

/// Names under a pattern are the callers' choice; more than these are not kept.
const MOST: usize = 256;
const KEPT: Duration = Duration::from_secs(LEAF_LIFE.as_secs() / 2);

/// Those of one listener on one worker.
#[derive(Default)]
pub struct Leaves(RefCell<HashMap<Box<str>, Leaf>>);

struct Leaf {
    tls: ServerTls,
    /// Seconds of the wall clock may pass while the other stands still, and the
    /// other way round.
    until: (Instant, SystemTime),
}

impl Leaves {
    /// How to do TLS as this host.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn for_host(&self, host: &str, authority: &Authority) -> Result<ServerTls, String> {
        let now = (Instant::now(), SystemTime::now());
        let mut kept = self.0.borrow_mut();
        if let Some(leaf) = kept.get(host).filter(|leaf| leaf.is_good(now)) {
            return Ok(leaf.tls.clone());
        }
        let tls = ServerTls::only_for(host, authority.issue(host, now.1)?)?;
        make_room(&mut kept);
        let leaf = Leaf {
            tls: tls.clone(),
            until: (now.0 + KEPT, now.1 + KEPT),
        };
        kept.insert(host.into(), leaf);
        Ok(tls)
    }
}

impl Leaf {
    /// A wall clock that was set back makes none older than it is.
    fn is_good(&self, (now, wall): (Instant, SystemTime)) -> bool {
        now < self.until.0 && (self.until.1 - KEPT..self.until.1).contains(&wall)
    }
}

/// The one that ends first makes way for another.
fn make_room(kept: &mut HashMap<Box<str>, Leaf>) {
    if kept.len() < MOST {
        return;
    }
    let first = kept.iter().min_by_key(|(_, leaf)| leaf.until.0);
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
    use std::time::{Duration, SystemTime};

    #[test]
    fn certificates_are_kept_and_never_too_many() {
        let life = Duration::from_secs(24 * 3600);
        let made = make(&["*.a.example".to_owned()], SystemTime::now(), life).unwrap();
        let chain = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.key.expose().as_bytes()).unwrap();
        let authority = Authority::new(&[chain], &key).unwrap();
        let leaves = Leaves::default();
        for n in 0..MOST + 10 {
            let host = format!("host{n}.a.example");
            leaves.for_host(&host, &authority).unwrap();
            leaves.for_host(&host, &authority).unwrap();
            assert_eq!(leaves.0.borrow().len(), (n + 1).min(MOST));
        }
        let kept = leaves.0.borrow();
        assert!(!kept.contains_key("host0.a.example"));
        assert!(kept.contains_key(&*format!("host{}.a.example", MOST + 9)));
    }
}
