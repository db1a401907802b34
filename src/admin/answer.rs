//! From a request to its answer.

use super::api::{AccountList, AccountView, Problem};
use super::body::ReplyBody;
use super::guard::{Guard, Refusal};
use super::page::{Page, Reply};
use super::ready::{Readiness, Verdict};
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::refresh::{AccountStatus, Handle, ManualOutcome};
use crate::telemetry::metrics;
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use std::pin::Pin;
use std::sync::Arc;

/// Which paths a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Everything.
    Admin,
    /// `/livez`, `/readyz`, `/metrics`.
    Probes,
}

/// Makes the text of `/metrics`.
pub type Scrape = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// What the answers are made of.
pub struct Desk {
    accounts: Handle,
    readiness: Arc<Readiness>,
    scrape: Scrape,
    guard: Guard,
    page: Option<Page>,
}

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// The parts of a path that mean something.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Live,
    Ready,
    Metrics,
    Accounts,
    Account(&'a str),
    Refresh(&'a str),
    Elsewhere,
}

impl Desk {
    /// `public_url` is the address at which browsers find the admin listener.
    #[must_use]
    pub fn new(
        accounts: Handle,
        readiness: Arc<Readiness>,
        scrape: Scrape,
        token: Secret,
        public_url: &str,
    ) -> Self {
        let guard = Guard::new(token, public_url);
        Self {
            accounts,
            readiness,
            scrape,
            guard,
            page: None,
        }
    }

    /// Has the page too.
    #[must_use]
    pub fn with_page(mut self, page: Page) -> Self {
        self.page = Some(page);
        self
    }

    /// Answers a request, the page's included.
    pub async fn reply(&self, surface: Surface, request: Request<Incoming>) -> Reply {
        match &self.page {
            Some(page) if surface == Surface::Admin && page.owns(request.uri().path()) => {
                let refused = if request.method() == Method::POST {
                    self.guard.check_page(request.headers()).err()
                } else {
                    self.guard.check_host(request.headers()).err()
                };
                let is_token = |text: &str| self.guard.is_token(text);
                page.answer(request, refused, &is_token).await
            }
            _ => self.answer(surface, &request).await.map(ReplyBody::from),
        }
    }

    /// Answers a request. Its body is not read: no call here has one.
    pub async fn answer<B>(&self, surface: Surface, request: &Request<B>) -> Answer {
        let place = place(surface, request.uri().path());
        let wanted = match place {
            Place::Refresh(_) => &[Method::POST][..],
            Place::Elsewhere => return not_found(),
            _ => &[Method::GET, Method::HEAD],
        };
        if !wanted.contains(request.method()) {
            return method_not_allowed(wanted);
        }
        match place {
            Place::Live => text(StatusCode::OK, "live\n".into()),
            Place::Ready => self.ready(request),
            Place::Metrics => self.metrics().await,
            _ => match self.guard.check(request.headers()) {
                Ok(()) => self.api(place).await,
                Err(refusal) => refused(refusal),
            },
        }
    }

    fn ready<B>(&self, request: &Request<B>) -> Answer {
        let accounts = self.accounts.accounts();
        let verdict = self.readiness.judge(&accounts);
        let accept = request.headers().get(ACCEPT);
        let wants_json = accept
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("application/json"));
        let (status, why) = match verdict {
            Verdict::Ready => (StatusCode::OK, None),
            Verdict::NotReady(why) => (StatusCode::SERVICE_UNAVAILABLE, Some(why)),
        };
        if wants_json {
            json(status, &ready_json(why.as_deref(), &accounts))
        } else {
            text(status, ready_text(why.as_deref(), &accounts))
        }
    }

    async fn metrics(&self) -> Answer {
        let body = (self.scrape)().await;
        answer(StatusCode::OK, metrics::CONTENT_TYPE, body)
    }

    async fn api(&self, place: Place<'_>) -> Answer {
        match place {
            Place::Account(key) => self.account(key),
            Place::Refresh(key) => self.refresh(key).await,
            _ => {
                let accounts = self.accounts.accounts();
                let accounts = accounts.iter().map(AccountView::from).collect();
                json(StatusCode::OK, &AccountList { accounts })
            }
        }
    }

    fn account(&self, key: &str) -> Answer {
        AccountKey::new(key)
            .ok()
            .and_then(|key| self.accounts.account(&key))
            .map_or_else(unknown_account, |status| {
                json(StatusCode::OK, &AccountView::from(&status))
            })
    }

    async fn refresh(&self, key: &str) -> Answer {
        let Ok(key) = AccountKey::new(key) else {
            return unknown_account();
        };
        // In a task of its own: a caller that hangs up cancels no refresh.
        let accounts = self.accounts.clone();
        let refreshed = key.clone();
        let ended = tokio::spawn(async move { accounts.refresh(&refreshed).await }).await;
        match ended {
            Ok(ManualOutcome::Refreshed) => self.account(key.as_str()),
            Ok(ManualOutcome::Failed(why)) => problem(
                StatusCode::BAD_GATEWAY,
                "refresh_failed",
                "The refresh failed",
                &why,
            ),
            Ok(ManualOutcome::UnknownAccount) => unknown_account(),
            Err(_) => problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Something went wrong here",
                "The refresh ended without an outcome; the log says more.",
            ),
        }
    }
}

