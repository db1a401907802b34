//! 32-byte keys.

use super::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::io;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How a key is written, for messages.
pub const EXPECTED: &str = "32 bytes as 64 hex digits or base64";

const BYTES: usize = 32;

/// A key: no `Display`, a `Debug` that shows nothing, zeroed when dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; BYTES]>);

impl Key {
    /// Reads 64 hex digits or base64; white space around them is passed over.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = match hex(text) {
            Some(bytes) => bytes,
            None => Zeroizing::new(STANDARD.decode(text).ok()?),
        };
        let bytes: [u8; BYTES] = bytes.as_slice().try_into().ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// A new key from the system's random bytes.
    ///
    /// # Errors
    /// When the system has none.
    pub fn random() -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(&mut *bytes)
            .map_err(|_| io::Error::other("the system gave no random bytes"))?;
        Ok(Self(bytes))
    }

    /// The key as 64 hex digits: for its own file, nowhere else.
    #[must_use]
    pub fn to_hex(&self) -> Secret {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
        let mut text = String::with_capacity(2 * BYTES);
        text.extend(digits);
        Secret::new(text)
    }

    /// The bytes themselves, for a cipher.
    #[must_use]
    pub fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

fn hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() != 2 * BYTES {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    let bytes = pairs.map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok());
    bytes.collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

/// Compares in constant time.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn both_notations_are_read() {
        let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
        let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let key = Key::parse(hex).unwrap();
        assert_eq!(Key::parse(base64), Some(key.clone()));
        assert_eq!(Key::parse(&format!(" {hex}\n")), Some(key.clone()));
        assert_eq!(key.to_hex().expose(), hex.to_lowercase());
        assert_eq!(key.bytes()[31], 31);
        assert_eq!(format!("{key:?}"), "[secret]");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "abc", &"0".repeat(63), &"g".repeat(64), "AAEC"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    #[test]
    fn no_two_are_the_same() {
        assert_ne!(Key::random().unwrap(), Key::random().unwrap());
    }
}
