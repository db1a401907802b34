//! Addresses of the upstream in its answers, turned into the route's own as
//! the caller reached it. What leads elsewhere stays byte for byte.

use super::path::has_dot_segment;
use super::set_cookie;
use crate::config::checked::{PathMatch, Route, Upstream, UpstreamScheme};
use http::header::{
    CONTENT_LOCATION, Entry, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, REFRESH,
    SET_COOKIE,
};
use std::sync::Arc;

/// Rewrites the answer to one request.
pub struct Rewriter {
    route: Arc<Route>,
    /// Of the listener.
    scheme: &'static str,
    /// The caller's `Host`.
    host: HeaderValue,
    /// The request's path was the route's prefix, without a slash behind it:
    /// what is relative to the upstream's folder is not relative to this path.
    bare: bool,
}

impl Rewriter {
    /// For a request with this `Host` and this path.
    #[must_use]
    pub fn new(route: &Arc<Route>, scheme: &'static str, host: &HeaderValue, path: &str) -> Self {
        let bare = match &route.matcher.path {
            PathMatch::Prefix(prefix) => !prefix.is_empty() && prefix == path,
            PathMatch::Exact(_) => false,
        };
        Self {
            route: route.clone(),
            scheme,
            host: host.clone(),
            bare,
        }
    }

    /// The answer is from this one of the route's addresses.
    pub fn answered_by(&mut self, route: &Arc<Route>) {
        self.route.clone_from(route);
    }

    /// Rewrites every address of an answer's head.
    pub fn rewrite(&self, headers: &mut HeaderMap) {
        each(headers, &LOCATION, |value| self.address(value));
        each(headers, &CONTENT_LOCATION, |value| self.address(value));
        each(headers, &REFRESH, |value| self.refresh(value));
        each(headers, &LINK, |value| self.links(value));
        each(headers, &SET_COOKIE, |value| set_cookie::local(self, value));
    }

    /// A URI reference (RFC 3986, 4.1); `None` where it is left alone.
    #[must_use]
    pub fn address(&self, reference: &[u8]) -> Option<Vec<u8>> {
        // Browsers drop tabs and the first spaces, and read `\` as `/`: such an
        // address may lead elsewhere.
        let odd = |b: &u8| *b == b'\\' || b.is_ascii_control();
        if reference.first() == Some(&b' ') || reference.iter().any(odd) {
            return None;
        }
        if let [b'/', b'/', rest @ ..] = reference {
            let path = self.of_the_upstream(None, rest)?;
            let own = [b"//", self.host.as_bytes()].concat();
            return changed([own, self.local(path)?].concat(), reference);
        }
        if reference.first() == Some(&b'/') {
            return changed(self.local(reference)?, reference);
        }
        match scheme(reference) {
            Some((scheme, rest)) => {
                let rest = rest.strip_prefix(b"//")?;
                let path = self.of_the_upstream(Some(scheme), rest)?;
                let own = [self.scheme.as_bytes(), b"://", self.host.as_bytes()].concat();
                changed([own, self.local(path)?].concat(), reference)
            }
            None => self.relative(reference),
        }
    }

