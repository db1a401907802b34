//! The account API's calls.

use super::answer::{Caller, Desk};
use super::api::{
    AccountList, AccountView, AttemptView, CallbackBody, Connecting, CreateBody, Done, Link,
    TokenView, rfc3339,
};
use super::guard::Refusal;
use super::place::Place;
use super::reply::{Answer, json, not_found, problem, refused, unknown_account};
use crate::account;
use crate::base::id::AccountKey;
use crate::connect::{self, Binding, Outcome, Revocation, RevokeError, StartError};
use crate::refresh::{AccountState, CreateError, ManualOutcome};
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use std::future::Future;

impl Desk {
    pub(super) async fn api(
        &self,
        place: Place,
        caller: Caller,
        method: &Method,
        body: &[u8],
    ) -> Answer {
        match place {
            Place::Accounts if *method == Method::POST => self.create(body).await,
            Place::Accounts => {
                let accounts = self.accounts.accounts();
                let accounts = accounts.iter().map(AccountView::from).collect();
                json(StatusCode::OK, &AccountList { accounts })
            }
            Place::Config => self.configuration(),
            Place::Links => match caller {
                Caller::Admin => self.link(),
                Caller::Page(_) => refused(Refusal::NoToken),
            },
            Place::Account(key)
            | Place::Refresh(key)
            | Place::Revoke(key)
            | Place::Connect(key)
            | Place::Callback(key)
            | Place::Token(key)
                if self.known(&key).is_none() =>
            {
                unknown_account()
            }
            Place::Attempt(key, id) => match AccountKey::new(&key) {
                Ok(key) => self.attempt(&key, &id),
                Err(_) => unknown_account(),
            },
            place => self.api_of_account(place, caller, method, body).await,
        }
    }

    async fn api_of_account(
        &self,
        place: Place,
        caller: Caller,
        method: &Method,
        body: &[u8],
    ) -> Answer {
        let known = |key: &str| self.known(key);
        match place {
            Place::Account(key) => match (known(&key), method) {
                (Some(key), &Method::DELETE) => self.disconnect(key).await,
                (Some(key), _) => self.account(&key),
                (None, _) => unknown_account(),
            },
            Place::Refresh(key) => match known(&key) {
                Some(key) => self.refresh(key).await,
                None => unknown_account(),
            },
            Place::Revoke(key) => match known(&key) {
                Some(key) => self.revoke(key).await,
                None => unknown_account(),
            },
            Place::Connect(key) => match known(&key) {
                Some(key) => self.connect(&key, caller),
                None => unknown_account(),
            },
            Place::Callback(key) => match known(&key) {
                Some(key) => self.bring_callback(key, caller, body).await,
                None => unknown_account(),
            },
            Place::Token(key) => match (known(&key), caller) {
                (Some(key), Caller::Admin) => self.token(&key).await,
                // A token's value never goes to a page.
                (_, Caller::Page(_)) => refused(Refusal::NoToken),
                (None, _) => unknown_account(),
            },
            _ => not_found(),
        }
    }

    fn known(&self, key: &str) -> Option<AccountKey> {
        let key = AccountKey::new(key).ok()?;
        self.accounts.account(&key).map(|status| status.key)
    }

    fn account(&self, key: &AccountKey) -> Answer {
        let status = self.accounts.account(key);
        status.map_or_else(unknown_account, |status| {
            json(StatusCode::OK, &AccountView::from(&status))
        })
    }

    async fn refresh(&self, key: AccountKey) -> Answer {
        let (accounts, refreshed) = (self.accounts.clone(), key.clone());
        let ended = apart(async move { accounts.refresh(&refreshed).await }).await;
        match ended {
            Some(ManualOutcome::Refreshed) => self.account(&key),
            Some(ManualOutcome::Failed(why)) => problem(
                StatusCode::BAD_GATEWAY,
                "refresh_failed",
                "The refresh failed",
                &why,
            ),
            Some(ManualOutcome::UnknownAccount) => unknown_account(),
            None => broken_off(),
        }
    }

    async fn revoke(&self, key: AccountKey) -> Answer {
        let connector = self.connector.clone();
        let revoked = apart(async move { connector.revoke(&key).await }).await;
        revoked.map_or_else(broken_off, |ended| given_back(ended, "revoke_failed"))
    }

    async fn disconnect(&self, key: AccountKey) -> Answer {
        let connector = self.connector.clone();
        let ended = apart(async move { connector.disconnect(&key).await }).await;
        ended.map_or_else(broken_off, |ended| given_back(ended, "disconnect_failed"))
    }

