//! The network's part of a token request.

use super::answer::TokenAnswer;
use super::clients::Clients;
use super::failure::{Failure, FailureKind};
use super::redact::Redactor;
use super::request::{Grant, TokenRequest, build, revocation};
use super::response::{RawAnswer, read};
use crate::account::{OAuthClient, SecretSource};
use crate::base::clock::Wall;
use crate::base::outgoing::proxy::Proxy;
use crate::base::secret::Secret;
use bytes::Bytes;
use http::{StatusCode, header};
use std::error::Error;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// No token answer is longer; what is longer is not read on.
const LONGEST_ANSWER: usize = 256 * 1024;
/// No client secret in a file is longer.
const LONGEST_SECRET: u64 = 64 * 1024;

/// Sends token requests. Every request has a connection of its own: on a kept
/// one a refresh token could be written into a connection that the server is
/// just closing, and nobody would know whether it was spent.
pub struct Exchange {
    clients: Clients,
}

impl Exchange {
    /// Makes the client; `timeout` is for one token request, until its answer is read.
    ///
    /// # Errors
    /// In words, when TLS can't be set up: no provider is installed for the
    /// process, or the system has no trust store.
    pub fn new(timeout: Duration) -> Result<Self, String> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err("no cryptography provider is installed".to_owned());
        }
        let clients = Clients::new(timeout).map_err(describe)?;
        Ok(Self { clients })
    }

    /// Asks for a token; `sent` is the wall clock's reading now.
    ///
    /// # Errors
    /// With everything that is not a token, classified.
    pub async fn run(
        &self,
        client: &OAuthClient,
        grant: &Grant,
        sent: Wall,
    ) -> Result<TokenAnswer, Failure> {
        let secret = client_secret(client.client_secret.as_deref()).await?;
        let request = build(client, grant, secret.as_ref())?;
        let raw = self.send(client, request).await?;
        let redactor = redactor(client, grant, secret.as_ref());
        read(&raw, *grant != Grant::ClientCredentials, sent, &redactor)
    }

    /// Asks the server to revoke a token (RFC 7009); `hint` is `refresh_token`
    /// or `access_token`. Any 2xx is a yes, also for a token that the server
    /// does not know.
    ///
    /// # Errors
    /// With everything else, classified.
    pub async fn revoke(
        &self,
        client: &OAuthClient,
        token: &Secret,
        hint: &str,
        sent: Wall,
    ) -> Result<(), Failure> {
        let secret = client_secret(client.client_secret.as_deref()).await?;
        let request = revocation(client, token, hint, secret.as_ref())?;
        let raw = self.send(client, request).await.map_err(of_revocation)?;
        if (200..300).contains(&raw.status) {
            return Ok(());
        }
        let mut redactor = redactor(client, &Grant::ClientCredentials, secret.as_ref());
        redactor.add(token);
        read(&raw, false, sent, &redactor)
            .map(drop)
            .map_err(of_revocation)
    }

    async fn send(
        &self,
        client: &OAuthClient,
        request: TokenRequest,
    ) -> Result<RawAnswer, Failure> {
        let way = client.proxy.as_ref();
        let proxy = way.and_then(|way| way.choose_for(&request.url));
        let http = self.clients.of(proxy).await?;
        let proxy = proxy.map(|proxy| &**proxy);
        let mut builder = match request.body {
            Some(form) => http
                .post(request.url)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(owned(form)),
            None => http.get(request.url),
        };
        // Without it some servers answer with a form or a page (GitHub).
        builder = builder.header(header::ACCEPT, "application/json");
        if let Some(value) = request.authorization {
            builder = builder.header(header::AUTHORIZATION, value);
        }
        let response = builder.send().await;
        let response = response.map_err(|error| network_failure(error, proxy))?;
        if let Some(proxy) = proxy.filter(|_| response.status() == WANTS_A_LOGIN) {
            return Err(refused_by(proxy));
        }
        let text = |name| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Ok(RawAnswer {
            status: response.status().as_u16(),
            content_type: text(header::CONTENT_TYPE),
            retry_after: text(header::RETRY_AFTER),
            body: bounded_body(response, proxy).await?,
        })
    }
}

