//! The page's answers, each with the fields that keep other pages, scripts and
//! frames out.

use super::assets::Asset;
use crate::admin::body::ReplyBody;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::Full;

/// An answer.
pub type Reply = Response<ReplyBody>;

/// Own files only, nothing inline; forms come back here and nowhere else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// A page.
pub fn html(status: StatusCode, page: String) -> Reply {
    let mut reply = of(status, "text/html; charset=utf-8", page);
    let headers = reply.headers_mut();
    set(headers, CONTENT_SECURITY_POLICY, POLICY);
    set(headers, X_FRAME_OPTIONS, "DENY");
    // `no-referrer` would make browsers send `Origin: null` with our own forms.
    set(headers, REFERRER_POLICY, "same-origin");
    set(
        headers,
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    reply
}

/// Another page is to be fetched (303), so that a reload sends no form again.
pub fn see(place: &str) -> Reply {
    let mut reply = of(
        StatusCode::SEE_OTHER,
        "text/plain; charset=utf-8",
        String::new(),
    );
    let location = HeaderValue::from_str(place);
    let location = location.unwrap_or_else(|_| HeaderValue::from_static("/"));
    reply.headers_mut().insert(LOCATION, location);
    set(reply.headers_mut(), REFERRER_POLICY, "same-origin");
    reply
}

/// A file that browsers may keep for ever.
pub fn asset(asset: &Asset) -> Reply {
    let mut reply = of(StatusCode::OK, asset.content_type, asset.content.to_owned());
    set(
        reply.headers_mut(),
        CACHE_CONTROL,
        "public, max-age=31536000, immutable",
    );
    reply
}

/// A stream of events.
pub fn events(body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    set(headers, CONTENT_TYPE, "text/event-stream");
    set(headers, CACHE_CONTROL, "no-store");
    // nginx would hold the events back.
    set(headers, HeaderName::from_static("x-accel-buffering"), "no");
    reply
}

/// Adds a cookie.
pub fn with_cookie(mut reply: Reply, cookie: HeaderValue) -> Reply {
    reply.headers_mut().append(SET_COOKIE, cookie);
    reply
}

fn of(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(ReplyBody::Whole(Full::new(Bytes::from(body))));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    set(headers, CONTENT_TYPE, content_type);
    set(headers, CACHE_CONTROL, "no-store");
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    reply
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
