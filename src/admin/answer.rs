//! From a request to its answer.

use super::body::ReplyBody;
use super::guard::{Guard, Refusal};
use super::page::{self, Pages, Reply, Site};
use super::place::{Place, methods, place};
use super::ready::{Readiness, Verdict};
use super::reply::{
    Answer, html, json, method_not_allowed, moved, not_found, problem, refused, text,
};
use super::session::Sessions;
use super::{openapi, plain, reply};
use crate::base::secret::Secret;
use crate::config::checked::SharedRoutes;
use crate::connect::Connector;
use crate::refresh::{Cells, Handle};
use crate::telemetry::metrics;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap};
use http::request;
use http::{Method, Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;

/// No body that is read here is longer, in bytes.
const LONGEST_BODY: usize = 64 * 1024;
/// Larger heads are answered with what to do about them. The parser's own
/// limit is above this one, and its answer is bare.
const LONGEST_HEAD: usize = 16 * 1024;

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

/// What a desk works with.
pub struct Parts {
    pub accounts: Handle,
    pub connector: Arc<Connector>,
    /// What the page shows of the configuration.
    pub site: Site,
    pub readiness: Arc<Readiness>,
    pub scrape: Scrape,
    pub token: Secret,
    /// The address at which browsers find the admin listener, without a slash
    /// at its end.
    pub public_url: String,
}

/// What the answers are made of.
pub struct Desk {
    pub(super) accounts: Handle,
    pub(super) connector: Arc<Connector>,
    pub(super) public_url: String,
    /// The path of the public address: `/us`, or nothing.
    pub(super) prefix: String,
    pub(super) sessions: Arc<Sessions>,
    pub(super) pages: Pages,
    pub(super) guard: Guard,
    readiness: Arc<Readiness>,
    scrape: Scrape,
}

impl Desk {
    /// A desk without any session.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let prefix = url::Url::parse(&parts.public_url);
        let prefix = prefix.map(|url| url.path().trim_end_matches('/').to_owned());
        let prefix = prefix.unwrap_or_default();
        let sessions = Arc::new(Sessions::new(&parts.public_url));
        Self {
            pages: Pages {
                site: ArcSwap::from_pointee(parts.site).into(),
                accounts: parts.accounts.clone(),
                sessions: sessions.clone(),
                connector: parts.connector.clone(),
                streams: Default::default(),
                base: prefix.clone(),
            },
            guard: Guard::new(parts.token, &parts.public_url),
            sessions,
            prefix,
            accounts: parts.accounts,
            connector: parts.connector,
            public_url: parts.public_url,
            readiness: parts.readiness,
            scrape: parts.scrape,
        }
    }

    /// Goes on with another configuration; its public address stays the one of
    /// the start. Whoever came in by another admin token has to come anew.
    pub fn change(&self, site: Site, token: Secret) {
        if self.guard.set_token(token) {
            self.sessions.end_all();
        }
        let public_url = self.public_url.clone();
        self.pages.site.store(Arc::new(Site { public_url, ..site }));
    }

    /// Goes on with other routes.
    pub fn route(&self, routes: SharedRoutes) {
        let site = Site::clone(&self.pages.site());
        self.pages.site.store(Arc::new(Site { routes, ..site }));
    }

    /// Answers a request, whatever its place.
    pub async fn reply(&self, surface: Surface, request: Request<Incoming>) -> Reply {
        let path = self.without_prefix(request.uri().path()).to_owned();
        let Some(place) = page::place(&path).filter(|_| surface == Surface::Admin) else {
            return self.answer(surface, request).await.map(ReplyBody::from);
        };
        let (head, body) = request.into_parts();
        if head_bytes(&head) > LONGEST_HEAD {
            return head_too_large(&self.prefix, &head.headers).map(ReplyBody::from);
        }
        if let Some(answer) = self.keep_out(&head) {
            return answer.map(ReplyBody::from);
        }
        match read(body).await {
            Some(body) => self.pages.answer(place, &head, &body).await,
            None => body_too_large().map(ReplyBody::from),
        }
    }

    /// Answers a request that is not for the pages that show accounts.
    pub async fn answer<B>(&self, surface: Surface, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        if head_bytes(&head) > LONGEST_HEAD {
            return head_too_large(&self.prefix, &head.headers);
        }
        let place = place(surface, self.without_prefix(head.uri.path()));
        if place == Place::Elsewhere {
            return not_found();
        }
        let wanted = methods(&place);
        if !wanted.contains(&head.method) {
            return method_not_allowed(wanted);
        }
        match place {
            Place::Live => text(StatusCode::OK, "live\n".into()),
            Place::Ready => self.ready(&head.headers),
            Place::Metrics => self.metrics().await,
            Place::Description => match self.guard.check_page(&head.method, &head.headers) {
                Ok(()) => openapi::answer(&self.public_url),
                Err(refusal) => refused(refusal),
            },
            Place::Page(page) => {
                if let Some(answer) = self.keep_out(&head) {
                    return answer;
                }
                match read(body).await {
                    Some(body) => self.page(page, &head, &body).await,
                    None => body_too_large(),
                }
            }
            _ => match self.caller(&head) {
                Ok(caller) => match read(body).await {
                    Some(body) => self.api(place, caller, &head.method, &body).await,
                    None => body_too_large(),
                },
                Err(refusal) => refused(refusal),
            },
        }
    }

    /// A proxy in front may have taken the prefix away already.
    fn without_prefix<'p>(&self, path: &'p str) -> &'p str {
        match path.strip_prefix(self.prefix.as_str()) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }

    /// What browsers are told that may not see a page, or not under this name.
    fn keep_out(&self, head: &request::Parts) -> Option<Answer> {
        if let Err(refusal) = self.guard.check_page(&head.method, &head.headers) {
            return Some(refused(refusal));
        }
        let elsewhere = head.method != Method::POST && self.guard.is_other_name(&head.headers);
        // A cookie is bound to the name under which it was set.
        elsewhere.then(|| {
            let path = self.without_prefix(head.uri.path());
            let query = head.uri.query().map_or(String::new(), |q| format!("?{q}"));
            let to = format!("{}{path}{query}", self.public_url);
            moved(StatusCode::TEMPORARY_REDIRECT, &to)
        })
    }

    fn ready(&self, headers: &HeaderMap) -> Answer {
        let accounts = self.accounts.cells();
        let verdict = self.readiness.judge(accounts.iter());
        let (status, why) = match verdict {
            Verdict::Ready => (StatusCode::OK, None),
            Verdict::NotReady(why) => (StatusCode::SERVICE_UNAVAILABLE, Some(why)),
        };
        if accepts(headers, "application/json") {
            json(status, &ready_json(why.as_deref(), &accounts))
        } else {
            text(status, ready_text(why.as_deref(), &accounts))
        }
    }

    async fn metrics(&self) -> Answer {
        let body = (self.scrape)().await;
        reply::answer(StatusCode::OK, metrics::CONTENT_TYPE, body)
    }
}

