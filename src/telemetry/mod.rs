//! What people see of a running process: log, access log, metrics.

pub mod access;
pub mod accounts;
mod families;
pub mod lines;
pub mod log;
pub mod metrics;
pub mod process;
pub mod refreshes;
pub mod reloads;
pub mod requests;

/// How the log and the access log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
