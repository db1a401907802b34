//! The seam between the two wings.
//!
//! The cold wing publishes an account's [`Credential`] through a [`Publisher`];
//! workers read it through a [`Reader`] with one atomic load. What a worker
//! learns (no token yet, a token rejected, how a replay ended) travels back as
//! an [`Ask`]. Neither side knows anything else of the other.

mod ask;
mod credential;
mod issuers;
mod slot;

pub use ask::{Ask, AskReceiver, Asker, PassOn, RejectedStatus, Verdict, Waited, channel};
pub use credential::{Attach, Credential, Published, QueryPair, TokenPlace, Unavailable};
pub use issuers::{Issuers, KeyRing};
pub use slot::{Publisher, Reader, Shared, slot};