    fn connect(&self, key: &AccountKey, caller: Caller) -> Answer {
        let binding = match caller {
            Caller::Admin => Binding::Api,
            Caller::Page(session) => Binding::Browser(session),
        };
        match self.connector.start(key, binding) {
            Ok(started) => {
                let connecting = Connecting {
                    authorization_url: started.authorization_url,
                    expires_in: started.expires_in.as_secs(),
                    id: started.id,
                    redirect_uri: started.redirect_uri,
                };
                json(StatusCode::OK, &connecting)
            }
            Err(StartError::UnknownAccount) => unknown_account(),
            Err(error @ StartError::NeedsNobody) => needs_nobody(&error.to_string()),
            Err(error) => problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "connect_failed",
                "The connecting can't begin",
                &error.to_string(),
            ),
        }
    }

    fn attempt(&self, key: &AccountKey, id: &str) -> Answer {
        let Some(outcome) = self.connector.outcome(key, id) else {
            return problem(
                StatusCode::NOT_FOUND,
                "attempt_not_found",
                "There is no such connecting",
                "It is of another account, or was begun more than 20 minutes ago.",
            );
        };
        let (outcome, message) = match outcome {
            Outcome::Pending | Outcome::Exchanging => ("pending", None),
            Outcome::Connected(advice) => ("connected", advice),
            Outcome::Failed(why) => ("failed", Some(why)),
            Outcome::Expired => ("expired", Some("nobody came back in time".to_owned())),
        };
        let outcome = outcome.to_owned();
        json(StatusCode::OK, &AttemptView { outcome, message })
    }

    /// The address at which a browser on another machine has ended.
    async fn bring_callback(&self, key: AccountKey, caller: Caller, body: &[u8]) -> Answer {
        let Some(CallbackBody { address }) = parse(body) else {
            return bad_body("{\"address\": …}");
        };
        let browser = match caller {
            Caller::Admin => None,
            Caller::Page(session) => Some(Binding::Browser(session)),
        };
        let connector = self.connector.clone();
        let query = address.trim().split_once('?').map(|(_, query)| query);
        let query = query.unwrap_or_default();
        let query = query.split('#').next().unwrap_or_default().to_owned();
        let ended =
            apart(async move { connector.finish(&query, browser.as_ref(), Some(&key)).await })
                .await;
        match ended {
            Some(Ok(done)) => json(StatusCode::OK, &connected(&done)),
            Some(Err(refusal)) => problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "connect_failed",
                "The account was not connected",
                &refusal.to_string(),
            ),
            None => broken_off(),
        }
    }

    async fn token(&self, key: &AccountKey) -> Answer {
        let status = self.accounts.account(key);
        let is_good = status.is_some_and(|s| s.state == AccountState::Connected);
        match self.accounts.tokens(key).await.filter(|_| is_good) {
            Some(tokens) => json(
                StatusCode::OK,
                &TokenView {
                    access_token: tokens.access_token.expose().to_owned(),
                    expires_at: tokens.expires_at.map(rfc3339),
                },
            ),
            None => problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "token_unavailable",
                "The account has no valid token",
                "GET /api/accounts/{key} says why.",
            ),
        }
    }

    fn link(&self) -> Answer {
        match self.session_link() {
            Ok((url, life)) => {
                let (url, expires_in) = (url.expose().to_owned(), life.as_secs());
                json(StatusCode::OK, &Link { url, expires_in })
            }
            Err(_) => broken_off(),
        }
    }

    async fn create(&self, body: &[u8]) -> Answer {
        let Some(wanted) = parse::<CreateBody>(body) else {
            return bad_body("{\"key\": …, \"integration\": …, \"parameters\": {…}}");
        };
        let Ok(key) = AccountKey::new(&wanted.key) else {
            return bad_account("key: expected 1 to 128 letters, digits, '-' or '_'");
        };
        let turn = self.accounts.turn().await;
        let site = self.pages.site();
        let Some(integration) = site.integration(&wanted.integration) else {
            return bad_account("integration: there is none with this key");
        };
        let made = match account::create(key.clone(), integration, &wanted.parameters) {
            Ok(made) => made,
            Err(error) => return bad_account(&error.to_string()),
        };
        let accounts = self.accounts.clone();
        match apart(async move { accounts.create(made, turn).await }).await {
            Some(Ok(())) => {
                let mut answer = self.account(&key);
                *answer.status_mut() = StatusCode::CREATED;
                answer
            }
            Some(Err(error @ CreateError::Exists)) => problem(
                StatusCode::CONFLICT,
                "account_exists",
                "The account can't be created",
                &error.to_string(),
            ),
            Some(Err(error)) => problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                "The account can't be kept",
                &error.to_string(),
            ),
            None => broken_off(),
        }
    }
}

/// In a task of its own: a caller that hangs up cancels nothing.
async fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    tokio::spawn(work).await.ok()
}

fn connected(done: &connect::Done) -> Done {
    Done {
        message: match &done.advice {
            Some(advice) => format!("{} is connected, but {advice}", done.account),
            None => format!("{} is connected", done.account),
        },
    }
}

fn given_back(ended: Result<Revocation, RevokeError>, code: &'static str) -> Answer {
    match ended {
        Ok(revocation) => {
            let message = format!("the account is disconnected; {revocation}");
            json(StatusCode::OK, &Done { message })
        }
        Err(RevokeError::UnknownAccount) => unknown_account(),
        Err(error @ RevokeError::NeedsNobody) => needs_nobody(&error.to_string()),
        Err(error) => {
            let title = "The account was not disconnected as it should be";
            problem(StatusCode::BAD_GATEWAY, code, title, &error.to_string())
        }
    }
}

fn needs_nobody(why: &str) -> Answer {
    problem(
        StatusCode::CONFLICT,
        "no_person_needed",
        "This account needs no person",
        why,
    )
}

fn bad_account(why: &str) -> Answer {
    problem(
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad_account",
        "The account can't be created so",
        why,
    )
}

fn bad_body(wanted: &str) -> Answer {
    problem(
        StatusCode::BAD_REQUEST,
        "bad_request",
        "The body can't be read",
        &format!("Send JSON: {wanted}"),
    )
}

fn broken_off() -> Answer {
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "Something went wrong here",
        "The call ended without an outcome; the log says more.",
    )
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}
