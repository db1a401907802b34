//! What can be wrong with a template, and with a value for it.

use std::fmt;

/// What is wrong with a template, at a byte offset of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Where in the template's text, in bytes.
    pub offset: usize,
    /// For people.
    pub what: String,
}

impl TemplateError {
    pub(super) fn at(offset: usize, what: impl Into<String>) -> Self {
        Self {
            offset,
            what: what.into(),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for TemplateError {}

/// A value that can't be put at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandError {
    /// The parameter at fault, where one is.
    pub parameter: Option<String>,
    /// For people; never holds a value.
    pub what: String,
}

impl ExpandError {
    pub(super) fn of(parameter: &str, what: &str) -> Self {
        Self {
            parameter: Some(parameter.to_owned()),
            what: format!("the value of parameter `{parameter}` {what}"),
        }
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self {
            parameter: Some(parameter.to_owned()),
            what: format!("parameter `{parameter}` has no value"),
        }
    }

    pub(super) fn whole(what: &str) -> Self {
        Self {
            parameter: None,
            what: what.to_owned(),
        }
    }
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for ExpandError {}
