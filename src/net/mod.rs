//! Sockets, threads and time: the one place that names the event loop under a
//! worker, so that it can be exchanged and measured.

pub mod begun;
pub mod dial;
pub mod handover;
pub mod heard;
pub mod inherited;
pub mod listen;
pub mod own;
#[cfg(test)]
pub mod pair;
pub(crate) mod pass_on;
mod race;
#[cfg(target_os = "linux")]
pub mod ring;
pub mod share;
pub mod splice;
pub mod stream;
pub mod time;
pub mod tls;
pub mod turn;
pub mod unix;
mod unix_dial;
pub mod via;
pub mod worker;
