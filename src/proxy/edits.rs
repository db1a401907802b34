//! What a route changes in requests and answers besides the token: `Host`,
//! fields that are set and removed, cookies, addresses.

use super::connection::Connection;
use super::rewrite::Rewriter;
use super::route::WorkerRoute;
use crate::config::checked::edits::{Edits, Fields};
use bytes::Bytes;
use http::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Uri, request};
use http_body::Frame;

/// How the caller has reached a route that rewrites addresses; `None` on every
/// other route.
#[must_use]
pub fn reached(
    connection: &Connection,
    head: &request::Parts,
    route: &WorkerRoute,
) -> Option<Box<Rewriter>> {
    let edits = route.route.edits.as_deref()?;
    if !edits.rewrite_addresses {
        return None;
    }
    let host = callers_host(&head.headers, &head.uri)?;
    let scheme = connection.scheme();
    let path = head.uri.path();
    Some(Box::new(Rewriter::new(&route.route, scheme, &host, path)))
}

/// Changes a request: after what the caller may not send has been taken out of
/// it, and before the token is written into it. `authority` is the upstream's.
pub fn request(edits: &Edits, headers: &mut HeaderMap, uri: &Uri, authority: &HeaderValue) {
    let kept = edits
        .preserve_host
        .then(|| callers_host(headers, uri))
        .flatten();
    headers.insert(HOST, kept.unwrap_or_else(|| authority.clone()));
    if edits.strip_cookies {
        headers.remove(COOKIE);
    }
    change(&edits.request, headers);
}

/// Changes an upstream's answer, in which the token has been made unreadable.
pub fn answer(edits: &Edits, headers: &mut HeaderMap, rewriter: Option<&Rewriter>) {
    if edits.strip_cookies {
        headers.remove(SET_COOKIE);
    }
    if let Some(rewriter) = rewriter {
        rewriter.rewrite(headers);
    }
    change(&edits.response, headers);
}

/// True for a trailer of a request that does not go on.
#[must_use]
pub fn stops_trailer(edits: &Edits, name: &HeaderName) -> bool {
    edits.request.names(name)
}

/// A piece of an answer's body; out of trailers goes what is set or removed in
/// its head.
#[must_use]
pub fn frame(edits: &Edits, frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            let Fields { set, remove } = &edits.response;
            for name in set.iter().map(|(name, _)| name).chain(remove) {
                trailers.remove(name);
            }
            if edits.strip_cookies {
                trailers.remove(SET_COOKIE);
            }
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

/// HTTP/2 has it in the target alone.
fn callers_host(headers: &HeaderMap, uri: &Uri) -> Option<HeaderValue> {
    let field = headers.get(HOST).cloned();
    field.or_else(|| HeaderValue::from_str(uri.authority()?.as_str()).ok())
}

fn change(fields: &Fields, headers: &mut HeaderMap) {
    for name in &fields.remove {
        headers.remove(name);
    }
    for (name, value) in &fields.set {
        headers.insert(name.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::{answer, frame, request};
    use crate::config::checked::edits::{Edits, Fields};
    use bytes::Bytes;
    use http::Uri;
    use http::header::{HeaderMap, HeaderName, HeaderValue};
    use http_body::Frame;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn fields() -> Fields {
        Fields {
            set: vec![(
                HeaderName::from_static("x-set"),
                HeaderValue::from_static("ours"),
            )],
            remove: vec![HeaderName::from_static("x-gone")],
        }
    }

    #[test]
    fn what_is_set_stands_alone_and_what_is_removed_is_gone() {
        let edits = Edits {
            request: fields(),
            response: fields(),
            strip_cookies: true,
            ..Edits::default()
        };
        let authority = HeaderValue::from_static("upstream");
        let mut headers = map(&[
            ("host", "caller"),
            ("x-set", "a"),
            ("x-set", "b"),
            ("x-gone", "a"),
            ("x-gone", "b"),
            ("cookie", "a=1"),
            ("x-kept", "a"),
        ]);
        request(&edits, &mut headers, &Uri::from_static("/"), &authority);
        let expected = map(&[("host", "upstream"), ("x-set", "ours"), ("x-kept", "a")]);
        assert_eq!(headers, expected);
        let mut headers = map(&[
            ("set-cookie", "a=1"),
            ("set-cookie", "b=1"),
            ("x-gone", "a"),
        ]);
        answer(&edits, &mut headers, None);
        assert_eq!(headers, map(&[("x-set", "ours")]));
    }

    #[test]
    fn the_callers_host_is_kept_wherever_it_stands() {
        let edits = Edits {
            preserve_host: true,
            ..Edits::default()
        };
        let authority = HeaderValue::from_static("upstream");
        for (mut headers, uri) in [
            (map(&[("host", "caller:1")]), "/a"),
            (map(&[]), "http://caller:1/a"),
        ] {
            request(&edits, &mut headers, &Uri::from_static(uri), &authority);
            assert_eq!(headers, map(&[("host", "caller:1")]));
        }
    }

    #[test]
    fn trailers_are_no_way_around_it() {
        let edits = Edits {
            response: fields(),
            strip_cookies: true,
            ..Edits::default()
        };
        let trailers = map(&[
            ("x-set", "a"),
            ("x-gone", "a"),
            ("set-cookie", "a"),
            ("x-kept", "a"),
        ]);
        let trailers = frame(&edits, Frame::trailers(trailers));
        assert_eq!(trailers.into_trailers().unwrap(), map(&[("x-kept", "a")]));
        let data = frame(&edits, Frame::data(Bytes::from_static(b"x")));
        assert_eq!(data.into_data().unwrap(), "x");
    }
}
