//! The page: accounts and their states for people, and what they can press.
//! Everything works without its script, which only saves reloading.

pub mod actions;
mod assets;
mod chart;
mod create;
mod deeds;
mod form;
mod frame;
mod live;
mod parts;
mod place;
mod reply;
mod say;
mod show;
mod sign_in;
mod site;
mod try_it;
mod when;

pub use reply::Reply;
pub use site::Site;

use super::guard::Refusal;
use super::session::{Session, Sessions};
use crate::base::clock::SystemClock;
use crate::base::id::AccountKey;
use crate::refresh::{AccountStatus, Handle};
use actions::Actions;
use assets::ASSETS;
use frame::Frame;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use live::{Streams, Watch};
use place::{Deed, Place, place};
use std::sync::Arc;

/// What the page is made of.
pub struct Page {
    site: Arc<Site>,
    accounts: Handle,
    sessions: Arc<Sessions>,
    actions: Option<Arc<dyn Actions>>,
    streams: Streams,
    base: String,
}

/// A request by somebody who has a session.
struct Visit<'a> {
    page: &'a Page,
    session: &'a Session,
    head: &'a Parts,
}

impl Page {
    /// `actions` is what can be done besides looking, trying and refreshing.
    #[must_use]
    pub fn new(
        site: Site,
        accounts: Handle,
        sessions: Arc<Sessions>,
        actions: Option<Arc<dyn Actions>>,
    ) -> Self {
        Self {
            base: site.base(),
            site: Arc::new(site),
            accounts,
            sessions,
            actions,
            streams: Streams::default(),
        }
    }

    /// True for a path that the page answers.
    #[must_use]
    pub fn owns(&self, path: &str) -> bool {
        place(self.own(path)).is_some()
    }

    /// The path below the public address's own, which whoever passes requests
    /// on to us may have taken away already.
    fn own<'a>(&self, path: &'a str) -> &'a str {
        let own = path.strip_prefix(self.base.as_str());
        own.filter(|own| own.starts_with('/')).unwrap_or(path)
    }

    /// Answers a request for one of its own paths, which came from a place that
    /// may ask (or did not: `refused`).
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        refused: Option<Refusal>,
        is_token: &(dyn Fn(&str) -> bool + Sync),
    ) -> Reply {
        let (head, body) = request.into_parts();
        let place = match (place(self.own(head.uri.path())), refused) {
            (_, Some(refusal)) => return self.refused(refusal),
            (None, _) => return self.lost(),
            (Some(Place::Asset(name)), _) => return self.asset(name),
            (Some(place), None) => place,
        };
        let is_post = head.method == Method::POST;
        if !is_post && head.method != Method::GET && head.method != Method::HEAD {
            return self.message(
                StatusCode::METHOD_NOT_ALLOWED,
                "This method does nothing here",
                &["Pages are fetched with GET, forms are sent with POST."],
            );
        }
        let fields = if is_post {
            match form::read(body).await {
                Some(fields) => fields,
                None => return self.too_long(),
            }
        } else {
            form::parse(head.uri.query().unwrap_or_default().as_bytes())
        };
        if place == Place::SignIn {
            return self.sign_in(is_post, &fields, is_token);
        }
        let Some(session) = self.sessions.find(&head.headers) else {
            return self.ask_to_sign_in(&head, is_post);
        };
        let visit = Visit {
            page: self,
            session: &session,
            head: &head,
        };
        if !is_post {
            return visit.look(place, &fields);
        }
        if !session.is_own_form(form::value(&fields, "csrf")) {
            return self.stale_form();
        }
        visit.act(place, fields).await
    }

    fn asset(&self, name: &str) -> Reply {
        ASSETS.find(name).map_or_else(|| self.lost(), reply::asset)
    }
}

impl Visit<'_> {
    fn frame(&self, here: &'static str) -> Frame {
        Frame::new(&self.page.base, Some(self.session), here)
    }

    fn account(&self, key: &str) -> Option<AccountStatus> {
        let key = AccountKey::new(key).ok()?;
        self.page.accounts.account(&key)
    }

    fn look(&self, place: Place<'_>, query: &[(String, String)]) -> Reply {
        let page = self.page;
        match place {
            Place::Overview => self.overview(form::value(query, "q")),
            Place::Account(key) => self.show(StatusCode::OK, key, None),
            Place::Deed(key, deed) => self.ask_first(key, deed),
            Place::New => {
                let frame = self.frame("new");
                let accounts = page.accounts.accounts();
                ok(create::choose(&page.site, &accounts, frame))
            }
            Place::NewOf(integration) => match page.site.integration(integration) {
                Some(integration) => {
                    let filled = create::Filled::default();
                    let frame = self.frame("new");
                    ok(create::form(integration, frame, &filled, Vec::new()))
                }
                None => page.lost(),
            },
            Place::Try => {
                let wanted = try_it::Wanted {
                    route: form::value(query, "route").to_owned(),
                    ..Default::default()
                };
                ok(try_it::page(&page.site, self.frame("try"), wanted, None))
            }
            Place::Events => self.events(form::value(query, "account")),
            _ => page.lost(),
        }
    }

    fn overview(&self, search: &str) -> Reply {
        let page = self.page;
        let events = format!("{}/events", page.base);
        let frame = self.frame("accounts").live(events);
        let now = SystemClock::wall();
        ok(show::overview(
            &page.site,
            &page.accounts,
            frame,
            now,
            search,
        ))
    }

    /// An account's page.
    fn show(&self, status: StatusCode, key: &str, notice: Option<show::Notice>) -> Reply {
        let page = self.page;
        let Some(account) = self.account(key) else {
            return page.lost();
        };
        let events = format!("{}/events?account={}", page.base, account.key);
        let frame = self.frame("").live(events);
        let now = SystemClock::wall();
        let html = show::account(&page.site, &page.accounts, frame, &account, now, notice);
        reply::html(status, html)
    }

    fn events(&self, account: &str) -> Reply {
        let page = self.page;
        let watch = Watch {
            site: page.site.clone(),
            accounts: page.accounts.clone(),
            sessions: page.sessions.clone(),
            session: self.session.clone(),
            headers: self.head.headers.clone(),
            base: page.base.clone(),
            account: AccountKey::new(account).ok(),
        };
        match page.streams.open(watch) {
            Some(body) => reply::events(body),
            None => page.message(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many pages are open",
                &["This one is not updated by itself; reload it instead."],
            ),
        }
    }

    async fn act(&self, place: Place<'_>, fields: Vec<(String, String)>) -> Reply {
        match place {
            Place::Deed(key, Deed::Refresh) => self.refresh(key, &fields).await,
            Place::Deed(key, deed) => self.undo(key, deed).await,
            Place::NewOf(integration) => self.create(integration, &fields).await,
            Place::Try => {
                let of = |name| form::value(&fields, name).to_owned();
                let wanted = try_it::Wanted {
                    route: of("route"),
                    path: of("path"),
                    method: of("method"),
                };
                let site = &self.page.site;
                let result = try_it::send(site, &wanted).await;
                ok(try_it::page(site, self.frame("try"), wanted, Some(result)))
            }
            Place::SignOut => self.sign_out(),
            _ => self.page.lost(),
        }
    }
}

fn ok(page: String) -> Reply {
    reply::html(StatusCode::OK, page)
}
