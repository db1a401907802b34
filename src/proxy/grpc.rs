//! sidekey's own refusals as gRPC callers read them: an answer of trailers only
//! (gRPC over HTTP/2, "Responses"), which is HTTP 200 with a status of gRPC's.

use super::body::Answer;
use super::refusal::{Code, Refusal};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const CONTENT: &str = "application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// All but what is printable, and the sign itself.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// True for a call of gRPC, with whatever it encodes its messages.
#[must_use]
pub fn is_call(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|content| content.as_bytes().starts_with(CONTENT.as_bytes()))
}

/// How a refusal ends a call: its status, and its text.
pub struct End {
    status: Status,
    message: String,
}

impl End {
    #[must_use]
    pub fn of(refusal: &Refusal) -> Self {
        Self {
            status: Status::of(refusal.code),
            message: utf8_percent_encode(refusal.detail(), ENCODED).to_string(),
        }
    }

    /// Turns the refusal's answer into one of trailers only; `Sidekey-Error` and
    /// `Proxy-Status` stay.
    #[must_use]
    pub fn trailers_only(self, answer: Response<Answer>) -> Response<Answer> {
        let mut answer = answer.map(|_| Answer::empty());
        *answer.status_mut() = StatusCode::OK;
        let headers = answer.headers_mut();
        headers.remove(CONNECTION);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
        headers.insert(GRPC_STATUS, HeaderValue::from(self.status as u16));
        if let Ok(message) = HeaderValue::from_str(&self.message) {
            headers.insert(GRPC_MESSAGE, message);
        }
        answer
    }
}

/// The status codes of gRPC that say what sidekey has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Status {
    /// As gRPC maps statuses of HTTP, and closer where a code says more.
    fn of(code: Code) -> Self {
        match code {
            Code::RouteNotFound | Code::MethodNotAllowed => Self::Unimplemented,
            Code::CallerNotAllowed => Self::PermissionDenied,
            Code::CallerNotAuthenticated => Self::Unauthenticated,
            Code::BadRequest => Self::Internal,
            Code::PayloadTooLarge | Code::UriTooLong | Code::HeadersTooLarge => {
                Self::ResourceExhausted
            }
            // No other try helps, and no other credential of the caller's: a person does.
            Code::AccountNotConnected | Code::ReconnectRequired => Self::FailedPrecondition,
            Code::TokenUnavailable
            | Code::Overloaded
            | Code::UpstreamUnreachable
            | Code::UpstreamTlsError => Self::Unavailable,
            Code::UpstreamTimeout => Self::DeadlineExceeded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, is_call};
    use crate::proxy::refusal::{Code, Refusal};
    use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
    use http_body::Body;

    #[test]
    fn a_call_is_told_by_its_content_type() {
        for (content, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=x", true),
            ("application/json", false),
            ("text/application/grpc", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
            assert_eq!(is_call(&headers), expected, "{content}");
        }
        assert!(!is_call(&HeaderMap::new()));
    }

    #[test]
    fn a_refusal_is_an_answer_of_trailers_only() {
        let refusal = Refusal::new(Code::BadRequest, "50 % of \"Wörter\"\n");
        let end = End::of(&refusal);
        let answer = end.trailers_only(refusal.into_response());
        assert_eq!(answer.status(), 200);
        assert!(answer.body().is_end_stream());
        let headers = answer.headers();
        assert_eq!(headers["content-type"], "application/grpc");
        assert_eq!(headers["grpc-status"], "13");
        assert_eq!(headers["grpc-message"], "50 %25 of \"W%C3%B6rter\"%0A");
        assert_eq!(headers["sidekey-error"], "bad_request");
        assert!(!headers.contains_key("connection"));
    }
}
