//! Fields that end at one connection (RFC 9110, 7.6.1), in both directions.

use super::who::{CALLER_KEY, CALLER_TOKEN};
use http::header::{
    CONNECTION, COOKIE, EXPECT, HeaderMap, HeaderName, HeaderValue, ORIGIN, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What frames a message once `_` is read as `-`.
static DISGUISED: [HeaderName; 2] = [
    HeaderName::from_static("content_length"),
    HeaderName::from_static("transfer_encoding"),
];

/// What goes in either direction, by its bit in [`Noted::gone`].
static GOES: [HeaderName; 9] = [
    TE,
    UPGRADE,
    EXPECT,
    PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    CALLER_KEY,
    CALLER_TOKEN,
];

/// What one pass over the fields of a message found, so that an ordinary message
/// costs no look-up for fields that it doesn't have.
#[derive(Clone, Copy, Default)]
pub struct Noted {
    pub connection: bool,
    pub cookie: bool,
    pub trailer: bool,
    pub transfer_encoding: bool,
    /// `Origin` or `Sec-Fetch-Site`: a browser says where the request comes from.
    pub from_page: bool,
    /// A field that frames the message once `_` is read as `-`, as many servers do.
    pub frames_in_disguise: bool,
    gone: u16,
    /// What goes on to the upstream all the same.
    pub goes_on: GoesOn,
}

/// What ends at the caller's connection, and is said anew on the upstream's.
#[derive(Clone, Copy, Default)]
pub struct GoesOn {
    /// `Upgrade: websocket`
    pub websocket: bool,
    /// `Expect: 100-continue`
    pub expect: bool,
}

impl Noted {
    /// Looks at every field once.
    #[must_use]
    pub fn in_fields(headers: &HeaderMap) -> Self {
        let mut noted = Self::default();
        for name in headers.keys() {
            match *name {
                CONNECTION => noted.connection = true,
                COOKIE => noted.cookie = true,
                TRAILER => noted.trailer = true,
                TRANSFER_ENCODING => noted.transfer_encoding = true,
                ORIGIN => noted.from_page = true,
                TE => noted.gone |= 1,
                UPGRADE => noted.gone |= 1 << 1,
                EXPECT => noted.gone |= 1 << 2,
                PROXY_AUTHORIZATION => noted.gone |= 1 << 3,
                PROXY_AUTHENTICATE => noted.gone |= 1 << 4,
                _ if *name == KEEP_ALIVE => noted.gone |= 1 << 5,
                _ if *name == PROXY_CONNECTION => noted.gone |= 1 << 6,
                _ if *name == CALLER_KEY => noted.gone |= 1 << 7,
                _ if *name == CALLER_TOKEN => noted.gone |= 1 << 8,
                _ if *name == SEC_FETCH_SITE => noted.from_page = true,
                _ if DISGUISED.contains(name) => noted.frames_in_disguise = true,
                _ => {}
            }
        }
        noted
    }

    /// True when `TE` is there.
    #[must_use]
    pub fn te(&self) -> bool {
        self.gone & 1 != 0
    }

    /// True for `Upgrade` or `Expect`, which few messages have.
    #[must_use]
    pub fn asks_for_more(&self) -> bool {
        self.gone & (1 << 1 | 1 << 2) != 0
    }

    /// Removes the fields that go in either direction. `Connection` itself, and
    /// what frames the message, each side removes in its own way.
    pub fn strip(&self, headers: &mut HeaderMap) {
        let mut left = self.gone;
        while left != 0 {
            headers.remove(&GOES[left.trailing_zeros() as usize]);
            left &= left - 1;
        }
    }
}

/// Whether `TE` says that trailers are welcome (RFC 9110, 10.1.4).
pub fn wants_trailers(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TE).iter();
    values.any(|value| has_word(value, b"trailers"))
}

/// Takes `Connection` away; gives the names that it listed.
pub fn take_connection(headers: &mut HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for value in headers.get_all(CONNECTION) {
        // The whole of what ordinary messages say; it names no field of theirs.
        if !matches!(value.as_bytes(), b"keep-alive" | b"close") {
            names.extend(names_in(value));
        }
    }
    headers.remove(CONNECTION);
    names
}

/// True for a field that goes in either direction, and for what names them.
pub fn ends_here(name: &HeaderName) -> bool {
    *name == CONNECTION || GOES.contains(name)
}

/// Removes from trailers what ends here, or would frame the message.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    Noted::in_fields(trailers).strip(trailers);
    trailers.remove(CONNECTION);
    trailers.remove(TRANSFER_ENCODING);
}

/// Whether a list holds this word, in any case of letters.
#[must_use]
pub fn has_word(list: &HeaderValue, word: &[u8]) -> bool {
    let mut words = list.as_bytes().split(|byte| *byte == b',');
    words.any(|other| other.trim_ascii().eq_ignore_ascii_case(word))
}

/// The names of fields that a list holds.
pub fn names_in(value: &HeaderValue) -> impl Iterator<Item = HeaderName> + '_ {
    value
        .as_bytes()
        .split(|b| *b == b',')
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

#[cfg(test)]
mod tests {
    use super::{GOES, Noted};
    use http::header::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn each_field_is_removed_by_the_bit_that_notes_it() {
        for name in &GOES {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            headers.insert("accept", HeaderValue::from_static("*/*"));
            Noted::in_fields(&headers).strip(&mut headers);
            assert_eq!(
                headers.keys().map(|n| n.as_str()).collect::<Vec<_>>(),
                ["accept"]
            );
        }
    }

    #[test]
    fn an_underscore_disguises_no_framing() {
        for (name, seen) in [
            ("content_length", true),
            ("transfer_encoding", true),
            ("content-length", false),
            ("x_content_length", false),
        ] {
            let mut headers = HeaderMap::new();
            let name = HeaderName::from_static(name);
            headers.insert(&name, HeaderValue::from_static("5"));
            assert_eq!(
                Noted::in_fields(&headers).frames_in_disguise,
                seen,
                "{name}"
            );
        }
    }
}
