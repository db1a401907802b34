//! Random texts that nobody can guess, and digests.

use super::secret::Secret;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::fmt;
use zeroize::Zeroizing;

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gave no random bytes")
    }
}

impl std::error::Error for NoRandomness {}

/// 256 random bits as 43 characters of base64url, which fit unescaped into a
/// URL, a cookie and a PKCE verifier (RFC 7636, 4.1).
///
/// # Errors
/// When the system gives no random bytes.
pub fn random_text() -> Result<Secret, NoRandomness> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bytes.as_mut()).map_err(|_| NoRandomness)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
}

/// Random bytes.
///
/// # Errors
/// When the system gives none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// How a server proves that it has understood a WebSocket's handshake: what it
/// says in `Sec-WebSocket-Accept` to this key (RFC 6455, 4.2.2).
#[must_use]
pub fn websocket_accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
    STANDARD.encode(digest::digest(sha1, text.as_bytes()))
}

/// SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// SHA-256 of several things, each with its length, so that none can pass for
/// another.
#[must_use]
pub fn sha256_of_parts<'a>(parts: impl IntoIterator<Item = Option<&'a [u8]>>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        context.update(&length.to_be_bytes());
        context.update(part.unwrap_or_default());
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// SHA-256 of a text in base64url without padding.
#[must_use]
pub fn sha256_text(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{random_text, sha256_of_parts, sha256_text, websocket_accept};

    #[test]
    fn no_part_passes_for_another() {
        let digest = |parts: &[Option<&str>]| {
            sha256_of_parts(parts.iter().map(|part| part.map(str::as_bytes)))
        };
        let all = [
            digest(&[Some("ab"), Some("c")]),
            digest(&[Some("a"), Some("bc")]),
            digest(&[Some("abc")]),
            digest(&[Some("abc"), Some("")]),
            digest(&[Some("abc"), None]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }

    #[test]
    fn random_texts_differ_and_need_no_escaping() {
        let (a, b) = (random_text().unwrap(), random_text().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.expose().len(), 43);
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!(a.expose().bytes().all(fits));
    }

    /// RFC 6455, 1.3.
    #[test]
    fn the_proof_is_that_of_the_rfc() {
        let accept = websocket_accept("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    /// RFC 7636, appendix B.
    #[test]
    fn the_digest_is_that_of_the_rfc() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(sha256_text(verifier), challenge);
    }
}
