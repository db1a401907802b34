//! TLS under a worker's streams.

mod names;
pub mod server;
