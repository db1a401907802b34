//! JWTs by which callers prove who they are (RFC 7519, signed as RFC 7515 says):
//! reading one, and what its issuer says in it. Its signature is [`keys`]' matter.

pub mod claims;
pub mod keys;

#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt;

/// No token is longer, in bytes.
pub const LONGEST: usize = 8 * 1024;

/// Why a token proves nothing, in words for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    TooLong,
    /// Not three parts of base64url with JSON in the first two.
    NotAToken,
    /// It has extensions that must be understood (`crit`).
    Critical,
    /// `none`, one with a shared secret, or one that nobody knows.
    Algorithm,
    /// Its issuer has not been asked yet, or could not be.
    NoKeys,
    UnknownIssuer,
    UnknownKey,
    Signature,
    /// No `exp` that is a time.
    NoExpiry,
    Expired,
    NotYet,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is longer than 8 KiB",
            Self::NotAToken => "the token is no signed JWT",
            Self::Critical => "the token has extensions that are not known here (crit)",
            Self::Algorithm => "the token's algorithm is not one of those that are accepted",
            Self::NoKeys => "the keys of the token's issuer could not be fetched yet",
            Self::UnknownIssuer => "the token is of another issuer",
            Self::UnknownKey => {
                "the token is signed with a key that its issuer has not published; \
                 its keys are being fetched again"
            }
            Self::Signature => "the token's signature is not valid",
            Self::NoExpiry => "the token does not say until when it holds (exp)",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token does not hold yet (nbf)",
        })
    }
}

/// A token whose signature nobody has looked at: nothing in it can be believed.
pub struct Unverified<'a> {
    /// What is signed: the first two parts with their dot.
    signed: &'a str,
    signature: &'a str,
    head: Head,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'a> Unverified<'a> {
    /// Reads the compact form (RFC 7515, 3.1).
    ///
    /// # Errors
    /// Where it is none, or asks for what is not understood here.
    pub fn read(token: &'a [u8]) -> Result<Self, Fault> {
        if token.len() > LONGEST {
            return Err(Fault::TooLong);
        }
        let token = std::str::from_utf8(token).map_err(|_| Fault::NotAToken)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(Fault::NotAToken)?;
        let (head, claims) = signed.split_once('.').ok_or(Fault::NotAToken)?;
        let head: Head = part(head).ok_or(Fault::NotAToken)?;
        if head.crit.is_some() {
            return Err(Fault::Critical);
        }
        Ok(Self {
            signed,
            signature,
            head,
            claims: part(claims).ok_or(Fault::NotAToken)?,
        })
    }

    /// Who seems to have issued it.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }
}

/// A part between dots. A dot in it is no base64url.
fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&json).ok()
}
