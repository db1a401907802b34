//! Text that must never be seen: no `Display`, a `Debug` that shows nothing,
//! zeroed when dropped.

use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A secret text: a client secret, a token, an admin token. A clone is the same
/// text in the same place.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Takes ownership of the text; the given allocation is the one zeroed on drop.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(SecretString::from(text)))
    }

    /// The text itself. Every call is a place where a secret may leak: write it
    /// into a request or a sealed record, nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// True when there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

/// Compares in constant time for texts of equal length.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose()
            .as_bytes()
            .ct_eq(other.expose().as_bytes())
            .into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_nothing_of_it() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_clone_is_no_further_copy() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(secret.clone().expose().as_ptr(), secret.expose().as_ptr());
    }

    #[test]
    fn equality_is_of_the_text() {
        assert_eq!(Secret::new("a".into()), Secret::new("a".into()));
        assert_ne!(Secret::new("a".into()), Secret::new("ab".into()));
    }
}
