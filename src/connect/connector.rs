//! Begins authorizations and brings them to their end.

use super::attempts::{Attempt, Attempts, Binding, LIFE, Outcome};
use super::callback::{self, Answer, Callback, Done, Refusal};
use super::issuer;
use super::url::{Unfit, authorization_url};
use super::words;
use crate::account::ConnectedAccount;
use crate::base::clock::Clock;
use crate::base::crypto::{NoRandomness, random_text, sha256_text};
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::config::checked::{CodeChallenge, GrantType};
use crate::oauth::{Exchange, Grant};
use crate::refresh::{Handle, ManualOutcome};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connects accounts; shared by page and API.
pub struct Connector {
    pub(super) accounts: Handle,
    /// Where TLS can't be set up, every exchange fails and says so.
    pub(super) exchange: Result<Exchange, String>,
    pub(super) clock: Arc<dyn Clock>,
    redirect_uri: String,
    attempts: Mutex<Attempts>,
}

/// An authorization that was begun.
pub struct Started {
    /// Where the person goes; its `state` is good for one callback.
    pub authorization_url: String,
    pub expires_in: Duration,
    /// By which its outcome can be asked for.
    pub id: String,
    pub redirect_uri: String,
}

/// What connecting an account would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub account: String,
    pub integration: String,
    pub scope: Option<String>,
    /// Exactly as it must be registered at the authorization server.
    pub redirect_uri: String,
    /// Host of the authorization server.
    pub server: String,
}

