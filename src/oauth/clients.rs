//! Who sends token requests: one client for those that go out by themselves, and
//! one for each proxy.

use super::failure::{Failure, FailureKind};
use crate::base::outgoing::proxy::Proxy;
use reqwest::{Certificate, Client, ClientBuilder};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Clients of proxies that are kept; a configuration hardly ever has so many.
const MOST: usize = 64;

/// The clients.
pub struct Clients {
    timeout: Duration,
    direct: Client,
    /// The last made last.
    proxied: Mutex<Vec<(Arc<Proxy>, Client)>>,
}

impl Clients {
    /// Makes the one that needs no proxy; `timeout` is for one request, until its
    /// answer is read.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self {
            timeout,
            direct: builder(timeout).build()?,
            proxied: Mutex::default(),
        })
    }

    /// The client that goes through this proxy, or by itself.
    ///
    /// # Errors
    /// When there can be none.
    pub async fn of(&self, proxy: Option<&Arc<Proxy>>) -> Result<Client, Failure> {
        let Some(proxy) = proxy else {
            return Ok(self.direct.clone());
        };
        if let Some(kept) = self.kept(proxy) {
            return Ok(kept);
        }
        let (timeout, wanted) = (self.timeout, proxy.clone());
        // The system's authorities are read from their files.
        let made = tokio::task::spawn_blocking(move || through(timeout, &wanted)).await;
        let made = made.ok().and_then(Result::ok).ok_or_else(|| {
            let what = format!("token requests can't go through the proxy {proxy}");
            Failure::new(FailureKind::Misconfigured, what)
        })?;
        self.keep(proxy, &made);
        Ok(made)
    }

    fn kept(&self, proxy: &Proxy) -> Option<Client> {
        let kept = self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(of, _)| **of == *proxy);
        found.map(|(_, client)| client.clone())
    }

    fn keep(&self, proxy: &Arc<Proxy>, client: &Client) {
        let mut kept = self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push((proxy.clone(), client.clone()));
    }
}

/// Every request has a connection of its own, and the environment has no say here.
pub fn builder(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("sidekey/", env!("CARGO_PKG_VERSION")))
}

fn through(timeout: Duration, proxy: &Proxy) -> Result<Client, reqwest::Error> {
    let mut way = reqwest::Proxy::all(proxy.to_string())?;
    if let Some(authorization) = &proxy.login.authorization {
        way = way.custom_http_auth(authorization.clone());
    }
    let mut builder = builder(timeout).proxy(way);
    if let Some(own) = &proxy.login.authorities {
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&own.pem)?);
    }
    builder.build()
}
