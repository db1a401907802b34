//! Reading a token endpoint's answer; no I/O. Servers are forgiven what they
//! do in practice: forms instead of JSON, numbers as text, an error under 200.

use super::answer::TokenAnswer;
use super::failure::{Failure, FailureKind};
use super::redact::Redactor;
use crate::base::clock::Wall;
use crate::base::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::time::Duration;
use zeroize::Zeroizing;

/// Lives beyond this are nonsense (or "for ever"), as are those of no length.
const LONGEST_LIFE: Duration = Duration::from_hours(100 * 365 * 24);
/// Tokens longer than this are not looked into.
const LONGEST_JWT: usize = 64 * 1024;
/// A server that asks for a longer pause is asked again after this one.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// An answer as it came, its body already bounded by whoever read it.
pub struct RawAnswer {
    pub status: u16,
    pub content_type: Option<String>,
    pub retry_after: Option<String>,
    pub body: Zeroizing<Vec<u8>>,
}

/// Reads an answer to a request sent at `sent`. `personal` says that the grant
/// was a person's (a refresh token or a code), which can die; client
/// credentials can't.
///
/// # Errors
/// With everything that is not a token, classified.
pub fn read(
    raw: &RawAnswer,
    personal: bool,
    sent: Wall,
    redactor: &Redactor,
) -> Result<TokenAnswer, Failure> {
    let fields = parse(raw);
    let outcome = match raw.status {
        200..=299 => read_success(raw, fields, personal, sent, redactor),
        _ => Err(read_failure(raw, fields.as_ref(), personal, redactor)),
    };
    outcome.map_err(|mut failure| {
        failure.retry_after = raw
            .retry_after
            .as_deref()
            .and_then(|text| pause(text, sent));
        failure
    })
}

fn read_success(
    raw: &RawAnswer,
    fields: Option<Map<String, Value>>,
    personal: bool,
    sent: Wall,
    redactor: &Redactor,
) -> Result<TokenAnswer, Failure> {
    let Some(mut fields) = fields else {
        return Err(unreadable_success(raw));
    };
    let Some(access_token) = take_text(&mut fields, "access_token") else {
        return Err(oauth_error(&fields, personal, redactor).unwrap_or_else(|| {
            let what = "the token endpoint answered without an access_token: check that token_endpoint is right";
            maybe_spent(Failure::new(FailureKind::Transient, what))
        }));
    };
    let life = fields
        .get("expires_in")
        .and_then(seconds)
        .or_else(|| jwt_life(&access_token, sent));
    Ok(TokenAnswer {
        access_token: Secret::new(access_token),
        token_type: take_text(&mut fields, "token_type"),
        life,
        refresh_token: take_text(&mut fields, "refresh_token").map(Secret::new),
        scope: take_text(&mut fields, "scope"),
    })
}

fn unreadable_success(raw: &RawAnswer) -> Failure {
    if is_html(raw) {
        let what = "the token endpoint answered with a web page: check that token_endpoint is the address for tokens and not for people";
        return Failure::new(FailureKind::Misconfigured, what);
    }
    let what = if raw.body.is_empty() {
        "the token endpoint gave an empty answer"
    } else {
        "the token endpoint's answer is neither JSON nor a form"
    };
    maybe_spent(Failure::new(FailureKind::Transient, what))
}

/// A success that can't be read: what was sent may have been spent for it.
fn maybe_spent(failure: Failure) -> Failure {
    Failure {
        maybe_spent: true,
        ..failure
    }
}

fn read_failure(
    raw: &RawAnswer,
    fields: Option<&Map<String, Value>>,
    personal: bool,
    redactor: &Redactor,
) -> Failure {
    let status = raw.status;
    let named = fields.and_then(|f| oauth_error(f, personal, redactor));
    if matches!(status, 408 | 425 | 429 | 500..=599) {
        let said = named.map_or(String::new(), |f| format!(": {}", f.what));
        let what = format!("the token endpoint answered with status {status}{said}");
        return Failure {
            // A server that broke down half-way, or a gateway that gave up
            // waiting for it, may have rotated the refresh token before.
            maybe_spent: matches!(status, 500 | 502 | 504..=599),
            ..Failure::new(FailureKind::Transient, what)
        };
    }
    named.unwrap_or_else(|| {
        let (kind, advice) = judge_status(status);
        let what = format!("the token endpoint (status {status}) {advice}");
        Failure::new(kind, what)
    })
}

