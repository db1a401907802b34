//! The page's answers.

use super::assets::Asset;
use crate::admin::body::ReplyBody;
use crate::admin::reply as answers;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

/// An answer.
pub type Reply = Response<ReplyBody>;

/// A page.
pub fn html(status: StatusCode, page: String) -> Reply {
    answers::html(status, page).map(ReplyBody::from)
}

/// Another page is to be fetched, so that a reload sends no form again.
pub fn see(place: &str) -> Reply {
    answers::see_other(place).map(ReplyBody::from)
}

/// A file that browsers may keep for ever.
pub fn asset(asset: &Asset) -> Reply {
    let content = asset.content.to_owned();
    let mut reply = answers::answer(StatusCode::OK, asset.content_type, content);
    set(reply.headers_mut(), X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(
        reply.headers_mut(),
        CACHE_CONTROL,
        "public, max-age=31536000, immutable",
    );
    reply.map(ReplyBody::from)
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

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
