//! Callers' JWTs: which of them are good, and whom they let in. What was good once
//! costs a digest the next time, for as long as it holds and its issuer's keys
//! are the same; what was not, a digest and a look at its text.

use super::doubted::{Doubted, Found, Looked};
use super::peer::Peer;
use super::worker::Worker;
use crate::base::caller_keys::{KeyDigest, digest};
use crate::base::clock::SystemClock;
use crate::base::issuer::TrustedIssuer;
use crate::base::jwt::claims::Verified;
use crate::base::jwt::keys::KeySet;
use crate::base::jwt::{Fault, Unverified};
use crate::config::checked::callers::{Allowed, ByJwt, NameOf};
use crate::token::Issuers;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// So many tokens a worker remembers; then it begins anew.
const MOST: usize = 1024;

/// One worker's view of the issuers.
pub struct Jwts {
    issuers: Issuers,
    /// Of which [generation](Issuers::generation) what is known is.
    generation: Cell<u64>,
    known: RefCell<HashMap<KeyDigest, Rc<Known>>>,
    /// Tokens that were known before all was forgotten: each is looked at once more,
    /// whatever others have sent.
    before: RefCell<HashSet<KeyDigest>>,
    doubted: Doubted,
}

/// A token whose signature was found to be good, and which has let somebody in.
struct Known {
    issuer: Arc<TrustedIssuer>,
    verified: Rc<Verified>,
}

/// A token as it has come.
struct Come<'a> {
    token: Unverified<'a>,
    digest: KeyDigest,
    /// Where from.
    address: &'a str,
    /// In seconds since the epoch.
    now: i64,
}

/// What the tokens of a request come to.
pub enum Shown {
    /// It has none.
    None,
    /// In words.
    Bad(&'static str),
    Fault(Fault),
    /// Too many of its address let nobody in: this one was not looked at.
    NotLookedAt,
    Caller(Arc<str>),
}

/// Who the caller is by its JWT.
pub fn caller(worker: &Worker, allowed: &Allowed, peer: &Peer, headers: &HeaderMap) -> Shown {
    let mut shown = Shown::None;
    let mut fields: Vec<&HeaderName> = Vec::new();
    for jwt in allowed.jwts() {
        if fields.contains(&&jwt.header) {
            continue;
        }
        fields.push(&jwt.header);
        match by_field(worker, allowed, peer, &jwt.header, headers) {
            Shown::None => {}
            found @ Shown::Caller(_) => return found,
            other => shown = other,
        }
    }
    shown
}

/// Takes callers' tokens out of what goes on: those that this route and listener
/// have looked at, in whichever field.
pub fn take_away(allowed: &Allowed, headers: &mut HeaderMap) {
    for jwt in allowed.jwts() {
        headers.remove(&jwt.header);
    }
}

fn by_field(
    worker: &Worker,
    allowed: &Allowed,
    peer: &Peer,
    field: &HeaderName,
    headers: &HeaderMap,
) -> Shown {
    let mut values = headers.get_all(field).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return match headers.contains_key(field) {
            true => Shown::Bad("the field with the token was sent more than once"),
            false => Shown::None,
        };
    };
    let token = match bearer(value.as_bytes()) {
        Some(token) => token,
        // Another scheme's credentials are none of a token's.
        None if *field == AUTHORIZATION => return Shown::None,
        None => value.as_bytes(),
    };
    let jwts = allowed.jwts().iter().filter(|jwt| jwt.header == *field);
    let now = i64::try_from(SystemClock::wall().unix_seconds()).unwrap_or(i64::MAX);
    worker.jwts.caller(token, peer.address(), jwts, now)
}

/// The scheme in any case (RFC 9110, 11.1), then the token.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// The caller's name, where one of these lets it in.
fn name<'a>(known: &Known, mut jwts: impl Iterator<Item = &'a ByJwt>) -> Option<Arc<str>> {
    let Known { issuer, verified } = known;
    let says = |(claim, values): &(String, Vec<String>)| verified.says(claim, values);
    jwts.find_map(|jwt| {
        let fits =
            jwt.issuer == *issuer && verified.is_for(&jwt.audiences) && jwt.claims.iter().all(says);
        match &jwt.name {
            _ if !fits => None,
            NameOf::Given(name) => Some(name.clone()),
            NameOf::Claim(claim) => verified.name(claim).map(Arc::from),
        }
    })
}

impl Jwts {
    #[must_use]
    pub fn new(issuers: Issuers) -> Self {
        Self {
            issuers,
            generation: Cell::default(),
            known: RefCell::default(),
            before: RefCell::default(),
            doubted: Doubted::default(),
        }
    }

