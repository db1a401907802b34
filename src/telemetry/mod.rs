//! What people see of a running process: log, access log, metrics.

pub mod access;
pub mod refreshes;
pub mod requests;
