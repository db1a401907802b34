//! Which trailers of a caller's request go on to the upstream.

use super::edits;
use super::hop::{self, names_in};
use crate::config::checked::Route;
use crate::token::{Attach, TokenPlace};
use http::header::{
    CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING,
};

/// Announces no trailer that an upstream could take for what is ours, or for
/// what ends here: hyper sends those alone that are announced.
pub fn keep_foreign_trailers(headers: &mut HeaderMap, attach: &Attach, route: Option<&Route>) {
    let kept = foreign_trailers(headers, attach, route);
    headers.remove(TRAILER);
    for name in kept {
        headers.append(TRAILER, HeaderValue::from(name));
    }
}

/// The trailers that are announced and may go on.
pub fn foreign_trailers(
    headers: &HeaderMap,
    attach: &Attach,
    route: Option<&Route>,
) -> Vec<HeaderName> {
    let token = match &attach.token {
        TokenPlace::Header { name, .. } => Some(name),
        TokenPlace::Query(_) => None,
    };
    let ours: Vec<&HeaderName> = attach.headers.iter().map(|(name, _)| name).collect();
    let foreign =
        |name: &HeaderName| Some(name) != token && !ours.contains(&name) && is_foreign(name, route);
    let values = headers.get_all(TRAILER).iter();
    values.flat_map(names_in).filter(foreign).collect()
}

/// A name that a trailer may have on this route, unless it is ours.
pub fn is_foreign(name: &HeaderName, route: Option<&Route>) -> bool {
    let stopped = route.is_some_and(|route| {
        let edits = route.edits.as_deref();
        let jwts = route.callers.iter().flat_map(|all| all.jwts());
        edits.is_some_and(|edits| edits::stops_trailer(edits, name))
            || jwts.into_iter().any(|jwt| jwt.header == *name)
    });
    // Framing and routing are never a trailer's to say (RFC 9110, 6.5.1).
    let frames = [CONTENT_LENGTH, TRANSFER_ENCODING, HOST].contains(name);
    *name != COOKIE && !frames && !hop::ends_here(name) && !stopped
}

#[cfg(test)]
mod tests {
    use super::keep_foreign_trailers;
    use crate::token::{Attach, TokenPlace};
    use http::header::{HeaderMap, HeaderName, HeaderValue, TRAILER};

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        fields.collect()
    }

    #[test]
    fn a_trailer_is_not_in_our_place() {
        let value = HeaderValue::from_static("the token");
        let attach = Attach {
            token: TokenPlace::Header {
                name: HeaderName::from_static("x-api-key"),
                value: value.clone(),
            },
            headers: vec![(HeaderName::from_static("x-tenant"), value)],
            query: Vec::new(),
        };
        let mut headers = map(&[(
            "trailer",
            "X-API-Key, x-sum, cookie,Connection, x-tenant, keep-alive",
        )]);
        keep_foreign_trailers(&mut headers, &attach, None);
        assert_eq!(headers[TRAILER], "x-sum");
        let mut headers = map(&[("trailer", "x-api-key")]);
        keep_foreign_trailers(&mut headers, &attach, None);
        assert!(headers.is_empty());
    }
}
