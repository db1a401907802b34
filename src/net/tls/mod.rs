//! TLS on sockets.

pub mod client;
mod issuer;
mod names;
pub mod server;
