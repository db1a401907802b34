//! What a route changes in requests and answers besides the token.

use http::{HeaderName, HeaderValue};

/// The changes of a route that has any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// The caller's `Host` goes to the upstream.
    pub preserve_host: bool,
    pub request: Fields,
    pub response: Fields,
    /// Addresses of the upstream become the route's own in answers.
    pub rewrite_addresses: bool,
    /// Cookies go in neither direction.
    pub strip_cookies: bool,
}

/// Fields of a head that are set and removed. No name stands in both lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// In the place of all that came under these names. A value's `Debug`
    /// shows nothing: it may be a secret.
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub remove: Vec<HeaderName>,
}

impl Edits {
    /// True where nothing is changed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Fields {
    /// True for a field that is set or removed: what comes under its name ends here.
    #[must_use]
    pub fn names(&self, name: &HeaderName) -> bool {
        self.remove.contains(name) || self.set.iter().any(|(set, _)| set == name)
    }
}