fn place(surface: Surface, path: &str) -> Place<'_> {
    match path {
        "/livez" => return Place::Live,
        "/readyz" => return Place::Ready,
        "/metrics" => return Place::Metrics,
        _ if surface == Surface::Probes => return Place::Elsewhere,
        "/api/accounts" => return Place::Accounts,
        _ => {}
    }
    let Some(rest) = path.strip_prefix("/api/accounts/") else {
        return Place::Elsewhere;
    };
    match rest.split_once('/') {
        None if !rest.is_empty() => Place::Account(rest),
        Some((key, "refresh")) if !key.is_empty() => Place::Refresh(key),
        _ => Place::Elsewhere,
    }
}

/// The body of `/readyz` for people.
fn ready_text(why: Option<&str>, accounts: &[AccountStatus]) -> String {
    let mut text = match why {
        None => "ready\n".to_owned(),
        Some(why) => format!("not ready: {why}\n"),
    };
    for account in accounts {
        text.push_str(&format!("{} {}\n", account.key, account.state.as_str()));
    }
    text
}

fn ready_json(why: Option<&str>, accounts: &[AccountStatus]) -> serde_json::Value {
    let states = accounts.iter().map(|account| {
        let state = account.state.as_str();
        serde_json::json!({"key": account.key.as_str(), "state": state})
    });
    let states: Vec<_> = states.collect();
    serde_json::json!({"ready": why.is_none(), "reason": why, "accounts": states})
}

fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::BadHost => problem(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "The request can't be read",
            "It needs exactly one Host field.",
        ),
        Refusal::ForeignHost => problem(
            StatusCode::FORBIDDEN,
            "caller_not_allowed",
            "This host is not ours",
            "Use localhost, an address, or the host of admin.public_url.",
        ),
        Refusal::ForeignPage => problem(
            StatusCode::FORBIDDEN,
            "caller_not_allowed",
            "Another site's page may not call this",
            "The Origin or Sec-Fetch-Site field names another site.",
        ),
        Refusal::NoToken => {
            let mut answer = problem(
                StatusCode::UNAUTHORIZED,
                "admin_token_required",
                "The admin token is missing or wrong",
                "Send Authorization: Bearer with the admin token (admin.token, or the file \
                 admin-token in the state directory).",
            );
            let challenge = HeaderValue::from_static("Bearer realm=\"sidekey\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            answer
        }
    }
}

fn not_found() -> Answer {
    problem(
        StatusCode::NOT_FOUND,
        "not_found",
        "There is nothing here",
        "This listener answers /livez, /readyz and /metrics, and on the admin listener \
         /api/accounts.",
    )
}

fn unknown_account() -> Answer {
    problem(
        StatusCode::NOT_FOUND,
        "account_not_found",
        "There is no such account",
        "GET /api/accounts lists every connected account.",
    )
}

fn method_not_allowed(wanted: &[Method]) -> Answer {
    let wanted: Vec<_> = wanted.iter().map(Method::as_str).collect();
    let wanted = wanted.join(", ");
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This method does nothing here",
        &format!("Use {wanted}."),
    );
    if let Ok(value) = HeaderValue::from_str(&wanted) {
        answer.headers_mut().insert(ALLOW, value);
    }
    answer
}

fn problem(status: StatusCode, code: &'static str, title: &str, detail: &str) -> Answer {
    let body = Problem {
        kind: "about:blank".to_owned(),
        title: title.to_owned(),
        status: status.as_u16(),
        detail: detail.to_owned(),
        code: code.to_owned(),
    };
    let mut answer = json(status, &body);
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert("sidekey-error", HeaderValue::from_static(code));
    answer
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // These types always serialize.
    let mut text = serde_json::to_string(body).unwrap_or_default();
    text.push('\n');
    answer(status, "application/json", text)
}

fn text(status: StatusCode, body: String) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::{Place, Surface, place};

    #[test]
    fn paths_lead_where_they_should() {
        let on_admin = |path| place(Surface::Admin, path);
        assert_eq!(on_admin("/livez"), Place::Live);
        assert_eq!(on_admin("/api/accounts"), Place::Accounts);
        assert_eq!(on_admin("/api/accounts/a"), Place::Account("a"));
        assert_eq!(on_admin("/api/accounts/a/refresh"), Place::Refresh("a"));
        for nowhere in [
            "/",
            "/livez/",
            "/api/accounts/",
            "/api/accounts//refresh",
            "/api/accounts/a/b",
            "/api/accounts/a/refresh/",
            "/API/accounts",
        ] {
            assert_eq!(on_admin(nowhere), Place::Elsewhere, "{nowhere}");
        }
        assert_eq!(place(Surface::Probes, "/metrics"), Place::Metrics);
        assert_eq!(place(Surface::Probes, "/api/accounts"), Place::Elsewhere);
    }
}
