//! Tokens given back to the authorization server (RFC 7009).

use super::connector::Connector;
use crate::account::ConnectedAccount;
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::config::checked::GrantType;
use crate::refresh::StoredTokens;
use std::fmt;
use std::sync::Arc;

/// What became of an account's tokens at the authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// The server has revoked every token that was held.
    Revoked,
    /// There was none.
    NothingHeld,
    /// The integration names no `revocation_endpoint`.
    NoEndpoint,
    /// In plain words; tokens may go on working until they expire.
    Failed(String),
}

/// Why an account was not revoked or disconnected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokeError {
    UnknownAccount,
    /// Client credentials: it would get another token at once.
    NeedsNobody,
    /// The server did not revoke the tokens; they are kept.
    NotRevoked(Revocation),
    /// The store can't be written: a restart may bring the tokens back.
    NotStored {
        revocation: Revocation,
        why: String,
    },
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked => f.write_str("its tokens were revoked at the authorization server"),
            Self::NothingHeld => f.write_str("there were no tokens to revoke"),
            Self::NoEndpoint => f.write_str(
                "the integration names no revocation_endpoint, so nothing was revoked: whoever holds a copy of its tokens can use them until they expire",
            ),
            Self::Failed(why) => write!(
                f,
                "its tokens were not revoked, and may work until they expire: {why}"
            ),
        }
    }
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAccount => f.write_str("there is no such account"),
            Self::NeedsNobody => f.write_str(
                "this account uses client_credentials: it has no person's grant to give back",
            ),
            Self::NotRevoked(revocation) => {
                write!(f, "{revocation}; the account is still connected")
            }
            Self::NotStored { revocation, why } => write!(
                f,
                "the tokens are forgotten in this process, but that can't be stored ({why}), and a restart may bring them back; {revocation}"
            ),
        }
    }
}

impl std::error::Error for RevokeError {}

impl Connector {
    /// Revokes an account's tokens, and forgets them where that has worked.
    ///
    /// # Errors
    /// When the server did not revoke them, or that can't be stored.
    pub async fn revoke(&self, key: &AccountKey) -> Result<Revocation, RevokeError> {
        let account = self.personal(key)?;
        let held = self.accounts.tokens(key).await;
        let revocation = self.give_back(&account, held.as_ref()).await;
        if let Revocation::NoEndpoint | Revocation::Failed(_) = revocation {
            tracing::warn!(account = %key, "{revocation}");
            return Err(RevokeError::NotRevoked(revocation));
        }
        let left = self.forget(key, &revocation).await?;
        // A refresh may have ended since.
        let newer = left.filter(|left| Some(left) != held.as_ref());
        match newer {
            Some(newer) => Ok(self.give_back(&account, Some(&newer)).await),
            None => Ok(revocation),
        }
    }

    /// Forgets an account's tokens, and revokes them where the server takes
    /// that. An account that was created while a process ran is removed.
    ///
    /// # Errors
    /// When it can't be stored.
    pub async fn disconnect(&self, key: &AccountKey) -> Result<Revocation, RevokeError> {
        let created = self.accounts.is_created(key);
        let account = match self.personal(key) {
            Err(RevokeError::NeedsNobody) if created => return self.remove(key).await,
            account => account?,
        };
        let not_yet = Revocation::NothingHeld;
        let held = self.forget(key, &not_yet).await?;
        let revocation = self.give_back(&account, held.as_ref()).await;
        if let Revocation::Failed(_) = revocation {
            tracing::warn!(account = %key, "{revocation}");
        }
        if created {
            self.remove(key).await?;
        }
        Ok(revocation)
    }

    async fn remove(&self, key: &AccountKey) -> Result<Revocation, RevokeError> {
        let removed = self.accounts.remove(key).await;
        let revocation = Revocation::NothingHeld;
        match removed {
            Ok(()) => Ok(revocation),
            Err(why) => Err(RevokeError::NotStored {
                revocation,
                why: why.to_string(),
            }),
        }
    }

    async fn forget(
        &self,
        key: &AccountKey,
        revocation: &Revocation,
    ) -> Result<Option<StoredTokens>, RevokeError> {
        let forgotten = self.accounts.disconnect(key).await;
        forgotten.map_err(|why| RevokeError::NotStored {
            revocation: revocation.clone(),
            why,
        })
    }

    /// The refresh token first: many servers take the access token with it.
    async fn give_back(
        &self,
        account: &ConnectedAccount,
        held: Option<&StoredTokens>,
    ) -> Revocation {
        let Some(held) = held else {
            return Revocation::NothingHeld;
        };
        if account.oauth.revocation_endpoint.is_none() {
            return Revocation::NoEndpoint;
        }
        let mut failures = Vec::new();
        if let Some(token) = &held.refresh_token
            && let Err(why) = self.revoke_one(account, token, "refresh_token").await
        {
            failures.push(format!("the refresh token: {why}"));
        }
        if let Err(why) = self
            .revoke_one(account, &held.access_token, "access_token")
            .await
        {
            failures.push(format!("the access token: {why}"));
        }
        if failures.is_empty() {
            Revocation::Revoked
        } else {
            Revocation::Failed(failures.join("; "))
        }
    }

    async fn revoke_one(
        &self,
        account: &ConnectedAccount,
        token: &Secret,
        hint: &str,
    ) -> Result<(), String> {
        let exchange = self.exchange.as_ref();
        let exchange = exchange.map_err(|why| format!("TLS can't be set up: {why}"))?;
        let sent = self.clock.now().wall;
        let revoked = exchange.revoke(&account.oauth, token, hint, sent).await;
        revoked.map_err(|failure| failure.what)
    }

    fn personal(&self, key: &AccountKey) -> Result<Arc<ConnectedAccount>, RevokeError> {
        let account = self.accounts.connected_account(key);
        let account = account.ok_or(RevokeError::UnknownAccount)?;
        match account.oauth.grant_type {
            GrantType::AuthorizationCode => Ok(account),
            GrantType::ClientCredentials => Err(RevokeError::NeedsNobody),
        }
    }
}