    /// The path of an address with this authority, where it is the upstream's.
    fn of_the_upstream<'r>(&self, scheme: Option<&[u8]>, rest: &'r [u8]) -> Option<&'r [u8]> {
        let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#'));
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        let theirs = Authority::new(authority)?;
        let is_at = |upstream: &Upstream| {
            theirs.host.eq_ignore_ascii_case(host_of(upstream))
                && match scheme {
                    None => theirs.port_or(port_of(upstream.scheme)) == Some(upstream.port),
                    Some(scheme) => is_scheme_and_port(upstream, scheme, &theirs),
                }
        };
        let same = self.route.upstreams().any(is_at) || self.is_ours(authority);
        same.then_some(path)
    }

    /// An upstream that sees the caller's `Host` makes its addresses with it.
    fn is_ours(&self, authority: &[u8]) -> bool {
        let edits = self.route.edits.as_ref();
        edits.is_some_and(|edits| edits.preserve_host)
            && authority.eq_ignore_ascii_case(self.host.as_bytes())
    }

    /// From a path of the upstream, with its query and fragment, to the
    /// route's; `None` where it is not under the upstream.
    fn local(&self, reference: &[u8]) -> Option<Vec<u8>> {
        let end = reference.iter().position(|b| matches!(b, b'?' | b'#'));
        let (path, rest) = reference.split_at(end.unwrap_or(reference.len()));
        if std::str::from_utf8(path).map_or(true, has_dot_segment) {
            return None;
        }
        let mut local = self.local_path(path)?;
        local.extend_from_slice(rest);
        Some(local)
    }

    /// As [`local`](Self::local), for a path alone.
    pub(super) fn local_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        let under = under(path, self.base())?;
        match &self.route.matcher.path {
            PathMatch::Exact(exact) => (under == exact.as_bytes()).then(|| under.to_vec()),
            PathMatch::Prefix(prefix) => {
                let local = [prefix.as_bytes(), under].concat();
                Some(if local.is_empty() {
                    b"/".to_vec()
                } else {
                    local
                })
            }
        }
    }

    /// The upstream's own path, without a slash at its end.
    pub(super) fn base(&self) -> &[u8] {
        let path = self.route.upstream.path.as_str();
        path.strip_suffix('/').unwrap_or(path).as_bytes()
    }

    /// The route's path, without a slash at its end.
    pub(super) fn prefix(&self) -> &[u8] {
        let (PathMatch::Prefix(path) | PathMatch::Exact(path)) = &self.route.matcher.path;
        path.as_bytes()
    }

    pub(super) fn is_plain(&self) -> bool {
        self.scheme == "http"
    }

    /// The upstream's host; of an IPv6 address with its brackets.
    pub(super) fn upstream_host(&self) -> &[u8] {
        host_of(&self.route.upstream)
    }

    /// `login`, at `/crm`, is `/crm/login`: the upstream was asked for `/api/`.
    fn relative(&self, reference: &[u8]) -> Option<Vec<u8>> {
        let steps = reference.is_empty() || matches!(reference[0], b'?' | b'#' | b'.');
        (self.bare && !steps).then(|| [self.prefix(), b"/", reference].concat())
    }

    /// `5; url=/login`, as browsers read it (HTML, 4.2.4.3).
    #[must_use]
    pub fn refresh(&self, value: &[u8]) -> Option<Vec<u8>> {
        let at = refresh_address(value)?;
        let (before, quoted) = value.split_at(at);
        let (quote, rest) = match quoted.first() {
            Some(quote @ (b'"' | b'\'')) => (Some(*quote), &quoted[1..]),
            _ => (None, quoted),
        };
        let end = quote.and_then(|quote| rest.iter().position(|b| *b == quote));
        let (address, after) = rest.split_at(end.unwrap_or(rest.len()));
        let local = self.address(address.trim_ascii())?;
        Some([before, quote.as_slice(), &local, after].concat())
    }

    /// `</a>; rel=next, </b>; title="<c>"` (RFC 8288, 3).
    #[must_use]
    pub fn links(&self, value: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(value.len());
        let mut any = false;
        let mut rest = value;
        while let Some((target, after)) = next_target(rest) {
            out.extend_from_slice(&rest[..target.start]);
            let address = &rest[target];
            match self.address(address) {
                Some(local) => {
                    any = true;
                    out.extend_from_slice(&local);
                }
                None => out.extend_from_slice(address),
            }
            rest = after;
        }
        out.extend_from_slice(rest);
        any.then_some(out)
    }
}

/// Replaces the values of a field that are another text now.
fn each(headers: &mut HeaderMap, name: &HeaderName, rewrite: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if let Entry::Occupied(mut values) = headers.entry(name) {
        for value in values.iter_mut() {
            let rewritten = rewrite(value.as_bytes());
            if let Some(Ok(rewritten)) = rewritten.map(HeaderValue::try_from) {
                *value = rewritten;
            }
        }
    }
}

