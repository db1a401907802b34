//! Escaping for the places where values land.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write;

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
    utf8_percent_encode(value, STRICT).to_string()
}

/// A query pair, `name=value`, both strictly percent-encoded.
#[must_use]
pub fn encode_pair(name: &str, value: &str) -> String {
    format!("{}={}", encode_strict(name), encode_strict(value))
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
    use super::{encode_form, encode_pair, encode_strict};
    use proptest::prelude::{ProptestConfig, any, proptest};

    #[test]
    fn reserved_characters_are_encoded() {
        assert_eq!(encode_strict("a/b?c#d%e f"), "a%2Fb%3Fc%23d%25e%20f");
        assert_eq!(encode_form("a b+c&d=e*~"), "a+b%2Bc%26d%3De*%7E");
        assert_eq!(encode_pair("a=b", "ü&"), "a%3Db=%C3%BC%26");
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
