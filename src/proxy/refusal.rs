//! Answers that the proxy itself makes.

use super::body::Answer;
use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use std::borrow::Cow;
use std::time::Duration;

static SIDEKEY_ERROR: HeaderName = HeaderName::from_static("sidekey-error");
static PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What went wrong: the closed list of `Sidekey-Error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    RouteNotFound,
    CallerNotAllowed,
    CallerNotAuthenticated,
    BadRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    UriTooLong,
    HeadersTooLarge,
    AccountNotConnected,
    TokenUnavailable,
    ReconnectRequired,
    Overloaded,
    UpstreamUnreachable,
    UpstreamTlsError,
    UpstreamTimeout,
}

/// A code's status, its name, its title for people, and the error type that
/// `Proxy-Status` gives (RFC 9209, 2.3).
struct Row(u16, &'static str, &'static str, &'static str);

impl Code {
    fn row(self) -> Row {
        match self {
            Self::RouteNotFound => Row(
                404,
                "route_not_found",
                "No route matches this request",
                "destination_not_found",
            ),
            Self::CallerNotAllowed => Row(
                403,
                "caller_not_allowed",
                "This caller may not use this listener or route",
                "http_request_denied",
            ),
            Self::CallerNotAuthenticated => Row(
                401,
                "caller_not_authenticated",
                "This caller has not proved who it is",
                "http_request_denied",
            ),
            Self::BadRequest => Row(
                400,
                "bad_request",
                "The request is malformed or ambiguous",
                "http_request_error",
            ),
            Self::MethodNotAllowed => Row(
                405,
                "method_not_allowed",
                "The method is not allowed here",
                "http_request_denied",
            ),
            Self::PayloadTooLarge => Row(
                413,
                "payload_too_large",
                "The request's body is too large",
                "http_request_error",
            ),
            Self::UriTooLong => Row(
                414,
                "uri_too_long",
                "The request target is too long",
                "http_request_error",
            ),
            Self::HeadersTooLarge => Row(
                431,
                "headers_too_large",
                "The request has too many header fields",
                "http_request_error",
            ),
            Self::AccountNotConnected => Row(
                503,
                "account_not_connected",
                "The account has not been connected yet",
                "proxy_configuration_error",
            ),
            Self::TokenUnavailable => Row(
                503,
                "token_unavailable",
                "There is no valid token for the account",
                "proxy_internal_error",
            ),
            Self::ReconnectRequired => Row(
                503,
                "reconnect_required",
                "A person has to connect the account again",
                "proxy_configuration_error",
            ),
            Self::Overloaded => Row(
                503,
                "overloaded",
                "The proxy is at one of its limits",
                "connection_limit_reached",
            ),
            Self::UpstreamUnreachable => Row(
                502,
                "upstream_unreachable",
                "The upstream can't be reached",
                "destination_unavailable",
            ),
            Self::UpstreamTlsError => Row(
                502,
                "upstream_tls_error",
                "TLS to the upstream failed",
                "tls_protocol_error",
            ),
            Self::UpstreamTimeout => Row(
                504,
                "upstream_timeout",
                "The upstream did not answer in time",
                "http_response_timeout",
            ),
        }
    }

    /// The name, as `Sidekey-Error` gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().1
    }
}

/// Whose doing a refusal is, as far as an upstream's address is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// None of the address's.
    #[default]
    NotTheirs,
    /// Nothing of the request was sent, and nobody has tried to.
    Spared,
    /// Nothing of the request was sent: the address takes no connection, or has
    /// provably not looked at the request.
    Unsent,
    /// The connection ended before an answer.
    Lost,
}

/// A refusal on its way to becoming an answer.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: Code,
    pub fault: Fault,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Refusal {
    #[must_use]
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            fault: Fault::default(),
            detail: detail.into(),
            retry_after: None,
        }
    }

    #[must_use]
    pub fn bad_request(detail: &'static str) -> Self {
        Self::new(Code::BadRequest, detail)
    }

    /// For a body of more bytes than may go on.
    #[must_use]
    pub fn too_large(most: u64) -> Self {
        let detail = format!(
            "the request's body has more than the {most} bytes that are allowed (`max_body` of \
             the route, or `limits.max_body`)"
        );
        Self::new(Code::PayloadTooLarge, detail)
    }

    /// What went wrong, for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Says whose doing it is.
    #[must_use]
    pub fn with(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    /// Adds `Retry-After`, in whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The answer as bytes, for a connection that no HTTP server looks after.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let Row(status, code, title, _) = self.code.row();
        let body = self.problem();
        let length = body.len();
        format!(
            "HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n\
             sidekey-error: {code}\r\nproxy-status: {}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}",
            self.proxy_status(),
        )
        .into_bytes()
    }

    /// The answer: `application/problem+json` (RFC 9457), `Sidekey-Error`,
    /// `Proxy-Status` (RFC 9209).
    #[must_use]
    pub fn into_response(self) -> Response<Answer> {
        let Row(status, code, ..) = self.code.row();
        let mut response = Response::new(Answer::own(self.problem()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(SIDEKEY_ERROR.clone(), HeaderValue::from_static(code));
        if let Ok(value) = HeaderValue::from_str(&self.proxy_status()) {
            headers.insert(PROXY_STATUS.clone(), value);
        }
        if matches!(self.code, Code::BadRequest | Code::PayloadTooLarge) {
            // Where this request could be read in two ways, so could what comes
            // behind it on the connection; and nobody reads the rest of a large body.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if self.code == Code::CallerNotAuthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs_f64().ceil().max(1.0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds as u64));
        }
        response
    }

    fn problem(&self) -> String {
        let Row(status, code, title, _) = self.code.row();
        serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": self.detail,
            "code": code,
        })
        .to_string()
    }

    fn proxy_status(&self) -> String {
        let Row(_, code, _, error) = self.code.row();
        format!("sidekey; error={error}; details=\"{code}\"")
    }
}
