//! Fields that end at one connection (RFC 9110, 7.6.1), in both directions.

use http::header::{
    CONNECTION, COOKIE, EXPECT, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What one pass over the fields of a message found, so that an ordinary message
/// costs no look-up for fields that it doesn't have.
#[derive(Default)]
pub struct Noted {
    pub connection: bool,
    pub cookie: bool,
    pub trailer: bool,
    pub transfer_encoding: bool,
    gone: [Option<&'static HeaderName>; 7],
    found: usize,
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
                TE => noted.goes(&TE),
                UPGRADE => noted.goes(&UPGRADE),
                EXPECT => noted.goes(&EXPECT),
                PROXY_AUTHORIZATION => noted.goes(&PROXY_AUTHORIZATION),
                PROXY_AUTHENTICATE => noted.goes(&PROXY_AUTHENTICATE),
                _ if *name == KEEP_ALIVE => noted.goes(&KEEP_ALIVE),
                _ if *name == PROXY_CONNECTION => noted.goes(&PROXY_CONNECTION),
                _ => {}
            }
        }
        noted
    }

    /// Removes the fields that go in either direction. `Connection` itself, and
    /// what frames the message, each side removes in its own way.
    pub fn strip(&self, headers: &mut HeaderMap) {
        for name in self.gone.iter().flatten() {
            headers.remove(*name);
        }
    }

    /// Each name is a key of the map once, so there is room for all of them.
    fn goes(&mut self, name: &'static HeaderName) {
        if let Some(place) = self.gone.get_mut(self.found) {
            *place = Some(name);
            self.found += 1;
        }
    }
}

/// Takes `Connection` away; gives the names that it listed.
pub fn take_connection(headers: &mut HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let names = values.flat_map(names_in).collect();
    headers.remove(CONNECTION);
    names
}

fn names_in(value: &HeaderValue) -> impl Iterator<Item = HeaderName> + '_ {
    value
        .as_bytes()
        .split(|b| *b == b',')
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}
