//! Answers, each with what keeps caches and other pages away from it.

use super::api::Problem;
use super::guard::Refusal;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// Own files only, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

pub fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::BadHost => problem(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "The request can't be read",
            "It needs exactly one Host field.",
        ),
        Refusal::ForeignHost => problem(
            StatusCode::FORBIDDEN,
            "caller_not_allowed",
            "This host is not ours",
            "Use localhost, an address, or the host of admin.public_url.",
        ),
        Refusal::ForeignPage => problem(
            StatusCode::FORBIDDEN,
            "caller_not_allowed",
            "Another site's page may not call this",
            "The Origin or Sec-Fetch-Site field names another site.",
        ),
        Refusal::NoToken => {
            let mut answer = problem(
                StatusCode::UNAUTHORIZED,
                "admin_token_required",
                "The admin token is missing or wrong",
                "Send Authorization: Bearer with the admin token (admin.token, or the file \
                 admin-token in the state directory).",
            );
            let challenge = HeaderValue::from_static("Bearer realm=\"sidekey\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            answer
        }
    }
}

pub fn not_found() -> Answer {
    problem(
        StatusCode::NOT_FOUND,
        "not_found",
        "There is nothing here",
        "This listener answers /livez, /readyz and /metrics, and on the admin listener \
         /api/accounts.",
    )
}

pub fn unknown_account() -> Answer {
    problem(
        StatusCode::NOT_FOUND,
        "account_not_found",
        "There is no such account",
        "GET /api/accounts lists every connected account.",
    )
}

pub fn method_not_allowed(wanted: &[Method]) -> Answer {
    let wanted: Vec<_> = wanted.iter().map(Method::as_str).collect();
    let wanted = wanted.join(", ");
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This method does nothing here",
        &format!("Use {wanted}."),
    );
    if let Ok(value) = HeaderValue::from_str(&wanted) {
        answer.headers_mut().insert(ALLOW, value);
    }
    answer
}

pub fn problem(status: StatusCode, code: &'static str, title: &str, detail: &str) -> Answer {
    let body = Problem {
        kind: "about:blank".to_owned(),
        title: title.to_owned(),
        status: status.as_u16(),
        detail: detail.to_owned(),
        code: code.to_owned(),
    };
    let mut answer = json(status, &body);
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert("sidekey-error", HeaderValue::from_static(code));
    answer
}

pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // These types always serialize.
    let mut text = serde_json::to_string(body).unwrap_or_default();
    text.push('\n');
    answer(status, "application/json", text)
}

pub fn text(status: StatusCode, body: String) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

pub fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A page for people.
pub fn html(status: StatusCode, body: String) -> Answer {
    let mut answer = answer(status, "text/html; charset=utf-8", body);
    let fields: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        // The address of a callback carries a code, so nobody else hears of it;
        // `no-referrer` would make browsers send `Origin: null` with our forms.
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fields {
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// Sends the browser on with GET.
pub fn see_other(to: &str) -> Answer {
    moved(StatusCode::SEE_OTHER, to)
}

/// Sends the browser to another address of ours.
pub fn moved(status: StatusCode, to: &str) -> Answer {
    match HeaderValue::from_str(to) {
        Ok(to) => {
            let mut answer = html(status, String::new());
            answer.headers_mut().insert(LOCATION, to);
            answer
        }
        Err(_) => not_found(),
    }
}
