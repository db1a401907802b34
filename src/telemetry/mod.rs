//! What people see of a running process: log, access log, metrics, spans.

pub mod access;
pub mod accounts;
mod by_route;
pub mod context;
mod families;
pub mod issuers;
pub mod lines;
pub mod log;
pub mod metrics;
pub mod otlp;
pub mod process;
pub mod refreshes;
pub mod reloads;
pub mod requests;
pub mod spans;
mod stamp;
pub mod tunnels;

/// How the log and the access log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
