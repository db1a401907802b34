//! Request paths and queries as bytes: what is refused, what is cut off, what
//! is left exactly as it came.

use bytes::Bytes;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use zeroize::Zeroizing;

/// True when a segment is `.` or `..` in any spelling: percent-encoded, also in
/// more bytes than UTF-8 allows, ended by an encoded slash or a backslash, or
/// followed by `;parameters`, a control character or spaces. Some upstreams read
/// each of these as a step up, and so out of the route.
#[must_use]
pub fn has_dot_segment(path: &str) -> bool {
    // A dot segment holds a dot, plain or encoded, right after a separator.
    let suspicious = memchr::memchr2(b'%', b'\\', path.as_bytes()).is_some()
        || memchr::memmem::find(path.as_bytes(), b"/.").is_some();
    suspicious && {
        let decoded: Cow<'_, [u8]> = percent_decode_str(path).into();
        let decoded = shortened(decoded);
        decoded
            .split(|b| matches!(b, b'/' | b'\\'))
            .any(is_dot_segment)
    }
}

fn is_dot_segment(segment: &[u8]) -> bool {
    let ends = |b: &u8| *b == b';' || b.is_ascii_control();
    let name = segment.split(ends).next().unwrap_or_default();
    matches!(name.trim_ascii_end(), b"." | b"..")
}

/// With ASCII that is encoded in two or three bytes, which no UTF-8 has, in one.
fn shortened(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if memchr::memchr3(0xc0, 0xc1, 0xe0, &bytes).is_none() {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[..];
    while let [first, after @ ..] = rest {
        let (byte, length) = match *rest {
            [0xe0, high @ 0x80..=0x81, low @ 0x80..=0xbf, ..] => (high << 6 | low & 0x3f, 3),
            [high @ 0xc0..=0xc1, low @ 0x80..=0xbf, ..] => (high << 6 | low & 0x3f, 2),
            _ => (*first, 1),
        };
        out.push(byte);
        rest = &after[length - 1..];
    }
    Cow::Owned(out)
}

/// The path that the upstream gets: the route's prefix replaced by the
/// upstream's own path, with exactly one slash at the joint.
pub struct Rewrite<'a> {
    /// The upstream's path, as written.
    pub upstream_path: &'a str,
    /// The upstream's own query, sent first.
    pub upstream_query: Option<&'a str>,
    /// What follows the matched prefix.
    pub rest: &'a str,
    /// The caller's query, as it came, without what we attach ourselves.
    pub query: Option<Cow<'a, str>>,
    /// Encoded pairs to append, with secrets in them.
    pub attached: &'a [&'a str],
}

impl Rewrite<'_> {
    /// Builds the request target; `None` when it would not be one.
    #[must_use]
    pub fn build(&self) -> Option<PathAndQuery> {
        let mut target = String::with_capacity(self.length());
        let base = self.upstream_path;
        target.push_str(base.strip_suffix('/').unwrap_or(base));
        target.push_str(if self.rest.is_empty() { "/" } else { self.rest });
        let mut separator = '?';
        let own = self.upstream_query.into_iter();
        let callers = self.query.as_deref().into_iter();
        for part in own.chain(callers).chain(self.attached.iter().copied()) {
            target.push(separator);
            target.push_str(part);
            separator = '&';
        }
        let target = match self.attached.is_empty() {
            false => Bytes::from_owner(Zeroizing::new(target.into_bytes())),
            true => Bytes::from(target),
        };
        PathAndQuery::from_maybe_shared(target).ok()
    }

    fn length(&self) -> usize {
        let attached: usize = self.attached.iter().map(|pair| pair.len() + 1).sum();
        self.upstream_path.len()
            + self.rest.len()
            + self.query.as_deref().map_or(0, str::len)
            + self.upstream_query.map_or(0, str::len)
            + attached
            + 4
    }
}

/// The query without every pair whose decoded name `is_ours`; the rest stays
/// byte for byte. Gives back the same text when there is nothing to cut out.
pub fn without_pairs(query: &str, is_ours: impl Fn(&[u8]) -> bool) -> Option<Cow<'_, str>> {
    let ours = |pair: &&str| is_ours(&decoded_name(pair));
    if !query.split('&').any(|pair| ours(&pair)) {
        return Some(Cow::Borrowed(query));
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !ours(pair)).collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join("&")))
}

