//! Why a token request brought no token, and whether trying again makes sense.

use std::time::Duration;

/// A token request that brought no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// In plain words, with what to do; holds no secret.
    pub what: String,
    /// How long the server asks to be left alone (RFC 9110, 10.2.3).
    pub retry_after: Option<Duration>,
    /// True when the server may have acted on the request though no answer was
    /// read: a refresh token sent in it may have been spent.
    pub maybe_spent: bool,
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The network or the server's momentary state: try again after a pause.
    Transient,
    /// A 400 or 401 without a readable OAuth error: may be either of the others.
    Unreadable,
    /// The refresh token is no longer good: a person has to connect again.
    Dead,
    /// The server refuses the client or the request: someone has to change something.
    Misconfigured,
}

impl Failure {
    /// A failure of this kind, the server having acted on nothing.
    #[must_use]
    pub fn new(kind: FailureKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            retry_after: None,
            maybe_spent: false,
        }
    }
}
