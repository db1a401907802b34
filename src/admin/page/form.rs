//! Forms and queries.

/// More fields than any form of ours has.
const FIELDS: usize = 128;

/// Names and values as they were written.
pub type Fields = Vec<(String, String)>;

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
