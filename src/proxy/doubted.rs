//! Callers' tokens that let nobody in. To look at a signature costs a worker more than
//! the request with it: so what one came to is remembered, and of the tokens that come
//! from one address, and of all, only so many a second are looked at in vain.

use crate::base::caller_keys::KeyDigest;
use crate::base::issuer::TrustedIssuer;
use crate::base::jwt::Fault;
use crate::base::jwt::claims::Verified;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// So many tokens a worker remembers; then it begins anew.
const MOST: usize = 256;
/// So many of one address are looked at in vain in a second, by each worker.
const OF_ONE: u32 = 128;
/// And of all addresses. They may be an attacker's, as many as it likes.
const OF_ALL: u32 = 1024;

/// What one issuer's keys say of a token.
pub type Found = Result<Rc<Verified>, Fault>;

/// What was found out about a token, by the keys of whom.
pub type Looked = Vec<(Arc<TrustedIssuer>, Found)>;

/// One worker's. Nothing of it is asked about a token that has let somebody in.
#[derive(Default)]
pub struct Doubted {
    found: RefCell<HashMap<KeyDigest, Looked>>,
    spent: RefCell<Spent>,
}

/// What was looked at in vain in one second.
#[derive(Default)]
struct Spent {
    /// Since the epoch.
    second: i64,
    all: u32,
    /// No more than [`OF_ALL`].
    by: HashMap<Box<str>, u32>,
}

impl Doubted {
    /// An issuer's keys have changed: everything may be otherwise.
    pub fn forget(&self) {
        self.found.take();
    }

    /// What is known of a token already.
    #[must_use]
    pub fn found(&self, digest: &KeyDigest, issuer: &Arc<TrustedIssuer>) -> Option<Found> {
        let all = self.found.borrow();
        let mut of_it = all.get(digest)?.iter();
        let (_, found) = of_it.find(|(of, _)| of == issuer)?;
        Some(found.clone())
    }

    /// False where an address has had as much as it gets in this second.
    #[must_use]
    pub fn may_look(&self, address: &str, second: i64) -> bool {
        let spent = self.spent.borrow();
        let by_it = spent.by.get(address).copied().unwrap_or(0);
        spent.second != second || (by_it < OF_ONE && spent.all < OF_ALL)
    }

    /// A token was looked at by the keys of these issuers, and lets nobody in. In vain it
    /// was where its signature is not theirs: a good one may be refused for much else.
    pub fn add(&self, digest: KeyDigest, found: Looked, address: &str, second: i64) {
        if found.is_empty() {
            return;
        }
        if found.iter().any(|(_, found)| found.is_err()) {
            self.spent.borrow_mut().count(address, second);
        }
        let mut all = self.found.borrow_mut();
        if all.len() >= MOST {
            all.clear();
        }
        // Another route may have asked other issuers.
        all.entry(digest).or_default().extend(found);
    }
}

impl Spent {
    fn count(&mut self, address: &str, second: i64) {
        if self.second != second {
            self.second = second;
            self.all = 0;
            self.by.clear();
        }
        self.all += 1;
        match self.by.get_mut(address) {
            Some(count) => *count += 1,
            None => drop(self.by.insert(address.into(), 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Doubted, Fault, MOST, OF_ALL, OF_ONE};
    use crate::base::issuer::{KeysFrom, TrustedIssuer};
    use std::sync::Arc;

    fn issuer(name: &str) -> Arc<TrustedIssuer> {
        Arc::new(TrustedIssuer {
            name: name.to_owned(),
            keys: KeysFrom::Discovery,
            ca: None,
            token_file: None,
        })
    }

    /// A token of its own each time.
    fn add(doubted: &Doubted, number: u32, address: &str, second: i64) {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        let found = vec![(issuer("a"), Err(Fault::Signature))];
        doubted.add(digest, found, address, second);
    }

    #[test]
    fn an_address_has_its_share_of_each_second() {
        let doubted = Doubted::default();
        for number in 0..OF_ONE {
            assert!(doubted.may_look("one", 7), "{number}");
            add(&doubted, number, "one", 7);
        }
        assert!(!doubted.may_look("one", 7));
        assert!(doubted.may_look("two", 7), "it has done nothing");
        assert!(doubted.may_look("one", 8));
        add(&doubted, 0, "one", 8);
        assert!(doubted.may_look("one", 8));
        // A clock that is set back gives nobody more than its share.
        assert!(doubted.may_look("one", 3));
    }

    #[test]
    fn many_addresses_have_no_more_than_all_may() {
        let doubted = Doubted::default();
        for number in 0..OF_ALL {
            let address = format!("10.0.{}.{}", number / 256, number % 256);
            assert!(doubted.may_look(&address, 7), "{number}");
            add(&doubted, number, &address, 7);
        }
        assert!(!doubted.may_look("another", 7));
        assert_eq!(doubted.spent.borrow().by.len(), OF_ALL as usize);
        assert!(doubted.found.borrow().len() <= MOST);
        assert!(doubted.may_look("another", 8));
    }

    #[test]
    fn what_is_known_is_known_of_one_issuers_keys() {
        let doubted = Doubted::default();
        let (a, b) = (issuer("a"), issuer("b"));
        add(&doubted, 0, "one", 7);
        let known = doubted.found(&[0; 32], &a);
        assert!(matches!(known, Some(Err(Fault::Signature))));
        assert!(doubted.found(&[0; 32], &b).is_none());
        assert!(doubted.found(&[1; 32], &a).is_none());
        doubted.forget();
        assert!(doubted.found(&[0; 32], &a).is_none());
    }
}