/// Why an authorization can't begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    UnknownAccount,
    /// Client credentials: nobody needs to connect it.
    NeedsNobody,
    /// In plain words.
    Unfit(String),
    NoRandomness(NoRandomness),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAccount => f.write_str("there is no such account"),
            Self::NeedsNobody => f.write_str(
                "this account uses client_credentials: it gets its tokens without a person",
            ),
            Self::Unfit(what) => write!(f, "the integration can't be used: {what}"),
            Self::NoRandomness(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl Connector {
    /// `public_url` is the address at which browsers find the admin listener;
    /// `timeout` is for one token request.
    #[must_use]
    pub fn new(
        accounts: Handle,
        clock: Arc<dyn Clock>,
        public_url: &str,
        timeout: Duration,
    ) -> Self {
        Self {
            accounts,
            exchange: Exchange::new(timeout),
            clock,
            redirect_uri: format!("{}/oauth/callback", public_url.trim_end_matches('/')),
            attempts: Mutex::default(),
        }
    }

    /// What connecting the account would do.
    ///
    /// # Errors
    /// When it can't be connected.
    pub fn preview(&self, key: &AccountKey) -> Result<Preview, StartError> {
        let account = self.connectable(key)?;
        let endpoint = account.oauth.authorization_endpoint.as_ref();
        let server = endpoint.and_then(|url| url.host_str()).unwrap_or_default();
        Ok(Preview {
            account: key.to_string(),
            integration: account.integration.name.clone(),
            scope: account.oauth.scope.clone(),
            redirect_uri: self.redirect_uri(&account),
            server: server.to_owned(),
        })
    }

    /// Begins an authorization.
    ///
    /// # Errors
    /// When the account can't be connected.
    pub fn start(&self, key: &AccountKey, binding: Binding) -> Result<Started, StartError> {
        let account = self.connectable(key)?;
        let state = random_text().map_err(StartError::NoRandomness)?;
        let id = random_text().map_err(StartError::NoRandomness)?;
        let verifier = match account.oauth.code_challenge_method {
            CodeChallenge::None => None,
            _ => Some(random_text().map_err(StartError::NoRandomness)?),
        };
        let redirect_uri = self.redirect_uri(&account);
        let url = authorization_url(&account.oauth, &redirect_uri, &state, verifier.as_ref())
            .map_err(|Unfit(what)| StartError::Unfit(what))?;
        let attempt = Attempt {
            id: id.expose().to_owned(),
            account: key.clone(),
            client: self.client(&account),
            binding,
            verifier,
            redirect_uri: redirect_uri.clone(),
        };
        let now = self.clock.now().mono;
        self.attempts()
            .begin(now, sha256_text(state.expose()), attempt);
        Ok(Started {
            authorization_url: url.into(),
            expires_in: LIFE,
            id: id.expose().to_owned(),
            redirect_uri,
        })
    }

    /// Takes a callback's query. `browser` is the session of whoever brings
    /// it; `account` is set where it must be this account's.
    ///
    /// # Errors
    /// When nothing was connected, and why.
    pub async fn finish(
        &self,
        query: &str,
        browser: Option<&Binding>,
        account: Option<&AccountKey>,
    ) -> Result<Done, Refusal> {
        let callback = callback::read(query)?;
        let digest = sha256_text(callback.state.expose());
        let attempt = {
            let mut attempts = self.attempts();
            if account.is_some_and(|account| !attempts.is_of(&digest, account)) {
                return Err(Refusal::OtherAccount);
            }
            let now = self.clock.now().mono;
            let taken = attempts.take(now, &digest, browser);
            taken.map_err(Refusal::State)?
        };
        let ended = self.settle(&attempt, callback).await;
        let outcome = match &ended {
            Ok(done) => Outcome::Connected(done.advice.clone()),
            Err(refusal) => Outcome::Failed(refusal.to_string()),
        };
        self.attempts().end(&digest, outcome);
        match &ended {
            // A missing refresh token is told of where tokens are taken in.
            Ok(_) => tracing::info!(account = %attempt.account, "was connected"),
            Err(refusal) => tracing::warn!("{refusal}"),
        }
        ended
    }

    /// How an authorization of this account stands.
    #[must_use]
    pub fn outcome(&self, account: &AccountKey, id: &str) -> Option<Outcome> {
        let now = self.clock.now().mono;
        self.attempts().outcome(now, account, id)
    }

    async fn settle(&self, attempt: &Attempt, callback: Callback) -> Result<Done, Refusal> {
        let key = &attempt.account;
        let failed = |what: String| Refusal::Failed {
            account: key.to_string(),
            what,
        };
        let account = self
            .connectable(key)
            .map_err(|error| failed(error.to_string()))?;
        if self.client(&account) != attempt.client {
            return Err(failed(words::OTHER_CLIENT.to_owned()));
        }
        // Before anything else of it is believed.
        let issuer = account.oauth.issuer.as_deref();
        issuer::check(issuer, callback.issuer.as_ref()).map_err(failed)?;
        let code = match callback.answer {
            Answer::Code(code) => code,
            Answer::Error(what) => {
                let account = key.to_string();
                return Err(Refusal::Denied { account, what });
            }
        };
        let has_refresh_token = self
            .exchange(&account, attempt, code)
            .await
            .map_err(failed)?;
        let advice = (!has_refresh_token).then(|| words::of_no_refresh_token(&account.oauth));
        Ok(Done {
            account: key.to_string(),
            has_refresh_token,
            advice,
        })
    }

    /// True when a refresh token came as well.
    async fn exchange(
        &self,
        account: &ConnectedAccount,
        attempt: &Attempt,
        code: Secret,
    ) -> Result<bool, String> {
        let exchange = self.exchange.as_ref();
        let exchange = exchange.map_err(|why| format!("TLS can't be set up: {why}"))?;
        let grant = Grant::AuthorizationCode {
            code,
            redirect_uri: attempt.redirect_uri.clone(),
            code_verifier: attempt.verifier.clone(),
        };
        let sent = self.clock.now();
        let answer = exchange.run(&account.oauth, &grant, sent.wall).await;
        let answer = answer.map_err(|failure| failure.what)?;
        let has_refresh_token = answer.refresh_token.is_some();
        match self.accounts.connected(account, sent, answer).await {
            ManualOutcome::Refreshed => Ok(has_refresh_token),
            ManualOutcome::Failed(what) => Err(what),
            ManualOutcome::UnknownAccount => Err("the account was removed meanwhile".to_owned()),
        }
    }

    fn connectable(&self, key: &AccountKey) -> Result<Arc<ConnectedAccount>, StartError> {
        let account = self.accounts.connected_account(key);
        let account = account.ok_or(StartError::UnknownAccount)?;
        match account.oauth.grant_type {
            GrantType::AuthorizationCode => Ok(account),
            GrantType::ClientCredentials => Err(StartError::NeedsNobody),
        }
    }

    /// Everything on which it depends whose code comes back, and where it is sent:
    /// what an authorization was begun with must still be so at its end.
    fn client(&self, account: &ConnectedAccount) -> String {
        let oauth = &account.oauth;
        let authorization = oauth.authorization_endpoint.as_deref();
        let parts = [
            authorization.map_or("", |url| url.as_str()),
            oauth.token_endpoint.as_str(),
            &oauth.client_id,
            &self.redirect_uri(account),
        ];
        parts.join("\n")
    }

    fn redirect_uri(&self, account: &ConnectedAccount) -> String {
        let own = account.oauth.redirect_uri.as_ref();
        own.map_or_else(|| self.redirect_uri.clone(), ToString::to_string)
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        // No change can panic half-way: what a poisoned lock holds is whole.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
