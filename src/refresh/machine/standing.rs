//! How an account stands with its authorization server.

use crate::base::clock::Wall;
use crate::token::Unavailable;
use std::sync::Arc;

/// The last thing that the authorization server made known.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Standing {
    /// Nothing is known to be wrong.
    #[default]
    Fine,
    /// The last attempt failed for a passing reason; the next comes at `retry_at`.
    Pausing { cause: Arc<str>, retry_at: Wall },
    /// Somebody has to change something; tried again at `retry_at`.
    Misconfigured { cause: Arc<str>, retry_at: Wall },
    /// A person has to connect the account again. `certain` is false where the
    /// server never said so in as many words: then one try an hour goes on.
    Dead { cause: Arc<str>, certain: bool },
    /// A person has not connected the account yet.
    NotConnected,
}

impl Standing {
    /// What a worker sees when there is no valid token.
    pub fn unavailable(&self) -> Unavailable {
        match self {
            Self::Fine => Unavailable::Waiting,
            Self::Pausing { cause, retry_at } => Unavailable::Pausing {
                cause: cause.clone(),
                retry_at: *retry_at,
            },
            Self::Misconfigured { cause, retry_at } => Unavailable::Misconfigured {
                cause: cause.clone(),
                retry_at: *retry_at,
            },
            Self::Dead { cause, .. } => Unavailable::ReconnectRequired {
                cause: cause.clone(),
            },
            Self::NotConnected => Unavailable::NotConnected,
        }
    }
}
