//! Names that people give to things.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The key of a connected account: letters, digits, `-` and `_`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey(Arc<str>);

impl AccountKey {
    /// Takes a key as written.
    ///
    /// # Errors
    /// When it is empty, longer than 128 bytes, or holds anything but ASCII
    /// letters, digits, `-` and `_`.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        let fits = !text.is_empty()
            && text.len() <= 128
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidKey)
        }
    }

    /// The same key in memory of its own, for what outlives everything else that has it.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self(Arc::from(&*self.0))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AccountKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A key that is empty, too long, or holds a character that keys may not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected 1 to 128 letters, digits, '-' or '_'")
    }
}

impl std::error::Error for InvalidKey {}

#[cfg(test)]
mod tests {
    use super::AccountKey;

    #[test]
    fn keys_hold_letters_digits_dash_and_underscore() {
        assert!(AccountKey::new("crm-Dev_2").is_ok());
        for bad in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(129)] {
            assert!(AccountKey::new(bad).is_err(), "{bad:?}");
        }
    }
}
