//! HTTP/1.1 of our own (RFC 9112): what hyper's costs is the largest part of a
//! request's instructions, and its connections need a task each.

pub mod answer;
pub mod caller;
pub mod chunks;
pub mod content;
pub mod framing;
pub mod line;
pub mod outflow;
pub mod scratch;
pub mod spelled;
pub mod upload;
