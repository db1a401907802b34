//! The seam between the two wings.
//!
//! The cold wing publishes an account's token through a [`Publisher`]; workers
//! read it as a [`Credential`] through a [`Reader`] with one atomic load. What a worker
//! learns (no token yet, a token rejected, how a replay ended) travels back as
//! an [`Ask`]. Neither side knows anything else of the other.

mod ask;
mod credential;
mod issuers;
mod slot;

pub use ask::{Ask, AskReceiver, Asker, PassOn, RejectedStatus, Verdict, Waited, channel};
pub use credential::{
    Announced, Attach, Credential, Granted, Published, QueryPair, TokenPlace, Unavailable, Way,
    own_copy,
};
pub use issuers::{Issuers, KeyRing};
pub use slot::{Publisher, Reader, Shared, slot};
