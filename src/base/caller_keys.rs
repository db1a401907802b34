//! The keys by which callers prove who they are, and the file that holds their
//! digests: a line each, a name, a blank, and the key's SHA-256 as 64 hex digits.

use super::crypto::{NoRandomness, random_text, sha256};
use super::secret::Secret;
use std::fmt::Write;

/// What every key begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "sidekey_";

/// The longest name of a caller.
const MOST_NAME: usize = 64;

/// SHA-256 of a key. A key holds 256 random bits: nothing slower is called for.
pub type KeyDigest = [u8; 32];

/// One caller's key, as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerKey {
    pub name: String,
    pub digest: KeyDigest,
}

/// A line of the file that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub number: usize,
    pub what: &'static str,
}

/// The digest of a key as a caller sends it.
#[must_use]
pub fn digest(key: &[u8]) -> KeyDigest {
    sha256(key)
}

/// A new key, to be shown once.
///
/// # Errors
/// When the system gives no random bytes.
pub fn make() -> Result<Secret, NoRandomness> {
    let random = random_text()?;
    Ok(Secret::new(format!("{PREFIX}{}", random.expose())))
}

/// True for letters, digits, `-` and `_`: a caller's name may be an account's key.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !text.is_empty() && text.len() <= MOST_NAME && text.bytes().all(fits)
}

/// Reads the file: blank lines and those that begin with `#` are passed over.
///
/// # Errors
/// For the first line that holds no name and digest.
pub fn read(text: &str) -> Result<Vec<CallerKey>, BadLine> {
    let lines = (1..).zip(text.lines());
    let told = lines.filter(|(_, line)| is_entry(line));
    told.map(|(number, line)| {
        let bad = |what| BadLine { number, what };
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| is_name(name));
        let name = name.ok_or(bad("a name has letters, digits, `-` and `_` only"))?;
        let digest = words.next().and_then(from_hex);
        match (digest, words.next()) {
            (Some(digest), None) => Ok(CallerKey {
                name: name.to_owned(),
                digest,
            }),
            _ => Err(bad("behind the name stands one SHA-256, as 64 hex digits")),
        }
    })
    .collect()
}

/// The file with one more line.
#[must_use]
pub fn with(text: &str, key: &CallerKey) -> String {
    let mut out = text.to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.push_str(&key.name);
    out.push(' ');
    for byte in key.digest {
        // Writing to a text can't fail.
        let _ = write!(out, "{byte:02x}");
    }
    out.push('\n');
    out
}

/// The file without the lines of this name, and how many there were.
#[must_use]
pub fn without(text: &str, name: &str) -> (String, usize) {
    let is_named = |line: &&str| is_entry(line) && line.split_whitespace().next() == Some(name);
    let kept = text.split_inclusive('\n').filter(|line| !is_named(line));
    let gone = text.lines().filter(is_named).count();
    (kept.collect(), gone)
}

fn is_entry(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

fn from_hex(text: &str) -> Option<KeyDigest> {
    let bytes = text.as_bytes();
    let mut digest = [0; 32];
    if bytes.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(bytes.chunks(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::{CallerKey, digest, is_name, make, read, with, without};

    fn entry(name: &str, key: &[u8]) -> CallerKey {
        CallerKey {
            name: name.to_owned(),
            digest: digest(key),
        }
    }

    #[test]
    fn a_key_is_long_and_another_each_time() {
        let (a, b) = (make().unwrap(), make().unwrap());
        assert_ne!(a.expose(), b.expose());
        assert_eq!(a.expose().len(), "sidekey_".len() + 43);
    }

    #[test]
    fn what_is_added_is_read_and_what_is_removed_is_not() {
        let file = with("# people", &entry("ann", b"1"));
        let file = with(&file, &entry("bob", b"2"));
        assert_eq!(
            read(&file),
            Ok(vec![entry("ann", b"1"), entry("bob", b"2")])
        );
        let (file, gone) = without(&file, "ann");
        assert_eq!(gone, 1);
        assert!(file.starts_with("# people\n"));
        assert_eq!(read(&file), Ok(vec![entry("bob", b"2")]));
        assert_eq!(without(&file, "people").1, 0, "a remark");
    }

    #[test]
    fn a_line_that_is_none_is_told_of() {
        let good = with("", &entry("ann", b"1"));
        for bad in ["ann", "ann 12", "a.b 12", &format!("{} more", good.trim())] {
            let read = read(&format!("\n{bad}\n"));
            assert_eq!(read.unwrap_err().number, 2, "{bad}");
        }
        assert!(read(&good.replace("6b", "6x")).is_err());
        assert_eq!(read("\n # a\n\n"), Ok(Vec::new()));
    }

    #[test]
    fn names_could_be_keys_of_accounts() {
        assert!(is_name("Ann-1_b"));
        assert!(!is_name("") && !is_name("a b") && !is_name(&"a".repeat(65)));
    }
}
