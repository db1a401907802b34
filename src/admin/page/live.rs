//! The event stream: sends a part of the page anew when it has changed.

use super::parts::Maker;
use super::site::Site;
use crate::admin::body::ReplyBody;
use crate::admin::session::{Session, Sessions};
use crate::base::clock::SystemClock;
use crate::base::id::AccountKey;
use crate::refresh::Handle;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderMap;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, interval};

/// Streams at once; more are told to come back.
const STREAMS: usize = 32;
/// How often there is a look at what has changed.
const LOOK: Duration = Duration::from_millis(500);
/// Something is sent at least this often, so that a dead connection is noticed.
const PULSE: Duration = Duration::from_secs(15);
/// After which a browser is left to connect anew.
const LIFE: Duration = Duration::from_mins(9);

/// The streams of one admin listener.
pub struct Streams(Arc<Semaphore>);

/// What a stream watches.
pub struct Watch {
    pub site: Arc<ArcSwap<Site>>,
    pub accounts: Handle,
    pub sessions: Arc<Sessions>,
    pub session: Session,
    /// The request's, by which the session is found again.
    pub headers: HeaderMap,
    pub base: String,
    /// One account, or all.
    pub account: Option<AccountKey>,
}

/// What each part looked like when it was last sent.
#[derive(Default)]
struct Sent {
    parts: HashMap<String, u64>,
    keys: Option<u64>,
}

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

impl Streams {
    /// A stream, unless there are too many.
    pub fn open(&self, watch: Watch) -> Option<ReplyBody> {
        let place = self.0.clone().try_acquire_owned().ok()?;
        let (sender, bits) = mpsc::channel(4);
        tokio::spawn(watch.tell(sender, place));
        Some(ReplyBody::Told(bits))
    }
}

impl Watch {
    async fn tell(self, to: mpsc::Sender<Bytes>, _place: OwnedSemaphorePermit) {
        let end = Instant::now() + LIFE;
        let mut sent = Sent::default();
        let mut looks = interval(LOOK);
        // What the page shows already is not sent again.
        let _ = self.news(&mut sent);
        let mut text = ": hello\n\n".to_owned();
        let mut told = Instant::now();
        while Instant::now() < end && self.sessions.find(&self.headers).is_some() {
            if !text.is_empty() {
                told = Instant::now();
                if to.send(Bytes::from(text)).await.is_err() {
                    return;
                }
            }
            looks.tick().await;
            text = self.news(&mut sent);
            if to.is_closed() {
                return;
            }
            if text.is_empty() && told.elapsed() >= PULSE {
                text.push_str(":\n\n");
            }
        }
    }

    /// The events for what has changed since the last call.
    fn news(&self, sent: &mut Sent) -> String {
        let now = SystemClock::wall();
        let site = self.site.load_full();
        let maker = Maker {
            site: &site,
            base: &self.base,
            csrf: self.session.csrf.expose(),
            now,
        };
        let all = self.accounts.accounts();
        let shown: Vec<_> = all
            .iter()
            .filter(|account| self.account.as_ref().is_none_or(|key| account.key == *key))
            .collect();
        let keys = hash(&shown.iter().map(|a| a.key.as_str()).collect::<Vec<_>>());
        if sent.keys.replace(keys).is_some_and(|old| old != keys) {
            return "event: reload\ndata: {}\n\n".to_owned();
        }
        let mut text = String::new();
        for account in &shown {
            let id = format!("account-{}", account.key);
            if sent.is_new(&id, hash(&format!("{account:?}"))) {
                text.push_str(&event(&id, &maker.row(account), false));
            }
        }
        let states: Vec<_> = all.iter().map(|account| account.state.as_str()).collect();
        let failed = site.reloads.standing().failure().is_some();
        if sent.is_new("summary", hash(&(states, failed))) {
            text.push_str(&event("summary", &maker.summary(&all), true));
        }
        // The chart also moves with the half-hours.
        let activity = (self.accounts.history().count(), now.unix_seconds() / 1_800);
        if sent.is_new("activity", hash(&activity)) {
            let html = maker.activity(&self.accounts, self.account.as_ref());
            text.push_str(&event("activity", &html, true));
        }
        text
    }
}

impl Sent {
    /// Remembers the part's new look; true where it is another one.
    fn is_new(&mut self, id: &str, look: u64) -> bool {
        self.parts.insert(id.to_owned(), look) != Some(look)
    }
}

fn event(id: &str, html: &str, inside: bool) -> String {
    let data = serde_json::json!({"id": id, "html": html, "inside": inside});
    format!("event: part\ndata: {data}\n\n")
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
