//! Who issues the tokens by which callers prove who they are, and where that
//! one's keys are found.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// An issuer of JWTs that somebody trusts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TrustedIssuer {
    /// `iss`, to be compared byte for byte (RFC 7519, 4.1.1).
    pub name: String,
    pub keys: KeysFrom,
    /// PEM: whom to believe at the issuer's server instead of the system's authorities.
    pub ca: Option<Arc<[u8]>>,
    /// A file with what to send as `Authorization: Bearer` there; read each time.
    pub token_file: Option<PathBuf>,
}

/// Where an issuer's keys are found.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum KeysFrom {
    /// Its `/.well-known/openid-configuration` says where (OpenID Connect Discovery, 4).
    Discovery,
    Address(Url),
    /// The content of a file.
    Given(Arc<[u8]>),
}

impl TrustedIssuer {
    /// Whether the keys of that one are its own, as they are fetched by the same
    /// name from the same place. Another file's are not.
    #[must_use]
    pub fn has_keys_of(&self, other: &Self) -> bool {
        let is_given = matches!(self.keys, KeysFrom::Given(_));
        !is_given && self.name == other.name && self.keys == other.keys
    }
}

/// Its name alone.
impl fmt::Debug for TrustedIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrustedIssuer").field(&self.name).finish()
    }
}
