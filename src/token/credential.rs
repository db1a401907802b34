//! What an account contributes to a request, ready to be written.

use crate::base::clock::{Moment, Wall};
use crate::base::secret::Secret;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What the cold wing publishes of an account.
pub enum Announced {
    /// A token that may be sent until its expiry.
    Valid(Granted),
    /// No token that may be sent.
    Unavailable(Unavailable),
}

/// A token as it is published: there may be very many, and few that one worker uses.
pub struct Granted {
    /// As [`Credential`] has it, like what follows.
    pub generation: u64,
    pub expiry: Option<Moment>,
    pub void_before: u64,
    pub token: Secret,
    /// How each worker that uses it writes it into requests.
    pub way: Arc<dyn Way>,
}

/// How an account's token gets into requests.
pub trait Way: Send + Sync {
    /// Builds what is written into each request; it shares no reference count with
    /// what is built for others.
    ///
    /// # Errors
    /// Why the token can't be written so; the text holds nothing of it.
    fn attach(&self, token: &Secret) -> Result<Attach, String>;
}

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
pub struct QueryPair {
    /// The decoded name: what the caller sends under it, in any spelling, is removed.
    pub name: Arc<str>,
    /// `name=value`, percent-encoded, without a separator.
    pub encoded: Secret,
}

impl Announced {
    /// As one worker, or whoever else looks, goes by it.
    #[must_use]
    pub fn built(&self) -> Published {
        let granted = match self {
            Self::Valid(granted) => granted,
            Self::Unavailable(why) => return Published::Unavailable(why.clone()),
        };
        match granted.way.attach(&granted.token) {
            Ok(attach) => Published::Valid(Arc::new(Credential {
                generation: granted.generation,
                expiry: granted.expiry,
                void_before: granted.void_before,
                token: granted.token.clone(),
                attach,
            })),
            // Only tokens that fit are published.
            Err(why) => Published::Unavailable(Unavailable::Misconfigured {
                cause: Arc::from(why),
                retry_at: Wall::default(),
            }),
        }
    }
}

/// The same value in an allocation of its own, zeroed when its last user drops it.
#[must_use]
pub fn own_copy(value: &HeaderValue) -> HeaderValue {
    let owner = Zeroizing::new(value.as_bytes().to_vec());
    // The bytes come out of a valid value; a copy of them is one.
    let mut copy =
        HeaderValue::from_maybe_shared(Bytes::from_owner(owner)).unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}
