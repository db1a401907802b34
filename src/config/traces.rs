//! Traces, as the program sends them.

use crate::base::secret::Secret;
use http::HeaderName;

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// Of OTLP over HTTP, with its `/v1/traces`.
    pub endpoint: String,
    /// Sent with each request to it; their values may be secrets.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Of requests whose caller does not record its trace; 0 to 1.
    pub ratio: f64,
    /// Attributes of the process, `service.name` among them.
    pub resource: Vec<(String, String)>,
}
