//! Connecting an account in a browser, and the sessions that this needs.

use super::answer::Desk;
use super::place::Page;
use super::reply::{Answer, html, not_found, problem, refused, see_other};
use super::session::{LINK_LIFE, Session};
use super::{guard::Refusal, plain};
use crate::base::crypto::NoRandomness;
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::config::checked::GrantType;
use crate::connect::{Binding, StartError};
use http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{Method, StatusCode};
use std::collections::HashMap;
use std::time::Duration;
use url::form_urlencoded;

impl Desk {
    /// An address that opens one session in the browser that visits it first,
    /// and how long it can be used.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn session_link(&self) -> Result<(Secret, Duration), NoRandomness> {
        let link = self.sessions.make_link()?;
        let address = format!("{}/session/{}", self.public_url, link.expose());
        Ok((Secret::new(address), LINK_LIFE))
    }

    pub(super) async fn page(&self, page: Page, head: &Parts, body: &[u8]) -> Answer {
        let session = self.sessions.find(&head.headers);
        match page {
            Page::Session if head.method == Method::POST => self.sign_in(&fields(body)),
            Page::Session => html(StatusCode::OK, plain::sign_in(&self.prefix, None, false)),
            Page::Link(link) => self.use_link(&link),
            Page::Callback => {
                self.callback(head.uri.query().unwrap_or_default(), session)
                    .await
            }
            Page::Home => self.with_session(session, None, |desk, session| desk.home(session)),
            Page::EndSession => self.with_form(session, body, None, Self::sign_out),
            Page::Connect(key) if head.method == Method::POST => {
                self.with_form(session, body, Some(&key), |desk, session| {
                    desk.start(&key, session)
                })
            }
            Page::Connect(key) => self.with_session(session, Some(&key), |desk, session| {
                desk.preview(&key, session)
            }),
        }
    }

    fn with_session(
        &self,
        session: Option<Session>,
        account: Option<&str>,
        then: impl FnOnce(&Self, &Session) -> Answer,
    ) -> Answer {
        match session {
            Some(session) => then(self, &session),
            None => {
                let page = plain::sign_in(&self.prefix, account, false);
                html(StatusCode::UNAUTHORIZED, page)
            }
        }
    }

    fn with_form(
        &self,
        session: Option<Session>,
        body: &[u8],
        account: Option<&str>,
        then: impl FnOnce(&Self, &Session) -> Answer,
    ) -> Answer {
        let fields = fields(body);
        let csrf = fields.get("csrf").map(String::as_str).unwrap_or_default();
        self.with_session(session, account, |desk, session| {
            if session.is_own_form(csrf) {
                then(desk, session)
            } else {
                refused(Refusal::ForeignPage)
            }
        })
    }

    fn sign_in(&self, fields: &HashMap<String, String>) -> Answer {
        let account = fields.get("account").map(String::as_str);
        let token = fields.get("token").map(String::as_str).unwrap_or_default();
        if !self.guard.is_token(token) {
            let page = plain::sign_in(&self.prefix, account, true);
            return html(StatusCode::UNAUTHORIZED, page);
        }
        let key = account.and_then(|account| AccountKey::new(account).ok());
        let to = key.map_or_else(|| "/".to_owned(), |key| format!("/connect/{key}"));
        self.opened(&to)
    }

    fn use_link(&self, link: &str) -> Answer {
        if self.sessions.use_link(link) {
            return self.opened("/");
        }
        let what = "A link opens one session, once and within 30 minutes. `sidekey connect` makes \
                    a new one.";
        let page = plain::notice(
            "This link has been used or is too old",
            &[what.to_owned()],
            "",
        );
        html(StatusCode::FORBIDDEN, page)
    }

    /// Opens a session and sends its browser on to a path of ours.
    fn opened(&self, to: &str) -> Answer {
        match self.sessions.open() {
            Ok(cookie) => with_cookie(see_other(&format!("{}{to}", self.prefix)), cookie),
            Err(why) => broken(&why),
        }
    }

    fn sign_out(&self, session: &Session) -> Answer {
        let cookie = self.sessions.close(session);
        let done = see_other(&format!("{}/session", self.prefix));
        match cookie {
            Ok(cookie) => with_cookie(done, cookie),
            Err(_) => done,
        }
    }

    fn home(&self, session: &Session) -> Answer {
        let accounts = self.accounts.accounts();
        let accounts: Vec<_> = accounts
            .iter()
            .map(|account| {
                let connected = self.accounts.connected_account(&account.key);
                let personal =
                    connected.is_some_and(|a| a.oauth.grant_type == GrantType::AuthorizationCode);
                (account.key.to_string(), account.state.as_str(), personal)
            })
            .collect();
        html(
            StatusCode::OK,
            plain::home(&self.prefix, &accounts, &session.csrf),
        )
    }

    fn preview(&self, key: &str, session: &Session) -> Answer {
        let Ok(key) = AccountKey::new(key) else {
            return not_found();
        };
        match self.connector.preview(&key) {
            Ok(preview) => {
                let page = plain::preview(&self.prefix, &preview, &session.csrf);
                html(StatusCode::OK, page)
            }
            Err(error) => self.not_started(&error),
        }
    }

    fn start(&self, key: &str, session: &Session) -> Answer {
        let Ok(key) = AccountKey::new(key) else {
            return not_found();
        };
        let binding = Binding::Browser(session.id.clone());
        match self.connector.start(&key, binding) {
            Ok(started) => {
                let page = plain::onward(key.as_str(), &started.authorization_url);
                html(StatusCode::OK, page)
            }
            Err(error) => self.not_started(&error),
        }
    }

    fn not_started(&self, error: &StartError) -> Answer {
        let status = match error {
            StartError::UnknownAccount => StatusCode::NOT_FOUND,
            StartError::NeedsNobody => StatusCode::CONFLICT,
            StartError::Unfit(_) | StartError::NoRandomness(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let back = plain::back(&self.prefix);
        let page = plain::notice(
            "This account can't be connected",
            &[error.to_string()],
            &back,
        );
        html(status, page)
    }

    async fn callback(&self, query: &str, session: Option<Session>) -> Answer {
        let connector = self.connector.clone();
        let browser = session.map(|session| Binding::Browser(session.id));
        let query = Secret::new(query.to_owned());
        // In a task of its own: a browser that goes away cancels no exchange.
        let finished = tokio::spawn(async move {
            let browser = browser.as_ref();
            connector.finish(query.expose(), browser, None).await
        });
        let back = plain::back(&self.prefix);
        match finished.await {
            Ok(Ok(done)) => {
                let title = format!("{} is connected", done.account);
                let what = done.advice.unwrap_or_else(|| {
                    "Its token will be refreshed without you. You can close this page.".to_owned()
                });
                html(StatusCode::OK, plain::notice(&title, &[what], &back))
            }
            Ok(Err(refusal)) => {
                let what = [refusal.to_string()];
                let page = plain::notice("The account was not connected", &what, &back);
                html(StatusCode::BAD_REQUEST, page)
            }
            Err(_) => broken(&"the exchange ended without an outcome"),
        }
    }
}

fn broken(why: &dyn std::fmt::Display) -> Answer {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    problem(
        status,
        "internal",
        "Something went wrong here",
        &why.to_string(),
    )
}

fn with_cookie(mut answer: Answer, cookie: HeaderValue) -> Answer {
    let headers: &mut HeaderMap = answer.headers_mut();
    headers.insert(SET_COOKIE, cookie);
    answer
}

fn fields(body: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}