/// What a status without a named error means, and what to do about it.
fn judge_status(status: u16) -> (FailureKind, &'static str) {
    use FailureKind::{Misconfigured, Transient, Unreadable};
    match status {
        300..=399 => (
            Misconfigured,
            "redirects, which a token request must not follow: put the final address into token_endpoint",
        ),
        400 | 401 => (
            Unreadable,
            "gave no readable reason: check client_id, client_secret and token_endpoint_auth_method",
        ),
        403 => (
            Misconfigured,
            "gave no reason: check that this client may use the token endpoint, and from this address",
        ),
        404 | 410 => (Misconfigured, "found nothing there: check token_endpoint"),
        405 => (
            Misconfigured,
            "does not take this verb: check token_endpoint_method",
        ),
        400..=499 => (Misconfigured, "refused: check the integration"),
        _ => (Transient, "answered with what is no answer"),
    }
}

/// The error that a server names (RFC 6749, 5.2), in words; `None` when it names none.
fn oauth_error(
    fields: &Map<String, Value>,
    personal: bool,
    redactor: &Redactor,
) -> Option<Failure> {
    let code = fields.get("error")?.as_str()?;
    if code.is_empty() {
        return None;
    }
    let shown = Some(code)
        .filter(|c| {
            c.len() <= 64
                && c.bytes()
                    .all(|b| matches!(b, b'!' | b'#'..=b'[' | b']'..=b'~'))
        })
        .and_then(|c| redactor.clean(c));
    let described = ["error_description", "error_message", "message"]
        .iter()
        .find_map(|name| redactor.clean(fields.get(*name)?.as_str()?));
    let (kind, advice) = judge(code, personal);
    let shown = shown.as_deref().unwrap_or("an error without a proper name");
    let described = described.map_or(String::new(), |d| format!(" (\"{d}\")"));
    let what = format!("the authorization server says {shown}{described}: {advice}");
    Some(Failure::new(kind, what))
}

/// What an error code means for us, and what to do about it.
fn judge(code: &str, personal: bool) -> (FailureKind, &'static str) {
    use FailureKind::{Dead, Misconfigured, Transient};
    match code {
        // The second line: what servers say in practice where the RFC has invalid_grant.
        "invalid_grant"
        | "bad_refresh_token"
        | "invalid_refresh_token"
        | "expired_token"
        | "token_expired"
        | "interaction_required"
        | "login_required"
        | "consent_required"
            if personal =>
        {
            (Dead, "connect this account again")
        }
        "invalid_client" => (
            Misconfigured,
            "check client_id, client_secret and token_endpoint_auth_method",
        ),
        "unauthorized_client" | "unsupported_grant_type" => (
            Misconfigured,
            "allow this client this grant_type at the authorization server",
        ),
        "invalid_scope" => (Misconfigured, "check scope"),
        "invalid_grant" => (
            Misconfigured,
            "check the client's registration at the authorization server",
        ),
        "temporarily_unavailable" | "server_error" | "slow_down" => {
            (Transient, "it will be asked again")
        }
        _ => (
            Misconfigured,
            "check the integration's scope, parameters and endpoints",
        ),
    }
}

/// The answer's fields: JSON, or a form (as GitHub and others answer).
fn parse(raw: &RawAnswer) -> Option<Map<String, Value>> {
    let body = raw.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&raw.body);
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => return Some(fields),
        Ok(_) => return None,
        Err(_) => {}
    }
    let fields: Map<String, Value> = url::form_urlencoded::parse(body.trim_ascii())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    let is_answer = fields.contains_key("access_token") || fields.contains_key("error");
    (is_answer && !is_html(raw)).then_some(fields)
}

fn is_html(raw: &RawAnswer) -> bool {
    let declared = raw
        .content_type
        .as_deref()
        .is_some_and(|t| t.trim_start().to_ascii_lowercase().starts_with("text/html"));
    declared || raw.body.trim_ascii_start().starts_with(b"<")
}

fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A life in seconds as a number or as text; `None` for what makes no sense.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) if text.len() <= 32 => text.trim().parse().ok()?,
        _ => return None,
    };
    let life = Duration::try_from_secs_f64(seconds).ok()?;
    (life > Duration::ZERO && life <= LONGEST_LIFE).then_some(life)
}

/// What is left until a JWT's `exp` (RFC 7519, 4.1.4), unverified: the token is
/// the upstream's to check, its expiry only a hint to us.
fn jwt_life(token: &str, sent: Wall) -> Option<Duration> {
    if token.len() > LONGEST_JWT {
        return None;
    }
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    let claims: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
    let expiry = Duration::try_from_secs_f64(claims.get("exp")?.as_f64()?).ok()?;
    let life = Wall::new(expiry).since(sent);
    (life > Duration::ZERO && life <= LONGEST_LIFE).then_some(life)
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds or a date, capped.
fn pause(text: &str, now: Wall) -> Option<Duration> {
    let text = text.trim();
    let pause = if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        Wall::new(date).since(now)
    };
    (pause > Duration::ZERO).then(|| pause.min(LONGEST_PAUSE))
}
