//! The upstream's answer on its way to the caller.

use super::body::Answer;
use super::hop::{Noted, take_connection};
use super::refusal::{Code, Refusal};
use super::route::WorkerRoute;
use super::streamed::Leased;
use super::upstream::Answered;
use super::worker::Worker;
use crate::config::checked::streams::OnExpiry;
use crate::token::{Attach, Credential, TokenPlace};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_LENGTH, CONTENT_LOCATION, HeaderMap, HeaderValue, LINK, LOCATION, ORIGIN, REFRESH,
    TRANSFER_ENCODING, VARY,
};
use http::{Method, Response, StatusCode, Version, request};
use std::rc::Rc;
use std::sync::Arc;

/// The upstream's answer as the caller gets it, for as long as its token is
/// good where the route wants that.
pub fn pass_on(
    worker: &Worker,
    route: &Rc<WorkerRoute>,
    credential: &Arc<Credential>,
    answered: Answered,
) -> Result<Response<Answer>, Refusal> {
    let Answered { mut response, back } = answered;
    clean(&mut response, route, &credential.attach)?;
    let closes = route.route.streams.on_expiry == OnExpiry::Close;
    if closes && !response.body().is_end_stream() {
        let lease = worker.leases.open(route, credential);
        let (head, incoming) = response.into_parts();
        let leased = Leased::new(incoming, back, lease, &head.headers);
        return Ok(Response::from_parts(head, Answer::leased(leased)));
    }
    Ok(response.map(|incoming| Answer::upstream(incoming, back)))
}

/// Takes out of an answer's head what is not the caller's to see. An upgrade
/// that nobody asked for is no answer, nor is what can be read in two ways.
pub fn clean<B>(
    response: &mut Response<B>,
    route: &WorkerRoute,
    attach: &Attach,
) -> Result<(), Refusal> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Refusal::new(
            Code::UpstreamUnreachable,
            format!(
                "upstream {} switched protocols unasked",
                route.route.upstream.authority
            ),
        ));
    }
    if !is_framed_plainly(response.headers()) {
        return Err(Refusal::new(
            Code::UpstreamUnreachable,
            format!(
                "upstream {} answered with a Transfer-Encoding or Content-Length that can be \
                 read in two ways",
                route.route.upstream.authority
            ),
        ));
    }
    strip(response, attach);
    Ok(())
}

/// The one coding is `chunked`, which ends here: what else was named would be lost,
/// and a body taken for chunks or not. The one length is a number.
fn is_framed_plainly(headers: &HeaderMap) -> bool {
    let (mut has_coding, mut has_length) = (false, false);
    headers.iter().all(|(name, value)| match *name {
        TRANSFER_ENCODING => {
            let is_first = !std::mem::replace(&mut has_coding, true);
            is_first && value.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
        CONTENT_LENGTH => {
            let is_first = !std::mem::replace(&mut has_length, true);
            is_first && !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
        }
        _ => true,
    })
}

/// The same, whatever its status is.
pub fn strip<B>(response: &mut Response<B>, attach: &Attach) {
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    strip_hop_by_hop(headers);
    if let TokenPlace::Query(pair) = &attach.token {
        scrub_locations(headers, &pair.name);
    }
}

/// Removes what ends at the upstream's connection.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let noted = Noted::in_fields(headers);
    noted.strip(headers);
    if noted.connection {
        for name in take_connection(headers) {
            if !matches!(name, CONTENT_LENGTH | TRANSFER_ENCODING) {
                headers.remove(name);
            }
        }
    }
    if noted.transfer_encoding {
        // It overrides a length (RFC 9112, 6.3), which must not reach the
        // caller as a second reading.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
    }
}

/// An upstream that echoes its own URL must not hand the token to the caller.
fn scrub_locations(headers: &mut HeaderMap, parameter: &str) {
    for name in [LOCATION, CONTENT_LOCATION, LINK, REFRESH] {
        if !headers.contains_key(&name) {
            continue;
        }
        let values: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
        headers.remove(&name);
        for value in values {
            let text = String::from_utf8_lossy(value.as_bytes());
            let scrubbed = without_parameter(&text, parameter);
            if let Ok(value) = HeaderValue::from_bytes(scrubbed.as_bytes()) {
                headers.append(&name, value);
            }
        }
    }
}

/// The text without every query pair of this name, in any spelling, wherever a
/// URL stands in it.
fn without_parameter(text: &str, parameter: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['?', '&']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let separator = &from[..1];
        let pair_end = from[1..]
            .find(['&', '#', '>', '"', '\'', ' ', ',', ';'])
            .map_or(from.len(), |end| end + 1);
        let pair = &from[1..pair_end];
        let is_ours =
            super::path::without_pairs(pair, |name| name == parameter.as_bytes()).is_none();
        rest = &from[pair_end..];
        if !is_ours {
            out.push_str(separator);
            out.push_str(pair);
        } else if separator == "?" && rest.starts_with('&') {
            // The next pair becomes the first.
            out.push('?');
            rest = &rest[1..];
            let end = rest
                .find(['&', '#', '>', '"', '\'', ' ', ',', ';'])
                .unwrap_or(rest.len());
            let (next, after) = rest.split_at(end);
            if super::path::without_pairs(next, |name| name == parameter.as_bytes()).is_some() {
                out.push_str(next);
            }
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// True for a browser's question before the actual request (Fetch, 4.8).
#[must_use]
pub fn is_preflight(head: &request::Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers it for an allowed origin: what is asked for is allowed.
pub fn answer_preflight<B>(head: &request::Parts, response: &mut Response<B>) {
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (asked, allowed) in [
        (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
        (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(value) = head.headers.get(asked) {
            response.headers_mut().insert(allowed, value.clone());
        }
    }
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

/// Lets an allowed page read the answer.
pub fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::{is_framed_plainly, strip_hop_by_hop, without_parameter};
    use http::header::{HeaderMap, HeaderValue};

    #[test]
    fn our_parameter_is_cut_out_of_locations() {
        for (text, expected) in [
            ("https://a/b?access_token=x", "https://a/b"),
            ("https://a/b?access_token=x#f", "https://a/b#f"),
            ("https://a/b?access_token=x&c=1", "https://a/b?c=1"),
            ("https://a/b?c=1&access%5Ftoken=x&d", "https://a/b?c=1&d"),
            (
                "<https://a?access_token=x>; rel=next, <https://a?p=2&access_token=x>",
                "<https://a>; rel=next, <https://a?p=2>",
            ),
            ("5; url=/b?access_token=x", "5; url=/b"),
            ("/b?my_access_token=x", "/b?my_access_token=x"),
        ] {
            assert_eq!(without_parameter(text, "access_token"), expected, "{text}");
        }
    }

    #[test]
    fn a_length_is_one_number() {
        let fits = |lengths: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for length in lengths {
                headers.append("content-length", HeaderValue::from_static(length));
            }
            is_framed_plainly(&headers)
        };
        assert!(fits(&[]) && fits(&["0"]) && fits(&["12"]));
        for bad in [&[""][..], &["+1"], &["1, 1"], &["1", "1"], &["", "1"]] {
            assert!(!fits(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_length_beside_a_coding_goes() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-a, content-type"),
            ("x-a", "1"),
            ("content-type", "text/plain"),
            ("trailer", "x-t"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let left: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["trailer"]);
    }
}