    /// Whom this token lets in by one of these.
    fn caller<'a>(
        &self,
        token: &[u8],
        address: &str,
        jwts: impl Iterator<Item = &'a ByJwt> + Clone,
        now: i64,
    ) -> Shown {
        let generation = self.issuers.generation();
        if self.generation.replace(generation) != generation {
            self.forget(&mut self.known.borrow_mut());
            self.doubted.forget();
        }
        let digest = digest(token);
        let found = self.known.borrow().get(&digest).cloned();
        if let Some(known) = found {
            let mut all = jwts.clone();
            match (known.verified.holds(now), name(&known, jwts.clone())) {
                (Ok(()), Some(caller)) => return Shown::Caller(caller),
                // It is so by whichever issuer's keys.
                (Err(why), _) if all.any(|jwt| jwt.issuer == known.issuer) => {
                    return Shown::Fault(why);
                }
                _ => {}
            }
        }
        let come = match Unverified::read(token) {
            Ok(token) => Come {
                token,
                digest,
                address,
                now,
            },
            Err(why) => return Shown::Fault(why),
        };
        let mut looked = Looked::new();
        match self.verify(&come, jwts, &mut looked) {
            Ok((known, caller)) => {
                self.remember(digest, known);
                Shown::Caller(caller)
            }
            Err(why) => {
                self.doubted.add(digest, looked, address, now);
                why
            }
        }
    }

    fn remember(&self, digest: KeyDigest, known: Known) {
        let mut all = self.known.borrow_mut();
        if all.len() >= MOST {
            self.forget(&mut all);
        }
        all.insert(digest, Rc::new(known));
    }

    fn forget(&self, known: &mut HashMap<KeyDigest, Rc<Known>>) {
        let mut before = self.before.borrow_mut();
        // One reload may change the keys several times.
        if before.len() + known.len() > MOST {
            before.clear();
        }
        before.extend(known.drain().map(|(digest, _)| digest));
    }

    /// By each issuer of the token's name, as they may have different keys, until
    /// one lets somebody in. That a token is good says more than that another
    /// issuer's keys don't fit.
    fn verify<'a>(
        &self,
        come: &Come<'_>,
        jwts: impl Iterator<Item = &'a ByJwt> + Clone,
        looked: &mut Looked,
    ) -> Result<(Known, Arc<str>), Shown> {
        let mut fault = Fault::UnknownIssuer;
        let mut is_good = false;
        let mut tried: Vec<&Arc<TrustedIssuer>> = Vec::new();
        let of_its_name = |jwt: &&ByJwt| come.token.issuer() == Some(&jwt.issuer.name);
        for jwt in jwts.clone().filter(of_its_name) {
            if tried.contains(&&jwt.issuer) {
                continue;
            }
            tried.push(&jwt.issuer);
            let verified = match self.by_keys_of(&jwt.issuer, come, looked)? {
                Ok(verified) => verified,
                Err(why) => {
                    fault = why;
                    continue;
                }
            };
            verified.holds(come.now).map_err(Shown::Fault)?;
            is_good = true;
            let issuer = jwt.issuer.clone();
            let known = Known { issuer, verified };
            if let Some(caller) = name(&known, jwts.clone()) {
                return Ok((known, caller));
            }
        }
        Err(match is_good {
            true => Shown::Bad("the token is good, and of none of them"),
            false => Shown::Fault(fault),
        })
    }

    fn by_keys_of(
        &self,
        of: &Arc<TrustedIssuer>,
        come: &Come<'_>,
        looked: &mut Looked,
    ) -> Result<Found, Shown> {
        let ring = self.issuers.of(of);
        let Some((ring, keys)) = ring.and_then(|ring| ring.keys().map(|keys| (ring, keys))) else {
            return Ok(Err(Fault::NoKeys));
        };
        let found = match keys.may_verify(&come.token) {
            Ok(()) => self.signature(of, &keys, come, looked)?,
            Err(why) => Err(why),
        };
        if let Err(Fault::UnknownKey) = found {
            ring.misses_one();
        }
        Ok(found)
    }

    /// What is known of its signature, else what a look at it brings.
    fn signature(
        &self,
        of: &Arc<TrustedIssuer>,
        keys: &KeySet,
        come: &Come<'_>,
        looked: &mut Looked,
    ) -> Result<Found, Shown> {
        if let Some(found) = self.doubted.found(&come.digest, of) {
            return Ok(found);
        }
        let may_look = self.before.borrow_mut().remove(&come.digest)
            || self.doubted.may_look(come.address, come.now);
        if !may_look {
            return Err(Shown::NotLookedAt);
        }
        let found = keys.verify(&come.token).map(Rc::new);
        looked.push((of.clone(), found.clone()));
        Ok(found)
    }
}
