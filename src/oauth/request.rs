//! Building a token request; no I/O.

use super::failure::{Failure, FailureKind};
use crate::account::OAuthClient;
use crate::base::secret::Secret;
use crate::config::checked::{ClientAuth, TokenMethod};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use std::fmt;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

/// Parameters that may come more than once (RFC 8707, 2; RFC 8693, 2.1).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// What a token is asked for with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// RFC 6749, 4.4.
    ClientCredentials,
    /// RFC 6749, 6.
    RefreshToken(Secret),
    /// RFC 6749, 4.1.3, with RFC 7636, 4.5.
    AuthorizationCode {
        code: Secret,
        redirect_uri: String,
        code_verifier: Option<Secret>,
    },
}

/// A token request, ready to be sent. `Debug` shows no part that may hold a secret.
pub struct TokenRequest {
    /// With the parameters in its query where the verb is GET.
    pub url: Url,
    /// For HTTP Basic; marked sensitive.
    pub authorization: Option<HeaderValue>,
    /// The form where the verb is POST.
    pub body: Option<Zeroizing<String>>,
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// Builds the request.
///
/// A refresh names no scope: leaving it out means "as before" (RFC 6749, 6),
/// and naming one more than was granted is an error.
///
/// # Errors
/// When `token_parameters` name a parameter that the request sets already
/// (RFC 6749, 3.2 forbids repeating one, and overriding the grant or the
/// client's authentication would hide what is sent), or the endpoint's own
/// query does so under GET.
pub fn build(
    client: &OAuthClient,
    grant: &Grant,
    secret: Option<&Secret>,
) -> Result<TokenRequest, Failure> {
    let mut form = Form::default();
    add_grant(&mut form, client, grant);
    let authorization = authenticate(&mut form, client, secret)?;
    for (name, value) in &client.token_parameters {
        form.add_extra(name, value, "token_parameters")?;
    }
    let mut url = Url::clone(&client.token_endpoint);
    let body = match client.token_endpoint_method {
        TokenMethod::Post => Some(form.encode()),
        TokenMethod::Get => {
            for (name, _) in client.token_endpoint.query_pairs() {
                form.refuse_repeated(&name, "the query of token_endpoint")?;
            }
            append_query(&mut url, &form.encode());
            None
        }
    };
    Ok(TokenRequest {
        url,
        authorization,
        body,
    })
}

/// Builds a request to revoke a token (RFC 7009, 2.1); `hint` is
/// `refresh_token` or `access_token`.
///
/// # Errors
/// When the account has no `revocation_endpoint`, or the client's
/// authentication can't be written.
pub fn revocation(
    client: &OAuthClient,
    token: &Secret,
    hint: &str,
    secret: Option<&Secret>,
) -> Result<TokenRequest, Failure> {
    let Some(url) = client.revocation_endpoint.as_deref().cloned() else {
        let what = "the integration names no revocation_endpoint";
        return Err(Failure::new(FailureKind::Misconfigured, what));
    };
    let mut form = Form::default();
    form.add("token", token.expose());
    form.add("token_type_hint", hint);
    let authorization = authenticate(&mut form, client, secret)?;
    Ok(TokenRequest {
        url,
        authorization,
        body: Some(form.encode()),
    })
}

fn add_grant(form: &mut Form, client: &OAuthClient, grant: &Grant) {
    match grant {
        Grant::ClientCredentials => {
            form.add("grant_type", "client_credentials");
            if let Some(scope) = &client.scope {
                form.add("scope", scope);
            }
        }
        Grant::RefreshToken(token) => {
            form.add("grant_type", "refresh_token");
            form.add("refresh_token", token.expose());
        }
        Grant::AuthorizationCode {
            code,
            redirect_uri,
            code_verifier,
        } => {
            form.add("grant_type", "authorization_code");
            form.add("code", code.expose());
            form.add("redirect_uri", redirect_uri);
            if let Some(verifier) = code_verifier {
                form.add("code_verifier", verifier.expose());
            }
        }
    }
}

/// Adds what proves who the client is; gives the header for HTTP Basic.
fn authenticate(
    form: &mut Form,
    client: &OAuthClient,
    secret: Option<&Secret>,
) -> Result<Option<HeaderValue>, Failure> {
    match client.token_endpoint_auth_method {
        ClientAuth::Basic => basic(&client.client_id, secret).map(Some),
        ClientAuth::Post => {
            form.add("client_id", &client.client_id);
            // RFC 6749, 2.3.1: an empty secret may be left out.
            if let Some(secret) = secret.filter(|s| !s.is_empty()) {
                form.add("client_secret", secret.expose());
            }
            Ok(None)
        }
        ClientAuth::None => {
            form.add("client_id", &client.client_id);
            Ok(None)
        }
    }
}

/// RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
fn basic(id: &str, secret: Option<&Secret>) -> Result<HeaderValue, Failure> {
    let mut pair = Zeroizing::new(String::new());
    pair.extend(byte_serialize(id.as_bytes()));
    pair.push(':');
    pair.extend(byte_serialize(secret.map_or("", Secret::expose).as_bytes()));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        Failure::new(
            FailureKind::Misconfigured,
            "client_id and client_secret can't be written into a header",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Joins a form to a URL's own query (RFC 6749, 3.2 retains it).
fn append_query(url: &mut Url, form: &str) {
    let query = match url.query() {
        Some(own) if !own.is_empty() => Zeroizing::new(format!("{own}&{form}")),
        _ => Zeroizing::new(form.to_owned()),
    };
    url.set_query(Some(&query));
}

/// The parameters in the order in which they are sent.
#[derive(Default)]
struct Form {
    pairs: Vec<(String, Zeroizing<String>)>,
}

impl Form {
    fn add(&mut self, name: &str, value: &str) {
        let value = Zeroizing::new(value.to_owned());
        self.pairs.push((name.to_owned(), value));
    }

    fn add_extra(&mut self, name: &str, value: &str, from: &str) -> Result<(), Failure> {
        self.refuse_repeated(name, from)?;
        self.add(name, value);
        Ok(())
    }

    fn refuse_repeated(&self, name: &str, from: &str) -> Result<(), Failure> {
        let taken = self.pairs.iter().any(|(other, _)| other == name);
        if taken && !REPEATABLE.contains(&name) {
            let what = format!(
                "{from} and the token request both set '{name}', which may be sent only once: remove it from {from}"
            );
            return Err(Failure::new(FailureKind::Misconfigured, what));
        }
        Ok(())
    }

    fn encode(&self) -> Zeroizing<String> {
        let mut form = Serializer::new(String::new());
        for (name, value) in &self.pairs {
            form.append_pair(name, value);
        }
        Zeroizing::new(form.finish())
    }
}
