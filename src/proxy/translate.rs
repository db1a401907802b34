//! A request that came by HTTP/2, brought into the form of HTTP/1.1 that the
//! pipeline checks and passes on (RFC 9113, 8.3.1 and 8.2.3).
//!
//! h2 has refused by now what is malformed in itself: fields that end at a
//! connection, `te` other than `trailers`, lengths that differ from the DATA,
//! extended CONNECT.

use super::refusal::{Code, Refusal};
use crate::config::checked::Limits;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::request;

/// What the body is told to be like, `None` for no body.
pub fn to_http1(
    head: &mut request::Parts,
    is_measured: Option<bool>,
    limits: &Limits,
) -> Result<(), Refusal> {
    if let Some(scheme) = head.uri.scheme_str()
        && !matches!(scheme, "http" | "https")
    {
        return Err(Refusal::bad_request("the scheme is neither http nor https"));
    }
    let headers = &mut head.headers;
    // Lengths that agree come this far; HTTP/1.1 has room for one alone.
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::bad_request("Content-Length came more than once"));
    }
    join_cookies(headers);
    // Where both are there they are compared, as with an absolute target.
    if let Some(authority) = head.uri.authority()
        && !headers.contains_key(HOST)
    {
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| Refusal::bad_request("the authority is not a host"))?;
        headers.insert(HOST, host);
    }
    if headers.len() > limits.header_count {
        return Err(Refusal::new(
            Code::HeadersTooLarge,
            format!(
                "the request has {} fields; {} are allowed",
                headers.len(),
                limits.header_count
            ),
        ));
    }
    if is_measured == Some(false) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(())
}

/// A caller may send its cookies one by one, which HTTP/1.1 has no room for.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    // Of parts that are fields' values each the whole is one.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::join_cookies;
    use http::header::{COOKIE, HeaderMap, HeaderValue};

    #[test]
    fn crumbs_become_one_cookie_in_their_order() {
        for (crumbs, expected) in [
            (&["a=1"][..], "a=1"),
            (&["a=1", "b=2", "c=3"], "a=1; b=2; c=3"),
            (&["a=1; b=2", "c=\"3\""], "a=1; b=2; c=\"3\""),
        ] {
            let mut headers = HeaderMap::new();
            for crumb in crumbs {
                headers.append(COOKIE, HeaderValue::from_static(crumb));
            }
            join_cookies(&mut headers);
            let all: Vec<_> = headers.get_all(COOKIE).iter().collect();
            assert_eq!(all, [expected]);
        }
        let mut none = HeaderMap::new();
        join_cookies(&mut none);
        assert!(none.is_empty());
    }
}
