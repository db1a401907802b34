//! What an account contributes to a request, ready to be written.

use crate::base::clock::{Moment, Wall};
use crate::base::secret::Secret;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What the seam says about an account right now.
#[derive(Clone, Debug)]
pub enum Published {
    /// A token that may be sent until its expiry.
    Valid(Arc<Credential>),
    /// No token that may be sent.
    Unavailable(Unavailable),
}

/// Why there is no token. The texts are for people and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The first token is on its way, or the last one expired: a request joins
    /// the refresh and waits.
    Waiting,
    /// The same, but the last attempt failed, and the next comes at `retry_at`.
    Pausing { cause: Arc<str>, retry_at: Wall },
    /// Nobody has created this account yet.
    NotCreated,
    /// A person has not connected this account yet.
    NotConnected,
    /// A person has to connect this account again.
    ReconnectRequired { cause: Arc<str> },
    /// The authorization server refuses the client; nothing to wait for until
    /// `retry_at`.
    Misconfigured { cause: Arc<str>, retry_at: Wall },
}

/// A token, prebuilt for its place in a request.
pub struct Credential {
    /// Counts the tokens of this account; a request remembers the one it used.
    pub generation: u64,
    /// When the token must no longer be sent; `None` when nobody knows.
    pub expiry: Option<Moment>,
    /// An upstream has rejected the tokens of generations below this one.
    pub void_before: u64,
    /// The token itself, for what is neither a header nor a query.
    pub token: Secret,
    /// What is written into the request.
    pub attach: Attach,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("generation", &self.generation)
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}

/// Everything an account writes into a request: the token, then the
/// integration's request parameters.
#[derive(Clone)]
pub struct Attach {
    /// Where the token goes.
    pub token: TokenPlace,
    /// Request parameters in headers; each replaces what the caller sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Request parameters in the query: name (decoded) and `name=value`
    /// (encoded); each replaces what the caller sent.
    pub query: Vec<QueryPair>,
}

/// The token's place, with the token in it. No `Debug`: the token is inside.
#[derive(Clone)]
pub enum TokenPlace {
    /// A header; the value is marked sensitive.
    Header {
        name: HeaderName,
        value: HeaderValue,
    },
    /// A query parameter.
    Query(QueryPair),
}

/// A query parameter, ready to be appended.
#[derive(Clone)]
pub struct QueryPair {
    /// The decoded name: what the caller sends under it, in any spelling, is removed.
    pub name: Arc<str>,
    /// `name=value`, percent-encoded, without a separator.
    pub encoded: Arc<str>,
}

impl Attach {
    /// A copy that shares no reference count with this one, for one worker's
    /// own use; the token's bytes are zeroed with their last user.
    #[must_use]
    pub fn own_copy(&self) -> Self {
        let token = match &self.token {
            TokenPlace::Header { name, value } => TokenPlace::Header {
                name: name.clone(),
                value: copy_value(value),
            },
            TokenPlace::Query(pair) => TokenPlace::Query(pair.own_copy()),
        };
        Self {
            token,
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), copy_value(value)))
                .collect(),
            query: self.query.iter().map(QueryPair::own_copy).collect(),
        }
    }
}

impl QueryPair {
    fn own_copy(&self) -> Self {
        Self {
            name: Arc::from(&*self.name),
            encoded: Arc::from(&*self.encoded),
        }
    }
}

/// The same value in an allocation of its own, zeroed when its last user drops it.
fn copy_value(value: &HeaderValue) -> HeaderValue {
    let owner = Zeroizing::new(value.as_bytes().to_vec());
    // The bytes come out of a valid value; a copy of them is one.
    let mut copy =
        HeaderValue::from_maybe_shared(Bytes::from_owner(owner)).unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}
