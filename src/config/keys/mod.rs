//! The one table of keys: name, type, default and text of everything that a
//! configuration may hold. It serves the loader, the JSON Schema and the
//! reference in the docs, so that none of them can know another file format.

pub mod reference;
pub mod schema;
pub mod table;

/// A map of the configuration: the keys that it may hold.
#[derive(Debug)]
pub struct Section {
    /// What it is, for people: `an integration`.
    pub what: &'static str,
    pub keys: &'static [Key],
}

/// One key of a map.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub need: Need,
    /// One or two sentences for the docs and for editors.
    pub text: &'static str,
    /// The value is never shown.
    pub secret: bool,
}

/// Whether a key must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Required,
    /// The value when it is not written.
    Default(&'static str),
    /// What it means when it is not written.
    Optional(&'static str),
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Text,
    /// Text that may hold `{parameters}`.
    Template,
    /// A URL that may hold `{parameters}`.
    Url,
    /// The same, or an `h2c` one.
    UpstreamUrl,
    Bool,
    Number {
        min: u64,
        max: u64,
    },
    Duration,
    Size,
    /// `address:port`.
    Address,
    /// The same, `unix:/path`, or a socket that was handed over.
    Listening,
    Choice(&'static [Choice]),
    /// Names of the writer's own, each with a text that may hold `{parameters}`.
    Pairs,
    /// Names of the writer's own, each with a text or a list of texts.
    Choices,
    Section(&'static Section),
    List(&'static Kind),
    /// A short and a long form.
    Either(&'static [Kind]),
}

/// One value of a closed list.
#[derive(Debug)]
pub struct Choice {
    pub name: &'static str,
    /// Part of the contract, but a mistake in this version.
    pub later: bool,
}

impl Section {
    /// The key of that name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, kind: Kind, need: Need, text: &'static str) -> Key {
    Key {
        name,
        kind,
        need,
        text,
        secret: false,
    }
}

impl Key {
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

const fn now(name: &'static str) -> Choice {
    Choice { name, later: false }
}

const fn later(name: &'static str) -> Choice {
    Choice { name, later: true }
}

#[cfg(test)]
mod tests;
