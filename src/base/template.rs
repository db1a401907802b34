//! `{parameter}` templates: parsed once, expanded with escaping for the place.
//! (signatures first; the bodies follow)

use std::fmt;

/// Text with `{name}` parameters; `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    Parameter(String),
}

/// A template that is a URL: each parameter's place (authority, path, query,
/// fragment) is known, and its value is escaped for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    pub(crate) text: Template,
}

/// What is wrong with a template, at a byte offset of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    pub offset: usize,
    pub what: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// A value that can't be put at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandError {
    /// The parameter at fault, where one is.
    pub parameter: Option<String>,
    /// For people; never holds a value.
    pub what: String,
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Finds a parameter's value.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<&'a str>;
