//! HTTP/1.1 as bytes: the parts that speak with callers and with upstreams.

pub mod caller;
pub mod chunks;
pub mod spelled;
