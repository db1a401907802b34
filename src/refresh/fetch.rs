//! Fetching one token, as the scheduler sees it.

use super::attach;
use crate::account::{ConnectedAccount, SecretSource};
use crate::base::clock::Now;
use crate::oauth::{Exchange, Failure, FailureKind, Grant, TokenAnswer};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The end of a token request that is under way.
pub type Fetching = Pin<Box<dyn Future<Output = Result<TokenAnswer, Failure>> + Send>>;

/// Whoever can fetch a token: the network, or a test's stand-in.
pub trait Fetch: Send + Sync + 'static {
    /// Begins a token request at `sent`.
    fn fetch(&self, account: Arc<ConnectedAccount>, grant: Grant, sent: Now) -> Fetching;
}

/// Token requests over HTTP.
pub struct OverHttp(Result<Arc<Exchange>, String>);

impl OverHttp {
    /// `timeout` is for one token request. Where TLS can't be set up, every
    /// request fails and says so.
    pub fn new(timeout: Duration) -> Self {
        Self(Exchange::new(timeout).map(Arc::new))
    }
}

impl Fetch for OverHttp {
    fn fetch(&self, account: Arc<ConnectedAccount>, grant: Grant, sent: Now) -> Fetching {
        let exchange = self.0.clone();
        Box::pin(async move {
            let exchange = exchange.map_err(|why| {
                let what = format!("TLS can't be set up: {why}");
                Failure::new(FailureKind::Misconfigured, what)
            })?;
            exchange.run(&account.oauth, &grant, sent.wall).await
        })
    }
}

/// An answer whose token fits into its place; one that does not is a failure.
pub fn checked(account: &ConnectedAccount, answer: TokenAnswer) -> Result<TokenAnswer, Failure> {
    match attach::build(&account.attach, &answer.access_token) {
        Ok(_) => Ok(answer),
        Err(error) => Err(Failure {
            maybe_spent: true,
            ..Failure::new(FailureKind::Misconfigured, error.to_string())
        }),
    }
}

/// What tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Option<(SystemTime, u64)>);

/// The state of the file that holds the client secret; `None` when it is in none.
pub fn secret_file(account: &ConnectedAccount) -> Option<&Path> {
    match account.oauth.client_secret.as_deref() {
        Some(SecretSource::File(path)) => Some(path),
        _ => None,
    }
}

/// Looks at a file. Blocks.
pub fn stamp(path: &Path) -> Stamp {
    let seen = std::fs::metadata(path).ok();
    Stamp(seen.and_then(|m| Some((m.modified().ok()?, m.len()))))
}