/// The form's own allocation, zeroed when reqwest has let go of it.
fn owned(form: Zeroizing<String>) -> Bytes {
    struct Owner(Zeroizing<String>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    Bytes::from_owner(Owner(form))
}

async fn bounded_body(
    mut response: reqwest::Response,
    proxy: Option<&Proxy>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let status = response.status();
    let mut body = Zeroizing::new(Vec::new());
    let failed = |error| network_failure(error, proxy);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            let what = format!(
                "the token endpoint (status {}) answered with more than {} KiB: check that token_endpoint is right",
                status.as_u16(),
                LONGEST_ANSWER / 1024
            );
            return Err(Failure {
                maybe_spent: status.is_success(),
                ..Failure::new(FailureKind::Transient, what)
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The one place where a client's error becomes text.
fn network_failure(error: reqwest::Error, proxy: Option<&Proxy>) -> Failure {
    let maybe_spent = !error.is_connect() && !error.is_builder();
    let through = proxy.map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"));
    let what = if error.is_timeout() {
        format!("the token endpoint did not answer in time{through}")
    } else {
        let why = in_words_of_proxies(describe(error), proxy);
        format!("the token endpoint can't be reached{through}: {why}")
    };
    Failure {
        maybe_spent,
        ..Failure::new(FailureKind::Transient, what)
    }
}

/// What the client calls the refusals of a proxy, in words that say who refuses.
fn in_words_of_proxies(why: String, proxy: Option<&Proxy>) -> String {
    let said = why.trim_start_matches("tunnel error: ");
    match (proxy, said) {
        (Some(_), "unsuccessful") => "the proxy refused to connect to it".to_owned(),
        (Some(_), "proxy authorization required") => LOGIN_WANTED.to_owned(),
        _ => why,
    }
}

/// A proxy that gets requests whole has answered for itself.
fn refused_by(proxy: &Proxy) -> Failure {
    let what =
        format!("the token endpoint can't be reached through the proxy {proxy}: {LOGIN_WANTED}");
    Failure::new(FailureKind::Transient, what)
}

const WANTS_A_LOGIN: StatusCode = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
const LOGIN_WANTED: &str = "the proxy wants another user and password (407)";

/// The two endpoints fail alike; the words name the right one.
fn of_revocation(failure: Failure) -> Failure {
    let what = failure
        .what
        .replace("token endpoint", "revocation endpoint");
    Failure {
        what: what.replace("token_endpoint", "revocation_endpoint"),
        ..failure
    }
}

/// The error's innermost cause, which is the one that says what to do, and
/// without its URL, which may hold a secret (GET).
pub(super) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    Redactor::new()
        .clean(&innermost.to_string())
        .unwrap_or_default()
}

fn redactor(client: &OAuthClient, grant: &Grant, secret: Option<&Secret>) -> Redactor {
    let mut redactor = Redactor::new();
    client.secret_values.iter().for_each(|s| redactor.add(s));
    if let Some(secret) = secret {
        redactor.add_pair(&client.client_id, secret);
    }
    match grant {
        Grant::ClientCredentials => {}
        Grant::RefreshToken(token) => redactor.add(token),
        Grant::AuthorizationCode {
            code,
            code_verifier,
            ..
        } => {
            redactor.add(code);
            if let Some(verifier) = code_verifier {
                redactor.add(verifier);
            }
        }
    }
    redactor
}

async fn client_secret(source: Option<&SecretSource>) -> Result<Option<Secret>, Failure> {
    let path = match source {
        None => return Ok(None),
        Some(SecretSource::Text(secret)) => return Ok(Some(secret.clone())),
        Some(SecretSource::File(path)) => path.clone(),
    };
    let read = tokio::task::spawn_blocking(move || {
        read_secret(&path).map_err(|error| format!("{}: {error}", path.display()))
    });
    let outcome = read
        .await
        .unwrap_or_else(|_| Err("the file could not be read".to_owned()));
    outcome.map(Some).map_err(|why| {
        let what = format!("client_secret can't be read from {why}");
        Failure::new(FailureKind::Misconfigured, what)
    })
}

/// The file's text without the line break at its end.
fn read_secret(path: &Path) -> io::Result<Secret> {
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)?
        .take(LONGEST_SECRET + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_SECRET {
        return Err(io::Error::other("longer than 64 KiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::other("not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(io::Error::other("empty"));
    }
    Ok(Secret::new(text.to_owned()))
}
