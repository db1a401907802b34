//! The page: accounts and their states for people, and what they can press.
//! Everything works without its script, which only saves reloading.

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
mod site;
mod try_it;
mod when;

pub use frame::Frame;
pub use place::place;
pub use reply::Reply;
pub use site::Site;

use super::plain;
use super::session::{Session, Sessions};
use crate::base::clock::SystemClock;
use crate::base::id::AccountKey;
use crate::connect::Connector;
use crate::refresh::{AccountStatus, Handle};
use arc_swap::ArcSwap;
use assets::ASSETS;
use form::Fields;
use http::request::Parts;
use http::{Method, StatusCode};
use live::{Streams, Watch};
use place::{Deed, Place};
use std::sync::Arc;

/// What the pages are made of.
pub struct Pages {
    /// Another one after a reload.
    pub site: Arc<ArcSwap<Site>>,
    pub accounts: Handle,
    pub sessions: Arc<Sessions>,
    pub connector: Arc<Connector>,
    pub streams: Streams,
    /// The path of the public address, without a trailing slash.
    pub base: String,
}

/// A request by somebody who has a session.
struct Visit<'a> {
    page: &'a Pages,
    session: &'a Session,
    head: &'a Parts,
}

impl Pages {
    /// Answers a request that came from where it may.
    pub async fn answer(&self, place: Place<'_>, head: &Parts, body: &[u8]) -> Reply {
        if let Place::Asset(name) = place {
            return ASSETS.find(name).map_or_else(|| self.lost(), reply::asset);
        }
        let Some(session) = self.sessions.find(&head.headers) else {
            let page = plain::sign_in(&self.base, None, false);
            return reply::html(StatusCode::UNAUTHORIZED, page);
        };
        let visit = Visit {
            page: self,
            session: &session,
            head,
        };
        match head.method {
            Method::GET | Method::HEAD => {
                let query = head.uri.query().unwrap_or_default();
                visit.look(place, &form::parse(query.as_bytes()))
            }
            Method::POST => visit.press(place, &form::parse(body)).await,
            _ => self.message(
                StatusCode::METHOD_NOT_ALLOWED,
                "This method does nothing here",
                "Pages are fetched with GET, forms are sent with POST.",
            ),
        }
    }

    /// What the page knows of the configuration now.
    pub fn site(&self) -> Arc<Site> {
        self.site.load_full()
    }

    fn lost(&self) -> Reply {
        self.message(
            StatusCode::NOT_FOUND,
            "There is nothing here",
            "The account or page may have been removed, or the address has a mistake in it.",
        )
    }

    fn message(&self, status: StatusCode, title: &str, line: &str) -> Reply {
        let page = plain::notice(&self.base, title, &[line.to_owned()]);
        reply::html(status, page)
    }
}

impl Visit<'_> {
    fn frame(&self, here: &'static str) -> Frame {
        Frame::new(&self.page.base, Some(&self.session.csrf), here)
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
                ok(create::choose(&page.site(), &accounts, frame))
            }
            Place::NewOf(integration) => match page.site().integration(integration) {
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
                ok(try_it::page(&page.site(), self.frame("try"), wanted, None))
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
            &page.site(),
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
        let html = show::account(&page.site(), &page.accounts, frame, &account, now, notice);
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
                "This one is not updated by itself; reload it instead.",
            ),
        }
    }

    async fn press(&self, place: Place<'_>, fields: &Fields) -> Reply {
        if !self.session.is_own_form(form::value(fields, "csrf")) {
            return self.page.message(
                StatusCode::FORBIDDEN,
                "This form is too old",
                "It belongs to a session that has ended. Nothing was done: go back, reload, and \
                 press again.",
            );
        }
        match place {
            Place::Deed(key, Deed::Refresh) => self.refresh(key, fields).await,
            Place::Deed(key, deed) => self.undo(key, deed).await,
            Place::NewOf(integration) => self.create(integration, fields).await,
            Place::Try => {
                let of = |name| form::value(fields, name).to_owned();
                let wanted = try_it::Wanted {
                    route: of("route"),
                    path: of("path"),
                    method: of("method"),
                };
                let site = self.page.site();
                let result = try_it::send(&site, &wanted).await;
                ok(try_it::page(&site, self.frame("try"), wanted, Some(result)))
            }
            _ => self.page.lost(),
        }
    }
}

fn ok(page: String) -> Reply {
    reply::html(StatusCode::OK, page)
}
