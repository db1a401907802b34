//! Page sessions: opened by a one-time link or by the admin token, kept in
//! memory only, named by a cookie that scripts can't read. A page shows a
//! session's `csrf` text in its forms; a form that comes without it is refused.

use crate::base::crypto::{NoRandomness, random_text, sha256_text};
use crate::base::secret::Secret;
use http::header::{COOKIE, HeaderMap, HeaderValue};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Open sessions; the one that was opened first makes room for another.
const MOST_SESSIONS: usize = 64;
/// Links that were made and not used.
const MOST_LINKS: usize = 64;
/// How long a session lasts, used or not.
const SESSION_LIFE: Duration = Duration::from_hours(12);
/// How long a link can be used.
pub const LINK_LIFE: Duration = Duration::from_mins(30);

/// Every session and link of one admin listener.
pub struct Sessions {
    cookie: String,
    secure: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By the SHA-256 of the cookie's value: a lookup tells nothing of it.
    sessions: HashMap<String, Kept>,
    /// By the SHA-256 of the link's text.
    links: HashMap<String, Instant>,
}

struct Kept {
    opened: Instant,
    csrf: Secret,
}

/// An open session, as a request shows it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Names the session and opens nothing.
    pub id: String,
    /// What forms of this session carry in their field `csrf`.
    pub csrf: Secret,
}

impl Sessions {
    /// No session is open. The cookie is bound to the public address by its
    /// name: browsers send cookies to every port of a host.
    #[must_use]
    pub fn new(public_url: &str) -> Self {
        let mark: String = sha256_text(public_url).chars().take(8).collect();
        Self {
            cookie: format!("__sidekey-{mark}"),
            secure: public_url.starts_with("https://"),
            inner: Mutex::default(),
        }
    }

    /// The text of a link that opens one session, within [`LINK_LIFE`].
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn make_link(&self) -> Result<Secret, NoRandomness> {
        let text = random_text()?;
        let mut inner = self.lock();
        inner.links.retain(|_, made| made.elapsed() < LINK_LIFE);
        if inner.links.len() >= MOST_LINKS {
            let first = inner.links.iter().min_by_key(|(_, made)| **made);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                inner.links.remove(&first);
            }
        }
        inner
            .links
            .insert(sha256_text(text.expose()), Instant::now());
        Ok(text)
    }

    /// True for the text of a link, once.
    pub fn use_link(&self, text: &str) -> bool {
        let made = self.lock().links.remove(&sha256_text(text));
        made.is_some_and(|made| made.elapsed() < LINK_LIFE)
    }

    /// Opens a session; gives the `Set-Cookie` that its browser keeps.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn open(&self) -> Result<HeaderValue, NoRandomness> {
        let (value, csrf) = (random_text()?, random_text()?);
        let mut inner = self.lock();
        inner.forget_old();
        let opened = Instant::now();
        let kept = Kept { opened, csrf };
        inner.sessions.insert(sha256_text(value.expose()), kept);
        drop(inner);
        self.set_cookie(value.expose(), SESSION_LIFE)
    }

    /// The session that a request belongs to.
    #[must_use]
    pub fn find(&self, headers: &HeaderMap) -> Option<Session> {
        let inner = self.lock();
        self.cookie_values(headers).find_map(|value| {
            let id = sha256_text(value);
            let kept = inner.sessions.get(&id)?;
            let csrf = kept.csrf.clone();
            (kept.opened.elapsed() < SESSION_LIFE).then_some(Session { id, csrf })
        })
    }

    /// Ends all of them, and every link that was made.
    pub fn end_all(&self) {
        let mut inner = self.lock();
        inner.sessions.clear();
        inner.links.clear();
    }

    /// Ends a session; gives the `Set-Cookie` that makes its browser forget it.
    ///
    /// # Errors
    /// Never in fact; as [`Sessions::open`].
    pub fn close(&self, session: &Session) -> Result<HeaderValue, NoRandomness> {
        self.lock().sessions.remove(&session.id);
        self.set_cookie("", Duration::ZERO)
    }

    /// RFC 6265, 4.1. `Lax`: the browser comes back from the authorization
    /// server by a link, and must bring its session.
    fn set_cookie(&self, value: &str, life: Duration) -> Result<HeaderValue, NoRandomness> {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}",
            self.cookie,
            life.as_secs()
        );
        let mut header = HeaderValue::from_str(&text).map_err(|_| NoRandomness)?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn cookie_values<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let fields = headers.get_all(COOKIE).into_iter();
        let pairs = fields.filter_map(|field| field.to_str().ok());
        let pairs = pairs.flat_map(|field| field.split(';'));
        pairs.filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.cookie).then_some(value)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No change below can panic half-way: what a poisoned lock holds is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// True for the text that this session's forms carry.
    #[must_use]
    pub fn is_own_form(&self, csrf: &str) -> bool {
        // Compared in constant time.
        self.csrf == Secret::new(csrf.to_owned())
    }
}

impl Inner {
    fn forget_old(&mut self) {
        self.sessions
            .retain(|_, kept| kept.opened.elapsed() < SESSION_LIFE);
        if self.sessions.len() >= MOST_SESSIONS {
            let first = self.sessions.iter().min_by_key(|(_, kept)| kept.opened);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.sessions.remove(&first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_SESSIONS, Sessions};
    use http::header::{COOKIE, HeaderMap, HeaderValue};

    fn sent_back(set_cookie: &HeaderValue) -> HeaderMap {
        let text = set_cookie.to_str().unwrap();
        let pair = text.split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        let field = format!("theirs=1; {pair}; a=b");
        headers.insert(COOKIE, field.parse().unwrap());
        headers
    }

    #[test]
    fn a_link_opens_one_session() {
        let sessions = Sessions::new("http://127.0.0.1:7481");
        let link = sessions.make_link().unwrap();
        assert!(!sessions.use_link("guessed"));
        assert!(sessions.use_link(link.expose()));
        assert!(!sessions.use_link(link.expose()));
    }

    #[test]
    fn a_session_is_known_by_its_cookie_until_it_is_closed() {
        let sessions = Sessions::new("https://tokens.example.com/us");
        let cookie = sessions.open().unwrap();
        let text = cookie.to_str().unwrap();
        assert!(text.len() < 256, "{text}");
        for part in ["__sidekey-", "HttpOnly", "SameSite=Lax", "Path=/", "Secure"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let headers = sent_back(&cookie);
        let session = sessions.find(&headers).unwrap();
        assert!(session.is_own_form(session.csrf.expose()));
        assert!(!session.is_own_form(""));
        let other = Sessions::new("https://tokens.example.com/eu");
        assert!(other.find(&headers).is_none());
        sessions.close(&session).unwrap();
        assert!(sessions.find(&headers).is_none());
    }

    #[test]
    fn there_are_never_too_many() {
        let sessions = Sessions::new("http://127.0.0.1:7481");
        let first = sessions.open().unwrap();
        assert!(!first.to_str().unwrap().contains("Secure"));
        for _ in 0..MOST_SESSIONS {
            sessions.open().unwrap();
        }
        assert!(sessions.find(&sent_back(&first)).is_none());
        for _ in 0..1_000 {
            sessions.make_link().unwrap();
        }
        assert!(sessions.lock().links.len() <= super::MOST_LINKS);
    }
}
