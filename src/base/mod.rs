//! Leaves without I/O, shared by every wing.

pub mod authority;
pub mod backoff;
pub mod caller_keys;
pub mod client_tls;
pub mod clock;
#[cfg(test)]
pub mod counting;
pub mod crypto;
pub mod directories;
pub mod hosts;
pub mod id;
pub mod issuer;
pub mod jwt;
pub mod key;
pub mod outgoing;
pub mod secret;
pub mod template;
