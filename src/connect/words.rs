//! Errors of connecting, in plain words with what to do.

use super::attempts::Bad;
use crate::account::OAuthClient;
use crate::base::secret::Secret;
use crate::oauth::Redactor;

/// The configuration was changed between the two ends of an authorization.
pub const OTHER_CLIENT: &str = "the configuration names another client or another server for this account than when the connecting was begun, so that the answer is not for it; nothing was stored: begin again";

/// Why a `state` was not accepted.
pub fn of_state(bad: Bad) -> &'static str {
    match bad {
        Bad::Unknown => {
            "this answer belongs to no connecting that was begun here, or to one before a restart; nothing was stored: begin again"
        }
        Bad::Expired => {
            "more than 10 minutes have passed since the connecting was begun; nothing was stored: begin again"
        }
        Bad::Used => {
            "this answer has been used already; nothing was stored: if the account is not connected, begin again"
        }
        Bad::Foreign => {
            "the connecting was begun in another browser; nothing was stored: finish it there, or begin again in this one"
        }
    }
}

/// An error that the authorization server sends back (RFC 6749, 4.1.2.1;
/// OpenID Connect Core, 3.1.2.6).
pub fn of_error(code: &str, described: Option<&Secret>) -> String {
    let advice = match code {
        "access_denied" => {
            "the person, or a rule of the authorization server, has refused consent: try again, or ask its administrator"
        }
        "invalid_scope" => {
            "the authorization server does not know or allow a scope: check scope in the integration"
        }
        "unauthorized_client" => {
            "this client may not use the authorization code grant: allow it at the authorization server"
        }
        "unsupported_response_type" => {
            "the authorization server gives no authorization codes to this client: check authorization_endpoint and the client's registration"
        }
        "invalid_request" => {
            "the authorization server does not understand the request: check authorization_parameters, code_challenge_method and the registered redirect URI"
        }
        "server_error" | "temporarily_unavailable" => {
            "the authorization server has a problem of its own: try again in a while"
        }
        "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required" => {
            "the authorization server may not ask the person: remove prompt=none from authorization_parameters"
        }
        _ => "check the integration's scope, authorization_parameters and client",
    };
    // What comes here was not asked for by us: anyone may have written it.
    let redactor = Redactor::new();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let code = match code.len() <= 64 && code.bytes().all(is_name) {
        true => code,
        false => "an error without a proper name",
    };
    let described = described.and_then(|text| redactor.clean(text.expose()));
    let described = described.map_or(String::new(), |text| format!(" (\"{text}\")"));
    format!("the authorization server says {code}{described}: {advice}")
}

/// What usually brings a refresh token, for this integration.
pub fn of_no_refresh_token(client: &OAuthClient) -> String {
    let scope = client.scope.as_deref().unwrap_or_default();
    let asked = scope
        .split(' ')
        .any(|s| s == "offline_access" || s == "refresh_token");
    let endpoint = client.authorization_endpoint.as_ref();
    let host = endpoint.and_then(|url| url.host_str()).unwrap_or_default();
    let remedy = if host.ends_with("google.com") {
        "set authorization_parameters: {access_type: offline, prompt: consent}"
    } else if asked {
        "offline_access is asked for already, so allow this client refresh tokens at the authorization server; some servers also want authorization_parameters: {prompt: consent} or {access_type: offline}"
    } else {
        "add offline_access to scope (some servers: refresh_token), or set authorization_parameters: {access_type: offline, prompt: consent}"
    };
    format!(
        "the authorization server gave no refresh token, so somebody will have to connect this account again when its token expires. To change that, {remedy}; then connect again"
    )
}
