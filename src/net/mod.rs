//! Sockets, threads and time: the one place that names the event loop under a
//! worker, so that it can be exchanged and measured.

pub mod dial;
pub mod listen;
pub mod stream;
pub mod time;
pub mod worker;
