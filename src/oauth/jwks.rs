//! Fetches the keys of an issuer whose tokens callers show.

use super::clients;
use super::exchange::describe;
use crate::base::hosts::is_loopback;
use crate::base::issuer::{KeysFrom, TrustedIssuer};
use crate::base::jwt::keys::KeySet;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use url::{Origin, Url};

/// No answer is longer, in bytes; what is longer is not read on.
const LONGEST: usize = 256 * 1024;
/// No token in a file is longer, in bytes.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// The issuer's keys, as they are now. `timeout` is for each of at most two requests.
///
/// # Errors
/// In words, and without anything secret.
pub async fn fetch(issuer: &TrustedIssuer, timeout: Duration) -> Result<KeySet, String> {
    let (client, at) = match &issuer.keys {
        KeysFrom::Given(content) => return KeySet::read(content).map_err(str::to_owned),
        KeysFrom::Address(at) => (Client::new(issuer, timeout, at).await?, at.clone()),
        KeysFrom::Discovery => {
            let own = Url::parse(&issuer.name).map_err(|why| format!("issuer: {why}"))?;
            let client = Client::new(issuer, timeout, &own).await?;
            let at = discovered(&client, issuer).await?;
            (client, at)
        }
    };
    let content = client.get(&at).await?;
    KeySet::read(&content).map_err(|why| format!("{at}: {why}"))
}

/// Where the issuer says that its keys are (OpenID Connect Discovery, 4.3).
async fn discovered(client: &Client, issuer: &TrustedIssuer) -> Result<Url, String> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: String,
    }
    let name = issuer.name.trim_end_matches('/');
    let at = format!("{name}/.well-known/openid-configuration");
    let at = Url::parse(&at).map_err(|why| format!("{at}: {why}"))?;
    let content = client.get(&at).await?;
    let metadata: Metadata = serde_json::from_slice(&content)
        .map_err(|_| format!("{at} does not say who the issuer is and where its keys are"))?;
    if metadata.issuer != issuer.name {
        return Err(format!("{at} is of another issuer"));
    }
    // Where the issuer itself is this machine, its keys may be had from there too.
    let jwks = Url::parse(&metadata.jwks_uri)
        .map_err(|why| format!("{at} has its keys at no URL: {why}"))?;
    match may_be_had(&at, &jwks) {
        true => Ok(jwks),
        false => Err(format!("{at} has its keys at {jwks}, which is no https")),
    }
}

/// In the clear neither comes from another machine: anybody on the way may change it.
fn may_be_had(at: &Url, jwks: &Url) -> bool {
    let is_here = || jwks.host_str().is_some_and(is_loopback);
    match jwks.scheme() {
        "https" => true,
        scheme => scheme == "http" && at.scheme() == "http" && is_here(),
    }
}

struct Client {
    http: reqwest::Client,
    /// With where it may be sent.
    token: Option<(HeaderValue, Origin)>,
}

impl Client {
    /// Made anew each time: it is needed every few minutes.
    async fn new(issuer: &TrustedIssuer, timeout: Duration, own: &Url) -> Result<Self, String> {
        let mut builder = clients::builder(timeout);
        if let Some(ca) = &issuer.ca {
            let roots = reqwest::Certificate::from_pem_bundle(ca).map_err(describe)?;
            builder = builder.tls_certs_only(roots);
        }
        let token = match issuer.token_file.clone() {
            None => None,
            Some(file) => {
                let read = tokio::task::spawn_blocking(move || token(&file)).await;
                Some(read.unwrap_or_else(|_| Err("token_file could not be read".to_owned()))?)
            }
        };
        Ok(Self {
            http: builder.build().map_err(describe)?,
            token: token.map(|token| (token, own.origin())),
        })
    }

    async fn get(&self, at: &Url) -> Result<Vec<u8>, String> {
        let mut request = self.http.get(at.clone());
        request = request.header(ACCEPT, "application/jwk-set+json, application/json");
        // Another server that the issuer names is none that the token was given for.
        if let Some((token, own)) = &self.token
            && *own == at.origin()
        {
            request = request.header(AUTHORIZATION, token);
        }
        let failed = |why| format!("{at} can't be reached: {}", describe(why));
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(format!("{at} answered with {}", response.status().as_u16()));
        }
        let mut content = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if content.len() + chunk.len() > LONGEST {
                return Err(format!(
                    "{at} answered with more than {} KiB",
                    LONGEST / 1024
                ));
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }
}

fn token(file: &Path) -> Result<HeaderValue, String> {
    let failed = |why| format!("token_file {}: {why}", file.display());
    let mut token = zeroize::Zeroizing::new(String::from("Bearer "));
    let opened = std::fs::File::open(file).map_err(|why| failed(why.to_string()))?;
    opened
        .take(LONGEST_TOKEN)
        .read_to_string(&mut token)
        .map_err(|why| failed(why.to_string()))?;
    let mut value = HeaderValue::from_str(token.trim_end())
        .map_err(|_| failed("it holds no token".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::may_be_had;

    #[test]
    fn keys_come_in_the_clear_from_this_machine_only() {
        for (at, jwks, may) in [
            ("https://a.example/", "https://b.example/keys", true),
            ("http://127.0.0.1:1/", "https://b.example/keys", true),
            ("http://127.0.0.1:1/", "http://localhost:2/keys", true),
            ("http://127.0.0.1:1/", "http://b.example/keys", false),
            ("https://a.example/", "http://127.0.0.1:1/keys", false),
            ("https://a.example/", "http://a.example/keys", false),
            ("http://127.0.0.1:1/", "file:///etc/keys", false),
        ] {
            let (at, jwks) = (at.parse().unwrap(), jwks.parse().unwrap());
            assert_eq!(may_be_had(&at, &jwks), may, "{at} {jwks}");
        }
    }
}