/// `None` for a body that is too long, or broken off.
async fn read<B>(body: B) -> Option<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let read = Limited::new(body, LONGEST_BODY).collect().await;
    read.ok().map(|body| body.to_bytes())
}

fn head_bytes(head: &request::Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |pq| pq.as_str().len());
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + 4);
    target + fields.sum::<usize>()
}

fn head_too_large(prefix: &str, headers: &HeaderMap) -> Answer {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let cookies = "Most of such a request are cookies that other programs on this host have set: \
                   clear the cookies of this address in your browser, and load the page again.";
    if accepts(headers, "text/html") {
        let title = "The request is too large";
        return html(status, plain::notice(prefix, title, &[cookies.to_owned()]));
    }
    let title = "The request's head is larger than 16 KiB";
    problem(status, "headers_too_large", title, cookies)
}

fn body_too_large() -> Answer {
    problem(
        StatusCode::PAYLOAD_TOO_LARGE,
        "payload_too_large",
        "The request's body can't be read",
        "It is longer than 64 KiB, or was broken off.",
    )
}

fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|value| value.contains(kind))
}

/// The body of `/readyz` for people.
fn ready_text(why: Option<&str>, accounts: &Cells) -> String {
    let mut text = match why {
        None => "ready\n".to_owned(),
        Some(why) => format!("not ready: {why}\n"),
    };
    for account in accounts.iter() {
        text.extend([account.key.as_str(), " ", account.state.as_str(), "\n"]);
    }
    text
}

fn ready_json(why: Option<&str>, accounts: &Cells) -> serde_json::Value {
    let states = accounts.iter().map(|account| {
        let state = account.state.as_str();
        serde_json::json!({"key": account.key.as_str(), "state": state})
    });
    let states: Vec<_> = states.collect();
    serde_json::json!({"ready": why.is_none(), "reason": why, "accounts": states})
}

impl Desk {
    /// Who calls the API: the holder of the admin token, or a page of ours.
    fn caller(&self, head: &request::Parts) -> Result<Caller, Refusal> {
        let headers = &head.headers;
        match self.guard.check(headers) {
            Ok(()) => return Ok(Caller::Admin),
            Err(Refusal::NoToken) => {}
            Err(refusal) => return Err(refusal),
        }
        let session = self.sessions.find(headers).ok_or(Refusal::NoToken)?;
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let csrf = headers.get("sidekey-csrf").and_then(|v| v.to_str().ok());
        if reads || csrf.is_some_and(|csrf| session.is_own_form(csrf)) {
            Ok(Caller::Page(session.id))
        } else {
            Err(Refusal::ForeignPage)
        }
    }
}

/// Who calls the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    Admin,
    /// A page, in the session with this id.
    Page(String),
}
