//! Escaping for the places where values land.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write;
use zeroize::Zeroizing;

/// Everything but RFC 3986's unreserved characters.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes all but letters, digits, `-`, `.`, `_` and `~`: safe in a
/// path segment, in a query's names and values, and in a fragment.
#[must_use]
pub fn encode_strict(value: &str) -> String {
    let mut out = String::with_capacity(strict_length(value));
    out.extend(utf8_percent_encode(value, STRICT));
    out
}

/// A query pair, `name=value`, both strictly percent-encoded.
#[must_use]
pub fn encode_pair(name: &str, value: &str) -> String {
    // All at once: the value may be a secret, of which no copy is to stay behind.
    let mut out = String::with_capacity(strict_length(name) + 1 + strict_length(value));
    out.extend(utf8_percent_encode(name, STRICT));
    out.push('=');
    out.extend(utf8_percent_encode(value, STRICT));
    out
}

fn strict_length(value: &str) -> usize {
    utf8_percent_encode(value, STRICT).map(str::len).sum()
}

/// A JSON string (RFC 8259, 7) with its quotes.
#[must_use]
pub fn encode_json(value: &str) -> Zeroizing<String> {
    // As above: no character takes more bytes than `\u001f` for one.
    let mut out = Vec::with_capacity(6 * value.len() + 2);
    // Neither can fail: a text can be written, and JSON is UTF-8.
    let _ = serde_json::to_writer(&mut out, value);
    Zeroizing::new(String::from_utf8(out).unwrap_or_default())
}

/// One name or value of `application/x-www-form-urlencoded` (as in RFC 6749,
/// appendix B): letters, digits, `*`, `-`, `.` and `_` stay, a space is `+`.
#[must_use]
pub fn encode_form(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            // Writing to a String does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{encode_form, encode_json, encode_pair, encode_strict};
    use proptest::prelude::{ProptestConfig, any, proptest};

    #[test]
    fn reserved_characters_are_encoded() {
        assert_eq!(encode_strict("a/b?c#d%e f"), "a%2Fb%3Fc%23d%25e%20f");
        assert_eq!(encode_form("a b+c&d=e*~"), "a+b%2Bc%26d%3De*%7E");
        assert_eq!(encode_pair("a=b", "ü&"), "a%3Db=%C3%BC%26");
    }

    #[test]
    fn a_json_text_is_read_as_what_it_was() {
        for text in ["", "a\"b\\c\n\u{1}\u{7f}", "ü€😀"] {
            let read: String = serde_json::from_str(&encode_json(text)).unwrap();
            assert_eq!(read, text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_query_parser_gives_back_what_went_in(name in any::<String>(), value in any::<String>()) {
            let strict = encode_pair(&name, &value);
            let form = format!("{}={}", encode_form(&name), encode_form(&value));
            for written in [strict, form] {
                let parsed: Vec<_> = url::form_urlencoded::parse(written.as_bytes()).collect();
                assert_eq!(parsed, [(name.as_str().into(), value.as_str().into())]);
            }
        }
    }
}
