//! Authorizations that were begun and have not come back: bounded, expiring,
//! each good for one callback; no I/O, time is given.

use crate::base::clock::Mono;
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use std::collections::HashMap;
use std::time::Duration;

/// How long a person has to sign in and give consent.
pub const LIFE: Duration = Duration::from_mins(10);
/// How long the end of an attempt can be asked for.
const MEMORY: Duration = Duration::from_mins(20);
/// So many are remembered at once; the oldest makes room.
const MOST: usize = 256;

/// Who began an authorization, and may bring it to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The browser that holds this page session.
    Browser(String),
    /// Whoever holds the admin token, who passes the address on as they see fit.
    Api,
}

/// How an attempt stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The person has not come back.
    Pending,
    /// The callback came, and the code is being exchanged.
    Exchanging,
    /// With what to do where no refresh token came.
    Connected(Option<String>),
    /// In plain words.
    Failed(String),
    /// Nobody came back in time.
    Expired,
}

/// What an attempt needs to come to its end.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Names the attempt and opens nothing.
    pub id: String,
    pub account: AccountKey,
    /// Which client at which servers it was begun for.
    pub client: String,
    pub binding: Binding,
    pub verifier: Option<Secret>,
    pub redirect_uri: String,
}

/// Why a `state` is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Never given out here, or too long ago.
    Unknown,
    Expired,
    /// It has come back before.
    Used,
    /// Another browser began it.
    Foreign,
}

/// Every attempt.
#[derive(Default)]
pub struct Attempts {
    /// By the SHA-256 of their `state`: a lookup tells nothing of it.
    kept: HashMap<String, Kept>,
}

struct Kept {
    attempt: Attempt,
    begun: Mono,
    outcome: Outcome,
}

impl Attempts {
    /// Begins an attempt under the digest of its `state`.
    pub fn begin(&mut self, now: Mono, digest: String, attempt: Attempt) {
        self.kept.retain(|_, kept| now.since(kept.begun) < MEMORY);
        if self.kept.len() >= MOST {
            let first = self.kept.iter().min_by_key(|(_, kept)| kept.begun);
            if let Some(first) = first.map(|(digest, _)| digest.clone()) {
                self.kept.remove(&first);
            }
        }
        let outcome = Outcome::Pending;
        let kept = Kept {
            attempt,
            begun: now,
            outcome,
        };
        self.kept.insert(digest, kept);
    }

    /// Takes an attempt that has come back; nobody gets it a second time.
    ///
    /// # Errors
    /// When it may not go on. An attempt that comes back in another browser
    /// stays open for its own.
    pub fn take(
        &mut self,
        now: Mono,
        digest: &str,
        browser: Option<&Binding>,
    ) -> Result<Attempt, Bad> {
        let kept = self.kept.get_mut(digest).ok_or(Bad::Unknown)?;
        let is_own = kept.attempt.binding == Binding::Api || browser == Some(&kept.attempt.binding);
        if !is_own {
            return Err(Bad::Foreign);
        }
        if kept.outcome != Outcome::Pending {
            return Err(Bad::Used);
        }
        if now.since(kept.begun) >= LIFE {
            return Err(Bad::Expired);
        }
        kept.outcome = Outcome::Exchanging;
        Ok(kept.attempt.clone())
    }

    /// Notes how an attempt has ended.
    pub fn end(&mut self, digest: &str, outcome: Outcome) {
        if let Some(kept) = self.kept.get_mut(digest) {
            kept.outcome = outcome;
            // Nobody needs it any more.
            kept.attempt.verifier = None;
        }
    }

    /// How an attempt of this account stands.
    pub fn outcome(&self, now: Mono, account: &AccountKey, id: &str) -> Option<Outcome> {
        let mut all = self.kept.values();
        let kept = all.find(|kept| kept.attempt.id == id && kept.attempt.account == *account)?;
        let late = kept.outcome == Outcome::Pending && now.since(kept.begun) >= LIFE;
        Some(match late {
            true => Outcome::Expired,
            false => kept.outcome.clone(),
        })
    }

    /// True when the attempt with this `state` is the account's.
    pub fn is_of(&self, digest: &str, account: &AccountKey) -> bool {
        let kept = self.kept.get(digest);
        kept.is_none_or(|kept| kept.attempt.account == *account)
    }
}
