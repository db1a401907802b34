//! Whether an upstream's answer rejects the token.

use crate::config::checked::GRPC_UNAUTHENTICATED;
use crate::token::RejectedStatus;
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

/// What rejects the token here, if anything does. A challenge that says
/// `insufficient_scope` is about rights that no fresh token brings
/// (RFC 6750, 3.1); a 403 that says `invalid_token` is a 401 in disguise.
///
/// An answer of gRPC's has its status in trailers, or in its head when there is
/// nothing else to it: an answer with a body is passed on, whatever follows.
pub fn rejection<B>(
    response: &Response<B>,
    is_bare: bool,
    retry_on: &[u16],
    is_grpc: impl FnOnce() -> bool,
) -> Option<RejectedStatus> {
    let status = response.status();
    if !retry_on.contains(&status.as_u16()) {
        let rejects = is_bare
            && retry_on.contains(&GRPC_UNAUTHENTICATED)
            && says_unauthenticated(response)
            && is_grpc();
        return rejects.then_some(RejectedStatus::Unauthorized);
    }
    match challenge_error(response.headers()) {
        Some("insufficient_scope") => None,
        Some("invalid_token") => Some(RejectedStatus::Unauthorized),
        _ if status == StatusCode::UNAUTHORIZED => Some(RejectedStatus::Unauthorized),
        _ => Some(RejectedStatus::Forbidden),
    }
}

fn says_unauthenticated<B>(response: &Response<B>) -> bool {
    let said = response.headers().get("grpc-status");
    let said = said.and_then(|value| value.to_str().ok()?.parse().ok());
    response.status() == StatusCode::OK && said == Some(GRPC_UNAUTHENTICATED)
}

/// The `error` of the first challenge that has one, when it is one of those
/// that matter here.
fn challenge_error(headers: &HeaderMap) -> Option<&'static str> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| error_parameter(value))
        .find_map(|error| {
            ["insufficient_scope", "invalid_token"]
                .into_iter()
                .find(|known| *known == error)
        })
}

/// The value of the auth-param `error` (RFC 9110, 11.2), quoted or not.
fn error_parameter(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    split_outside_quotes(text).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        // The first parameter follows its scheme: `Bearer error="…"`.
        let name = name.split_whitespace().next_back()?;
        name.eq_ignore_ascii_case("error")
            .then(|| value.trim().trim_matches('"'))
    })
}

fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        if c == '"' {
            quoted = !quoted;
        }
        c == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::rejection;
    use crate::token::RejectedStatus::{Forbidden, Unauthorized};
    use http::Response;

    fn judged(status: u16, challenge: Option<&str>) -> Option<crate::token::RejectedStatus> {
        let mut response = Response::builder().status(status);
        if let Some(challenge) = challenge {
            response = response.header("www-authenticate", challenge);
        }
        let response = response.body(()).unwrap();
        rejection(&response, true, &[401, 403], || false)
    }

    #[test]
    fn statuses_and_challenges_decide() {
        for (status, challenge, expected) in [
            (200, None, None),
            (401, None, Some(Unauthorized)),
            (403, None, Some(Forbidden)),
            (404, None, None),
            (
                401,
                Some("Bearer realm=\"a, error=x\", error=\"invalid_token\""),
                Some(Unauthorized),
            ),
            (
                403,
                Some("Bearer error=\"insufficient_scope\", scope=\"a b\""),
                None,
            ),
            (
                403,
                Some("Bearer realm=\"x\", error=insufficient_scope"),
                None,
            ),
            (
                403,
                Some("Bearer error=\"invalid_token\""),
                Some(Unauthorized),
            ),
            (
                403,
                Some("Bearer error = \"invalid_token\""),
                Some(Unauthorized),
            ),
            (
                403,
                Some("Bearer realm=\"error=insufficient_scope\""),
                Some(Forbidden),
            ),
            (403, Some("Basic realm=\"x\""), Some(Forbidden)),
            (401, Some("Bearer error=\"insufficient_scope\""), None),
        ] {
            assert_eq!(
                judged(status, challenge),
                expected,
                "{status} {challenge:?}"
            );
        }
    }

    #[test]
    fn only_listed_statuses_count() {
        let response = Response::builder().status(401).body(()).unwrap();
        assert_eq!(rejection(&response, true, &[403], || true), None);
    }

    #[test]
    fn grpc_rejects_where_nothing_else_is_said() {
        let response = |status: u16, grpc: &str, body: &str| {
            let response = Response::builder().status(status);
            let response = response.header("grpc-status", grpc);
            response.body(body.to_owned()).unwrap()
        };
        let judged = |response: &Response<String>| {
            let is_bare = response.body().is_empty();
            rejection(response, is_bare, &[16, 401], || true)
        };
        assert_eq!(judged(&response(200, "16", "")), Some(Unauthorized));
        assert_eq!(judged(&response(200, "16", "a message")), None);
        assert_eq!(judged(&response(200, "7", "")), None);
        assert_eq!(judged(&response(503, "16", "")), None);
        let rejected = response(200, "16", "");
        assert_eq!(rejection(&rejected, true, &[16, 401], || false), None);
        assert_eq!(rejection(&rejected, true, &[401], || true), None);
    }
}
