//! An upstream's own 431: it goes on as it is, and log and metrics say which
//! part of the request's head was how large, for the upstream does not.

use super::attach::Outbound;
use super::route::WorkerRoute;
use crate::telemetry::requests::HeadBytes;
use crate::token::{Attach, TokenPlace};
use http::Request;
use http::header::{COOKIE, HeaderName, HeaderValue};

/// Takes note of a head that the upstream found too large.
pub fn note(route: &WorkerRoute, outbound: &mut Outbound<'_>, attach: &Attach) {
    // What was sent is made once more: it is gone, and this is rare.
    let Ok(request) = outbound.request(attach) else {
        return;
    };
    let bytes = measured(&request, attach);
    route.stats.borrow_mut().oversized.add(bytes);
    tracing::warn!(
        route = &*route.name,
        account = %route.route.account,
        cookies = bytes.cookies,
        token = bytes.token,
        rest = bytes.rest,
        "the upstream finds the request's head too large (431), in bytes as given here: {}",
        advice(bytes)
    );
}

/// As HTTP/1.1 writes it.
fn measured<B>(request: &Request<B>, attach: &Attach) -> HeadBytes {
    let line = |name: &HeaderName, value: &HeaderValue| {
        (name.as_str().len() + ": \r\n".len() + value.len()) as u64
    };
    let of = |name: &HeaderName| -> u64 {
        let values = request.headers().get_all(name).iter();
        values.map(|value| line(name, value)).sum()
    };
    let target = request
        .uri()
        .path_and_query()
        .map_or(1, |t| t.as_str().len());
    let first = request.method().as_str().len() + target + "  HTTP/1.1\r\n\r\n".len();
    let fields = request.headers().iter();
    let fields: u64 = fields.map(|(name, value)| line(name, value)).sum();
    let cookies = of(&COOKIE);
    let token = match &attach.token {
        TokenPlace::Header { name, .. } => of(name),
        TokenPlace::Query(pair) => pair.encoded.expose().len() as u64 + 1,
    };
    let all = first as u64 + fields;
    HeadBytes {
        cookies,
        token,
        rest: all.saturating_sub(cookies).saturating_sub(token),
    }
}

/// What helps most.
fn advice(bytes: HeadBytes) -> &'static str {
    let HeadBytes {
        cookies,
        token,
        rest,
    } = bytes;
    if cookies >= token && cookies >= rest {
        "most of it is cookies: clear those of this address in the browser or client that calls, \
         or set `strip_cookies: true` on the route"
    } else if token >= rest {
        "most of it is the token: have the authorization server issue a smaller one (less scope, \
         fewer groups or claims), or raise the upstream's limit"
    } else {
        "most of it is the caller's other headers and the path: send less of them, remove some \
         by `request_headers` of the route, or raise the upstream's limit"
    }
}

#[cfg(test)]
mod tests {
    use super::{HeadBytes, advice, measured};
    use crate::token::{Attach, TokenPlace};
    use http::Request;
    use http::header::{AUTHORIZATION, HeaderValue};

    #[test]
    fn the_parts_make_up_the_head() {
        let head = "GET /a?b HTTP/1.1\r\ncookie: a=1\r\ncookie: b=2\r\n\
                    authorization: Bearer x\r\nhost: h\r\n\r\n";
        let request = Request::builder()
            .uri("/a?b")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("authorization", "Bearer x")
            .header("host", "h")
            .body(())
            .unwrap();
        let attach = Attach {
            token: TokenPlace::Header {
                name: AUTHORIZATION,
                value: HeaderValue::from_static("Bearer x"),
            },
            headers: Vec::new(),
            query: Vec::new(),
        };
        let bytes = measured(&request, &attach);
        assert_eq!((bytes.cookies, bytes.token), (26, 25));
        let sum = bytes.cookies + bytes.token + bytes.rest;
        assert_eq!(sum, head.len() as u64);
    }

    #[test]
    fn the_largest_part_is_what_to_do_something_about() {
        for (cookies, token, rest, word) in [
            (9, 1, 1, "strip_cookies"),
            (1, 9, 1, "smaller one"),
            (1, 1, 9, "request_headers"),
        ] {
            let bytes = HeadBytes {
                cookies,
                token,
                rest,
            };
            assert!(advice(bytes).contains(word), "{bytes:?}");
        }
    }
}
