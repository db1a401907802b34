//! What is done when a person presses a button.

use super::create::{self, Filled};
use super::place::Deed;
use super::show::Notice;
use super::{Reply, Visit, form, ok, reply};
use crate::account;
use crate::base::id::AccountKey;
use crate::config::checked::Integration;
use crate::connect::Revocation;
use crate::refresh::{AccountStatus, ManualOutcome, Turn};
use askama::Template;
use http::StatusCode;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm {
    frame: super::frame::Frame,
    csrf: String,
    key: String,
    verb: &'static str,
    action: &'static str,
    lines: Vec<String>,
}

impl Visit<'_> {
    /// Refreshes now and shows how it went.
    pub(super) async fn refresh(&self, key: &str, fields: &[(String, String)]) -> Reply {
        let Some(account) = self.account(key) else {
            return self.page.lost();
        };
        // In a task of its own: a person who leaves cancels no refresh.
        let accounts = self.page.accounts.clone();
        let refreshed = account.key.clone();
        let ended = tokio::spawn(async move { accounts.refresh(&refreshed).await }).await;
        match ended {
            Ok(ManualOutcome::Refreshed) if form::value(fields, "back") == "overview" => {
                reply::see(&format!("{}/", self.page.base))
            }
            Ok(ManualOutcome::Refreshed) => {
                reply::see(&format!("{}/accounts/{key}", self.page.base))
            }
            Ok(ManualOutcome::Failed(why)) => self.bad(key, &format!("The refresh failed: {why}")),
            Ok(ManualOutcome::UnknownAccount) => self.page.lost(),
            Err(_) => self.bad(
                key,
                "The refresh ended without an outcome; the log says more.",
            ),
        }
    }

    fn bad(&self, key: &str, text: &str) -> Reply {
        let notice = Notice {
            class: "bad",
            text: text.to_owned(),
        };
        self.show(StatusCode::OK, key, Some(notice))
    }

    /// A page of its own before something that can't be undone.
    pub(super) fn ask_first(&self, key: &str, deed: Deed) -> Reply {
        let Some(account) = self.account(key) else {
            return self.page.lost();
        };
        let frame = self.frame("");
        let (verb, action, lines) = match deed {
            Deed::Refresh => return reply::see(&format!("{}/accounts/{key}", self.page.base)),
            Deed::Revoke => ("Revoke", "revoke", self.before_revoke(&account)),
            Deed::Disconnect => ("Disconnect", "disconnect", self.before_disconnect(&account)),
        };
        let page = Confirm {
            csrf: frame.csrf(),
            frame,
            key: account.key.to_string(),
            verb,
            action,
            lines,
        };
        ok(page.render().unwrap_or_default())
    }

    fn before_revoke(&self, account: &AccountStatus) -> Vec<String> {
        vec![
            "sidekey asks the authorization server to end the tokens of this account.".to_owned(),
            self.who_suffers(account),
            "The account stays here and can be connected again.".to_owned(),
        ]
    }

    fn before_disconnect(&self, account: &AccountStatus) -> Vec<String> {
        let site = self.page.site();
        let integration = site.integration(&account.integration);
        let can_revoke = integration.is_some_and(|i| i.oauth2.revocation_endpoint.is_some());
        let tokens = if can_revoke {
            "Its tokens are revoked at the authorization server and forgotten here."
        } else {
            "Its tokens are forgotten here. The integration names no revocation endpoint, so they \
             live on at the authorization server until they expire or you end them there."
        };
        let rest = if !self.page.accounts.is_created(&account.key) {
            "The account itself stays, for the configuration names it."
        } else {
            "The account itself is removed, with its parameters."
        };
        vec![
            tokens.to_owned(),
            self.who_suffers(account),
            rest.to_owned(),
        ]
    }

    fn who_suffers(&self, account: &AccountStatus) -> String {
        let routes = self.page.site().shown_routes(Some(&account.key));
        let names: Vec<_> = routes.into_iter().map(|route| route.matcher).collect();
        if names.is_empty() {
            "No route uses it.".to_owned()
        } else {
            let names = names.join(", ");
            format!("Requests to {names} are answered 503 until it is connected again.")
        }
    }

    /// Revokes or disconnects.
    pub(super) async fn undo(&self, key: &str, deed: Deed) -> Reply {
        let Some(account) = self.account(key) else {
            return self.page.lost();
        };
        let goes = deed == Deed::Disconnect && self.page.accounts.is_created(&account.key);
        let connector = self.page.connector.clone();
        // In a task of its own: a person who leaves cancels nothing.
        let done = tokio::spawn(async move {
            match deed {
                Deed::Revoke => connector.revoke(&account.key).await,
                _ => connector.disconnect(&account.key).await,
            }
        });
        let notice = match done.await {
            Ok(Ok(revocation)) => Notice {
                class: match revocation {
                    Revocation::Failed(_) | Revocation::NoEndpoint => "bad",
                    _ => "good",
                },
                text: format!("The account is disconnected; {revocation}."),
            },
            Ok(Err(why)) => return self.bad(key, &format!("This did not work: {why}.")),
            Err(_) => return self.bad(key, "This ended without an outcome; the log says more."),
        };
        if !goes {
            return self.show(StatusCode::OK, key, Some(notice));
        }
        let title = format!("{key} is removed");
        self.page.message(StatusCode::OK, &title, &notice.text)
    }

    /// Creates an account and goes on to connecting it.
    pub(super) async fn create(&self, integration: &str, fields: &[(String, String)]) -> Reply {
        let turn = self.page.accounts.turn().await;
        let site = &self.page.site();
        let Some(integration) = site.integration(integration) else {
            return self.page.lost();
        };
        let filled = Filled::of(fields);
        let base = &self.page.base;
        match self.try_create(integration, &filled, turn).await {
            Err(error) => {
                let page = create::form(integration, self.frame("new"), &filled, vec![error]);
                reply::html(StatusCode::UNPROCESSABLE_ENTITY, page)
            }
            Ok(()) if site.is_personal(&integration.key) => {
                reply::see(&format!("{base}/connect/{}", filled.account))
            }
            Ok(()) => reply::see(&format!("{base}/accounts/{}", filled.account)),
        }
    }

    async fn try_create(
        &self,
        integration: &Arc<Integration>,
        filled: &Filled,
        turn: Turn,
    ) -> Result<(), String> {
        let key = AccountKey::new(&filled.account)
            .map_err(|_| "the account key must consist of letters, digits, - and _".to_owned())?;
        let made = account::create(key, integration, &filled.parameters)
            .map_err(|error| error.to_string())?;
        let accounts = self.page.accounts.clone();
        let created = tokio::spawn(async move { accounts.create(made, turn).await }).await;
        match created {
            Ok(created) => created.map_err(|error| error.to_string()),
            Err(_) => Err("this ended without an outcome; the log says more".to_owned()),
        }
    }
}
