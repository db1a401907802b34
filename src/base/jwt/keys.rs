//! The keys of an issuer (RFC 7517), and signatures by them. A key is bound to
//! the algorithms of its kind when it is read: what a token's head says chooses
//! among those, and can't make a public key pass for a shared secret.

use super::claims::Verified;
use super::{Fault, Unverified};
use crate::base::crypto::sha256;
use jsonwebtoken::crypto;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use std::str::FromStr;

/// No issuer has more keys that are looked at.
const MOST_KEYS: usize = 64;
/// A token that does not name its key is tried with so many of them.
const MOST_TRIES: usize = 4;

/// What an issuer signs with, as far as it can be used here.
pub struct KeySet {
    keys: Vec<Key>,
    /// Of what it was read from.
    digest: [u8; 32],
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a JWK Set. Keys of kinds that are not known, or that are for
    /// something else, are passed over (RFC 7517, 5).
    ///
    /// # Errors
    /// In words, when it is none, or holds no key that can be used.
    pub fn read(json: &[u8]) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| "it is no JWK Set")?;
        let keys = set.keys.into_iter().filter_map(Key::read);
        let keys: Vec<_> = keys.take(MOST_KEYS).collect();
        match keys.is_empty() {
            true => Err("it holds no key with which signatures can be verified"),
            false => Ok(Self {
                keys,
                digest: sha256(json),
            }),
        }
    }

    /// Whether the two were read from the same text.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether a key has this very `kid`; true for a token that names none.
    fn has(&self, named: Option<&str>) -> bool {
        let is = |key: &Key| key.id.as_deref() == named;
        named.is_none() || self.keys.iter().any(is)
    }

    /// What a token says, once its signature is found to be by one of the keys.
    /// Times are not looked at here.
    ///
    /// # Errors
    /// When it is by none of them, or does not say until when it holds.
    pub fn verify(&self, token: &Unverified<'_>) -> Result<Verified, Fault> {
        let (algorithm, fitting) = self.fitting(token)?;
        let signed = token.signed.as_bytes();
        let is_by = |key: &&Key| {
            crypto::verify(token.signature, signed, &key.key, algorithm).unwrap_or(false)
        };
        match fitting.iter().any(is_by) {
            true => Verified::of(&token.claims),
            false => Err(self.or_unknown(token, Fault::Signature)),
        }
    }

    /// Whether there is a key that may have signed a token: as much as can be said
    /// without looking at its signature, which takes far longer.
    ///
    /// # Errors
    /// As [`KeySet::verify`], where there is none.
    pub fn may_verify(&self, token: &Unverified<'_>) -> Result<(), Fault> {
        self.fitting(token).map(drop)
    }

    /// Keys to be tried, one at least.
    fn fitting(&self, token: &Unverified<'_>) -> Result<(Algorithm, Vec<&Key>), Fault> {
        let algorithm = Algorithm::from_str(&token.head.alg).map_err(|_| Fault::Algorithm)?;
        if matches!(
            algorithm,
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
        ) {
            return Err(Fault::Algorithm);
        }
        let named = |key: &&Key| match (&token.head.kid, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        };
        let all = self.keys.iter().filter(named);
        let fitting = all.filter(|key| key.algorithms.contains(&algorithm));
        let fitting: Vec<_> = fitting.take(MOST_TRIES).collect();
        match fitting.is_empty() {
            true => Err(self.or_unknown(token, Fault::Algorithm)),
            false => Ok((algorithm, fitting)),
        }
    }

    /// Keys without a name stand in for the one that is named; where they don't fit,
    /// it is one that is not there yet.
    fn or_unknown(&self, token: &Unverified<'_>, fault: Fault) -> Fault {
        match self.has(token.head.kid.as_deref()) {
            true => fault,
            false => Fault::UnknownKey,
        }
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let signs = |of: &PublicKeyUse| *of == PublicKeyUse::Signature;
        let verifies = |all: &Vec<KeyOperations>| all.contains(&KeyOperations::Verify);
        if !common.public_key_use.as_ref().is_none_or(signs)
            || !common.key_operations.as_ref().is_none_or(verifies)
        {
            return None;
        }
        let mut algorithms = algorithms(&jwk.algorithm).to_vec();
        if let Some(own) = common.key_algorithm {
            // One that signs nothing has no name here.
            let own = Algorithm::from_str(&own.to_string()).ok()?;
            algorithms.retain(|algorithm| *algorithm == own);
        }
        if algorithms.is_empty() {
            return None;
        }
        Some(Self {
            key: DecodingKey::from_jwk(&jwk).ok()?,
            id: jwk.common.key_id,
            algorithms,
        })
    }
}

/// What keys of a kind sign with.
fn algorithms(of: &AlgorithmParameters) -> &'static [Algorithm] {
    match of {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) => match key.curve {
            EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => &[],
        },
        // A shared secret proves nothing to anybody but those who share it.
        AlgorithmParameters::OctetKey(_) => &[],
    }
}
