//! Cutting out of a request what is not to go on: paths, queries, fields.

use http::header::{CONNECTION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;
use sidekey::proxy::fuzzed::{has_dot_segment, join, rewritten, strip, without_pairs};

/// A path, a query, a parameter's name, then fields, each on a line of its own.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|b| *b == b'\n');
    let mut text = || std::str::from_utf8(lines.next().unwrap_or_default()).ok();
    let (Some(path), Some(query), Some(name)) = (text(), text(), text()) else {
        return;
    };
    dots(path);
    pairs(query, name);
    addresses(path);
    addresses(query);
    fields(lines);
}

/// What an upstream makes of it that decodes once and reads `\` as `/`.
fn dots(path: &str) {
    let decoded: Vec<u8> = percent_decode(path.as_bytes()).collect();
    let steps = decoded.split(|b| *b == b'/' || *b == b'\\').any(|segment| {
        let end = segment.iter().position(|b| *b == b';');
        let name = &segment[..end.unwrap_or(segment.len())];
        name == b"." || name == b".."
    });
    // The parser lets no other path through.
    if path.starts_with('/') && !path.contains(['?', '#']) {
        assert!(has_dot_segment(path) || !steps, "{path:?}");
        if let Some(joined) = join("/api/", path) {
            assert_eq!(joined, format!("/api{path}"));
        }
    }
}

/// A form decoder finds every pair but those of the name.
fn pairs(query: &str, name: &str) {
    let read = |query: &str| -> Vec<_> {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs
            .map(|(n, v)| (n.into_owned(), v.into_owned()))
            .collect()
    };
    // What is no UTF-8 is replaced by the decoder, and so looks alike.
    if name.is_empty() || name.contains('\u{fffd}') {
        return;
    }
    let mut expected = read(query);
    expected.retain(|(n, _)| n != name);
    let left = without_pairs(query, |n| n == name.as_bytes());
    assert_eq!(read(left.as_deref().unwrap_or("")), expected, "{query:?}");
}

/// Of the upstream `http://127.0.0.1:1/`, on the route `/crm`.
fn addresses(value: &str) {
    let [address, refresh, links, cookie] = rewritten(value.as_bytes());
    for new in [&address, &refresh, &links, &cookie].into_iter().flatten() {
        assert_ne!(new, value.as_bytes(), "what stays is not touched");
    }
    let base = url::Url::parse("http://127.0.0.1:1/x").unwrap();
    let led = base.join(value).ok();
    if address.is_some() && HeaderValue::from_str(value).is_ok() {
        let led = led.unwrap_or_else(|| panic!("{value:?} is no address"));
        assert_eq!(led.origin(), base.origin(), "{value:?}");
    }
    if let Some(cookie) = cookie {
        let pair = |text: &[u8]| text.split(|b| *b == b';').next().map(<[u8]>::to_vec);
        assert_eq!(pair(&cookie), pair(value.as_bytes()));
    }
}

fn fields<'l>(lines: impl Iterator<Item = &'l [u8]>) {
    let mut headers = HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line.get(colon + 1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let before = headers.clone();
    let named = named_by_connection(&before);
    if !strip(&mut headers) {
        let vital = ["content-length", "transfer-encoding", "host"];
        assert!(named.iter().any(|name| vital.contains(&name.as_str())));
        return;
    }
    for name in &named {
        assert!(!headers.contains_key(name.as_str()), "{name}");
    }
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "expect",
    ] {
        assert!(!headers.contains_key(name), "{name}");
    }
    if !named.contains(&"cookie".to_owned()) {
        assert_eq!(cookies(&headers), foreign_cookies(&before));
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONNECTION).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    names.map(|name| name.as_str().to_owned()).collect()
}

fn cookies(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let values = headers.get_all(COOKIE).iter();
    let cookies = values.flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    let cookies = cookies.map(|cookie| cookie.trim_ascii().to_vec());
    cookies.filter(|cookie| !cookie.is_empty()).collect()
}

fn foreign_cookies(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let mut cookies = cookies(headers);
    cookies.retain(|cookie| !cookie.starts_with(b"__sidekey-"));
    cookies
}
