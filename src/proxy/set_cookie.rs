//! A cookie of the upstream's, made to come back on the route's address
//! (RFC 6265, 4.1).

use super::rewrite::{Rewriter, under};

/// What must not be changed without taking the cookie's meaning away.
const VOWED: [&[u8]; 2] = [b"__host-", b"__secure-"];

/// The value of `Set-Cookie` for the caller; `None` where it is left alone.
///
/// `Domain` goes where it covers the upstream's host: the cookie is the local
/// host's then. `Path` becomes the route's where it covers the upstream's path
/// or lies under it. At a plain-HTTP listener `Secure` goes, and what browsers
/// take beside it alone.
#[must_use]
pub fn local(rewriter: &Rewriter, value: &[u8]) -> Option<Vec<u8>> {
    let mut parts = value.split(|b| *b == b';');
    let pair = parts.next().unwrap_or_default();
    let name = pair.trim_ascii_start().to_ascii_lowercase();
    if VOWED.iter().any(|vow| name.starts_with(vow)) {
        return None;
    }
    let mut out = pair.to_vec();
    let mut changed = false;
    // Without it browsers take no `SameSite=None`.
    let loses_secure = rewriter.is_plain() && parts.clone().any(is_secure);
    for part in parts {
        let edited = attribute(rewriter, part, loses_secure);
        changed |= !matches!(edited, Edited::Kept);
        match edited {
            Edited::Kept => out.extend_from_slice(&[b";", part].concat()),
            Edited::Path(path) => out.extend_from_slice(&[b"; Path=", &path[..]].concat()),
            Edited::Gone => {}
        }
    }
    changed.then_some(out)
}

enum Edited {
    Kept,
    Gone,
    Path(Vec<u8>),
}

fn is_secure(attribute: &[u8]) -> bool {
    attribute.trim_ascii().eq_ignore_ascii_case(b"secure")
}

fn attribute(rewriter: &Rewriter, text: &[u8], loses_secure: bool) -> Edited {
    let (name, value) = match memchr::memchr(b'=', text) {
        Some(at) => (text[..at].trim_ascii(), text[at + 1..].trim_ascii()),
        None => (text.trim_ascii(), &b""[..]),
    };
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    if is(b"domain") && covers_host(value, rewriter.upstream_host()) {
        return Edited::Gone;
    }
    let none = is(b"samesite") && value.eq_ignore_ascii_case(b"none");
    if loses_secure && (is(b"secure") || is(b"partitioned") || none) {
        return Edited::Gone;
    }
    match is(b"path").then(|| path(rewriter, value)).flatten() {
        Some(path) if path != value => Edited::Path(path),
        _ => Edited::Kept,
    }
}

/// `example.com` and `.example.com` cover `app.example.com`.
fn covers_host(domain: &[u8], host: &[u8]) -> bool {
    let domain = domain.strip_prefix(b".").unwrap_or(domain);
    let Some(at) = host.len().checked_sub(domain.len()) else {
        return false;
    };
    let ends = host[at..].eq_ignore_ascii_case(domain);
    ends && !domain.is_empty() && (at == 0 || host[at - 1] == b'.')
}

fn path(rewriter: &Rewriter, path: &[u8]) -> Option<Vec<u8>> {
    let base = rewriter.base();
    let whole = path.strip_suffix(b"/").unwrap_or(path);
    // A cookie of all that the upstream serves is one of the whole route, and
    // of no other behind the same host.
    if path.starts_with(b"/") && under(base, whole).is_some() {
        let prefix = rewriter.prefix();
        return Some(if prefix.is_empty() { b"/" } else { prefix }.to_vec());
    }
    rewriter.local_path(path)
}