/// A pair's name as a form decoder reads it.
fn decoded_name(pair: &str) -> Cow<'_, [u8]> {
    let name = pair.split('=').next().unwrap_or_default();
    if memchr::memchr2(b'%', b'+', name.as_bytes()).is_none() {
        return Cow::Borrowed(name.as_bytes());
    }
    let spaced = name.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::{Rewrite, has_dot_segment, without_pairs};
    use crate::base::counting::{allocations, left_behind};
    use proptest::prelude::{any, prop, prop_assert, proptest};
    use std::borrow::Cow;

    fn joined(upstream: &str, rest: &str) -> String {
        let rewrite = Rewrite {
            upstream_path: upstream,
            upstream_query: None,
            rest,
            query: None,
            attached: &[],
        };
        rewrite.build().unwrap().as_str().to_owned()
    }

    #[test]
    fn exactly_one_slash_stands_at_the_joint() {
        for (upstream, rest, expected) in [
            ("/api/", "", "/api/"),
            ("/api/", "/", "/api/"),
            ("/api/", "//a", "/api//a"),
            ("/api/", "/a/b", "/api/a/b"),
            ("/api", "/a", "/api/a"),
            ("/api", "", "/api/"),
            ("/", "", "/"),
            ("/", "/a", "/a"),
            ("/api/", "/a%2Fb", "/api/a%2Fb"),
        ] {
            assert_eq!(joined(upstream, rest), expected);
        }
    }

    #[test]
    fn queries_stand_in_order() {
        let rewrite = Rewrite {
            upstream_path: "/a",
            upstream_query: Some("own=1"),
            rest: "/b",
            query: Some(Cow::Borrowed("x=%41&&y")),
            attached: &["t=1", "u=2"],
        };
        assert_eq!(rewrite.build().unwrap(), "/a/b?own=1&x=%41&&y&t=1&u=2");
        let left = left_behind("t=1", || drop(rewrite.build()));
        assert_eq!(left, 0, "the token is in it");
        let other = Rewrite { ..rewrite };
        let plain = allocations(|| other.build()).0;
        let rewrite = Rewrite { ..other };
        assert_eq!(allocations(|| rewrite.build()).0, plain, "it costs none");
    }

    #[test]
    fn dot_segments_are_seen_in_every_spelling() {
        for bad in [
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/%2e",
            "/%2E%2e/x",
            "/.%2e",
            "/a/..;x=1/b",
            "/a%2f..%2fb",
            "/a\\..\\b",
            "/a%5c..",
            "/%2e%2e;/",
            "/a/..%5Cb",
            "/..%00/b",
            "/..%0d%0a",
            "/a/..%20/b",
            "/%c0%ae%c0%ae/b",
            "/%C0%AE./b",
            "/%e0%80%ae%e0%80%ae/b",
            "/..%c0%afb",
            "/a%c1%9c..",
        ] {
            assert!(has_dot_segment(bad), "{bad}");
        }
        for good in [
            "/",
            "/a",
            "/a.b",
            "/.well-known/x",
            "/...",
            "/a..b",
            "/a%2Fb",
            "//",
            "/%252e%252e/",
            "/a;x=..",
            "/..a",
            "/%c3%a4..",
            "/a%00..",
            "/%20..",
            "/%c0",
            "/%e0%80",
        ] {
            assert!(!has_dot_segment(good), "{good}");
        }
    }

    #[test]
    fn a_pair_goes_in_every_spelling_and_the_rest_stays() {
        let cut = |query| without_pairs(query, |name| name == b"token").map(Cow::into_owned);
        assert_eq!(cut("a=1&b=%zz&&c").as_deref(), Some("a=1&b=%zz&&c"));
        assert_eq!(cut("token=1"), None);
        assert_eq!(cut("a=1&token=1&b").as_deref(), Some("a=1&b"));
        assert_eq!(cut("%74oken=1&a=+").as_deref(), Some("a=+"));
        assert_eq!(cut("token&tokens=2").as_deref(), Some("tokens=2"));
    }

    proptest! {
        #[test]
        fn no_spelling_leaves_its_route(rest in "(/(%2e|%2E|\\.|a|%2f|%5c|\\\\|;|%3b){0,6}){1,4}") {
            if !has_dot_segment(&rest) {
                // What a decoding, normalising upstream would make of it.
                let decoded = percent_encoding::percent_decode_str(&rest).decode_utf8_lossy().replace('\\', "/");
                for segment in decoded.split('/') {
                    let name = segment.split(';').next().unwrap_or("");
                    prop_assert!(name != "." && name != "..");
                }
                prop_assert!(joined("/api/", &rest).starts_with("/api/"));
            }
        }

        #[test]
        fn cutting_never_panics_and_never_leaves_one(query in any::<String>(), name in prop::collection::vec(any::<u8>(), 0..4)) {
            if let Some(left) = without_pairs(&query, |n| n == name)
                && !left.is_empty() {
                    let again = without_pairs(&left, |n| n == name);
                    prop_assert!(again.as_deref() == Some(&*left));
                }
        }
    }
}
