//! The address at which a person gives consent; no I/O.

use crate::account::OAuthClient;
use crate::base::crypto::sha256_text;
use crate::base::secret::Secret;
use crate::config::checked::CodeChallenge;
use ::url::Url;
use ::url::form_urlencoded::Serializer;

/// What `authorization_parameters` may not change: `state` and PKCE keep
/// others out, the rest has keys of its own.
const OURS: [&str; 7] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

/// An input that leaves no proper address; in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit(pub String);

/// Builds the address (RFC 6749, 4.1.1; RFC 7636, 4.3).
///
/// # Errors
/// When the integration has no `authorization_endpoint`, or
/// `authorization_parameters` or the endpoint's own query set a parameter that
/// is ours to set (RFC 6749, 3.1 forbids repeating one).
pub fn authorization_url(
    client: &OAuthClient,
    redirect_uri: &str,
    state: &Secret,
    verifier: Option<&Secret>,
) -> Result<Url, Unfit> {
    let Some(mut url) = client.authorization_endpoint.as_deref().cloned() else {
        return Err(Unfit("it names no authorization_endpoint".to_owned()));
    };
    refuse_ours(client, &url)?;
    let mut query = Serializer::new(url.query().unwrap_or_default().to_owned());
    query.append_pair("response_type", "code");
    query.append_pair("client_id", &client.client_id);
    query.append_pair("redirect_uri", redirect_uri);
    if let Some(scope) = client.scope.as_deref().filter(|scope| !scope.is_empty()) {
        query.append_pair("scope", scope);
    }
    query.append_pair("state", state.expose());
    if let Some(verifier) = verifier {
        let (challenge, method) = match client.code_challenge_method {
            CodeChallenge::Plain => (verifier.expose().to_owned(), "plain"),
            _ => (sha256_text(verifier.expose()), "S256"),
        };
        query.append_pair("code_challenge", &challenge);
        query.append_pair("code_challenge_method", method);
    }
    for (name, value) in &client.authorization_parameters {
        query.append_pair(name, value);
    }
    let query = query.finish();
    url.set_query(Some(&query));
    Ok(url)
}

fn refuse_ours(client: &OAuthClient, endpoint: &Url) -> Result<(), Unfit> {
    let extra = client.authorization_parameters.iter();
    let extra = extra.map(|(name, _)| (name.clone(), "authorization_parameters"));
    let own = endpoint.query_pairs();
    let own = own.map(|(name, _)| (name.into_owned(), "the query of authorization_endpoint"));
    match extra
        .chain(own)
        .find(|(name, _)| OURS.contains(&name.as_str()))
    {
        None => Ok(()),
        Some((name, from)) => Err(Unfit(format!(
            "{from} sets '{name}', which sidekey sets itself: remove it"
        ))),
    }
}