fn changed(new: Vec<u8>, old: &[u8]) -> Option<Vec<u8>> {
    (new != old).then_some(new)
}

/// A host and its port, as an address without a user names them.
struct Authority<'a> {
    host: &'a [u8],
    /// Empty where there is none.
    port: &'a [u8],
}

impl<'a> Authority<'a> {
    fn new(text: &'a [u8]) -> Option<Self> {
        let end = match text.first()? {
            b'[' => memchr::memchr(b']', text)? + 1,
            _ => memchr::memchr(b':', text).unwrap_or(text.len()),
        };
        let (host, port) = text.split_at(end);
        let port = match port {
            [] => port,
            [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => digits,
            _ => return None,
        };
        Some(Self { host, port })
    }

    fn port_or(&self, default: u16) -> Option<u16> {
        match self.port {
            [] => Some(default),
            digits => std::str::from_utf8(digits).ok()?.parse().ok(),
        }
    }
}

fn port_of(scheme: UpstreamScheme) -> u16 {
    match scheme {
        UpstreamScheme::Http | UpstreamScheme::H2c => 80,
        UpstreamScheme::Https => 443,
    }
}

/// An application behind TLS that somebody else does writes `http` where it
/// means `https`. The other way round it means what it says.
fn is_scheme_and_port(upstream: &Upstream, scheme: &[u8], theirs: &Authority<'_>) -> bool {
    let is = |name: &[u8]| scheme.eq_ignore_ascii_case(name);
    match upstream.scheme {
        UpstreamScheme::Https if is(b"http") => {
            upstream.port == 443 && theirs.port_or(80) == Some(80)
        }
        UpstreamScheme::Https => is(b"https") && theirs.port_or(443) == Some(upstream.port),
        UpstreamScheme::Http | UpstreamScheme::H2c => {
            is(b"http") && theirs.port_or(80) == Some(upstream.port)
        }
    }
}

fn host_of(upstream: &Upstream) -> &[u8] {
    let authority = upstream.authority.as_bytes();
    Authority::new(authority).map_or(authority, |authority| authority.host)
}

/// What follows `base` in a path that it covers on segment boundaries.
pub(super) fn under<'p>(path: &'p [u8], base: &[u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(base)?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

/// The scheme that an address begins with (RFC 3986, 3.1).
fn scheme(reference: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = reference
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')))?;
    let (scheme, rest) = reference.split_at(end);
    let rest = rest.strip_prefix(b":")?;
    scheme
        .first()?
        .is_ascii_alphabetic()
        .then_some((scheme, rest))
}

/// Where the address of a `Refresh` begins, with its quote.
fn refresh_address(value: &[u8]) -> Option<usize> {
    let skip = |from: usize, fits: fn(u8) -> bool| {
        let more = value[from..].iter().position(|b| !fits(*b));
        more.map_or(value.len(), |more| from + more)
    };
    let blank = |b: u8| b == b' ' || b == b'\t';
    let at = skip(skip(0, blank), |b| b.is_ascii_digit() || b == b'.');
    let at = skip(at, blank);
    if !matches!(value.get(at), Some(b';' | b',')) {
        return None;
    }
    let at = skip(at + 1, blank);
    let word = value.get(at..at + 3);
    let named = word.is_some_and(|word| word.eq_ignore_ascii_case(b"url"));
    let equals = skip((at + 3).min(value.len()), blank);
    if named && value.get(equals) == Some(&b'=') {
        return Some(skip(equals + 1, blank));
    }
    Some(at)
}

/// The next `<target>` that stands in no quotes, and what follows it.
fn next_target(value: &[u8]) -> Option<(std::ops::Range<usize>, &[u8])> {
    let (mut quoted, mut at) = (false, 0);
    while let Some(byte) = value.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'<' if !quoted => {
                let start = at + 1;
                let end = start + memchr::memchr(b'>', &value[start..])?;
                return Some((start..end, &value[end..]));
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests;
