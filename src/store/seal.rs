//! Sealing of records: XChaCha20-Poly1305 with a random nonce
//! (draft-irtf-cfrg-xchacha-03: 24 bytes are enough to draw them at random),
//! bound to the store's format and identity, the record's key and its version.
//! A sealed record that was moved to another key, version or store opens no
//! more. (Whoever can write the file can still put a whole older copy back.)

use crate::base::key::Key;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use std::io;
use zeroize::Zeroizing;

const NONCE: usize = 24;

/// What a sealed text belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The format of the store.
    pub format: u32,
    /// The store's identity, drawn at random when it was made.
    pub store: &'a [u8],
    pub key: &'a str,
    pub version: u64,
}

/// Nothing came out: damaged, moved from another place, or sealed with a key
/// that is not among ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

/// The keys of a store: the first seals, all open.
pub struct Sealer {
    first: Key,
    others: Vec<Key>,
}

impl Sealer {
    /// A sealer; `others` only open.
    #[must_use]
    pub fn new(first: Key, others: Vec<Key>) -> Self {
        Self { first, others }
    }

    /// Nonce and sealed text.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(&self, place: Place<'_>, text: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)
            .map_err(|_| io::Error::other("the system gave no random bytes"))?;
        let aad = place.bytes();
        let payload = Payload {
            msg: text,
            aad: &aad,
        };
        let sealed = cipher(&self.first)
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| io::Error::other("the record is too long to be sealed"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The text that was sealed for this place.
    ///
    /// # Errors
    /// When none of the keys opens it.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOurs> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(NotOurs)?;
        let nonce = XNonce::from(*nonce);
        let aad = place.bytes();
        std::iter::once(&self.first)
            .chain(&self.others)
            .find_map(|key| {
                let payload = Payload {
                    msg: sealed,
                    aad: &aad,
                };
                cipher(key).decrypt(&nonce, payload).ok()
            })
            .map(Zeroizing::new)
            .ok_or(NotOurs)
    }
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.bytes().into())
}

impl Place<'_> {
    /// The place as associated data: every part of variable length after its
    /// length, so that no two places have the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let length = |part: &[u8]| (part.len() as u64).to_be_bytes();
        let mut bytes = b"sidekey store\0".to_vec();
        bytes.extend(self.format.to_be_bytes());
        bytes.extend(length(self.store));
        bytes.extend(self.store);
        bytes.extend(length(self.key.as_bytes()));
        bytes.extend(self.key.as_bytes());
        bytes.extend(self.version.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{NotOurs, Place, Sealer};
    use crate::base::key::Key;

    const PLACE: Place<'_> = Place {
        format: 1,
        store: b"a store",
        key: "account/one",
        version: 7,
    };

    fn sealer() -> Sealer {
        Sealer::new(Key::random().unwrap(), Vec::new())
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let sealer = sealer();
        let sealed = sealer.seal(PLACE, b"text").unwrap();
        assert_eq!(**sealer.open(PLACE, &sealed).unwrap(), *b"text");
        let (format, store, key, version) = (2, b"another", "account/two", 8);
        let others = [
            Place { format, ..PLACE },
            Place { store, ..PLACE },
            Place { key, ..PLACE },
            Place { version, ..PLACE },
        ];
        for other in others {
            assert_eq!(sealer.open(other, &sealed), Err(NotOurs), "{other:?}");
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is() {
        let sealer = sealer();
        let sealed = sealer.seal(PLACE, b"text").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open(PLACE, &changed), Err(NotOurs), "{at}");
            assert_eq!(sealer.open(PLACE, &sealed[..at]), Err(NotOurs), "{at}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (Key::random().unwrap(), Key::random().unwrap());
        let before = Sealer::new(old.clone(), Vec::new());
        let between = Sealer::new(new.clone(), vec![old]);
        let after = Sealer::new(new, Vec::new());
        let sealed = before.seal(PLACE, b"text").unwrap();
        assert!(between.open(PLACE, &sealed).is_ok());
        assert_eq!(after.open(PLACE, &sealed), Err(NotOurs));
        let sealed = between.seal(PLACE, b"text").unwrap();
        assert!(after.open(PLACE, &sealed).is_ok());
        assert_eq!(before.open(PLACE, &sealed), Err(NotOurs));
    }

    #[test]
    fn the_same_text_never_looks_the_same() {
        let sealer = sealer();
        let first = sealer.seal(PLACE, b"text").unwrap();
        assert_ne!(first, sealer.seal(PLACE, b"text").unwrap());
    }
}
