//! Forms and queries.

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::timeout;

/// More than any form of ours needs.
const BYTES: usize = 64 * 1024;
const FIELDS: usize = 128;
/// For a form to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names and values as they were written.
pub type Fields = Vec<(String, String)>;

/// Reads a form; `None` when it is too long or too slow.
pub async fn read(body: Incoming) -> Option<Fields> {
    let limited = Limited::new(body, BYTES);
    let whole = timeout(PATIENCE, limited.collect()).await.ok()?.ok()?;
    Some(parse(&whole.to_bytes()))
}

/// Parses a form or a query.
pub fn parse(bytes: &[u8]) -> Fields {
    let fields = url::form_urlencoded::parse(bytes);
    fields.into_owned().take(FIELDS).collect()
}

/// A field's value, empty where it is missing.
pub fn value<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().find(|(field, _)| field == name);
    found.map_or("", |(_, value)| value)
}
