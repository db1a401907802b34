//! TLS on sockets.

pub mod client;
mod issuer;
