//! What the paths mean.

use super::answer::Surface;
use http::Method;

/// The parts of a path that mean something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Live,
    Ready,
    Metrics,
    /// What the API is, for machines.
    Description,
    Accounts,
    Account(String),
    Refresh(String),
    Revoke(String),
    /// Begins an authorization.
    Connect(String),
    /// How an authorization stands: account, attempt.
    Attempt(String, String),
    /// A callback's address, brought by hand.
    Callback(String),
    /// An access token's value.
    Token(String),
    /// Makes a one-time link.
    Links,
    /// How the configuration stands.
    Config,
    Page(Page),
    Elsewhere,
}

/// Places for browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    Connect(String),
    Callback,
    /// Opens a session by the admin token.
    Session,
    /// Opens a session by a one-time link.
    Link(String),
    EndSession,
}

/// Reads a path, without the public address's prefix.
pub fn place(surface: Surface, path: &str) -> Place {
    match path {
        "/livez" => return Place::Live,
        "/readyz" => return Place::Ready,
        "/metrics" => return Place::Metrics,
        _ if surface == Surface::Probes => return Place::Elsewhere,
        "/oauth/callback" => return Place::Page(Page::Callback),
        "/session" => return Place::Page(Page::Session),
        "/session/end" => return Place::Page(Page::EndSession),
        "/api/openapi.json" => return Place::Description,
        "/api/accounts" => return Place::Accounts,
        "/api/links" => return Place::Links,
        "/api/config" => return Place::Config,
        _ => {}
    }
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Place::Elsewhere;
    }
    let text = |part: &str| part.to_owned();
    match parts[..] {
        ["connect", key] => Place::Page(Page::Connect(text(key))),
        ["session", link] => Place::Page(Page::Link(text(link))),
        ["api", "accounts", key] => Place::Account(text(key)),
        ["api", "accounts", key, "refresh"] => Place::Refresh(text(key)),
        ["api", "accounts", key, "revoke"] => Place::Revoke(text(key)),
        ["api", "accounts", key, "connect"] => Place::Connect(text(key)),
        ["api", "accounts", key, "connect", id] => Place::Attempt(text(key), text(id)),
        ["api", "accounts", key, "callback"] => Place::Callback(text(key)),
        ["api", "accounts", key, "token"] => Place::Token(text(key)),
        _ => Place::Elsewhere,
    }
}

/// The methods that do something there.
pub fn methods(place: &Place) -> &'static [Method] {
    const GET: &[Method] = &[Method::GET, Method::HEAD];
    const POST: &[Method] = &[Method::POST];
    const BOTH: &[Method] = &[Method::GET, Method::HEAD, Method::POST];
    match place {
        Place::Refresh(_)
        | Place::Revoke(_)
        | Place::Connect(_)
        | Place::Callback(_)
        | Place::Token(_)
        | Place::Links
        | Place::Page(Page::EndSession) => POST,
        Place::Accounts | Place::Page(Page::Connect(_) | Page::Session) => BOTH,
        Place::Account(_) => &[Method::GET, Method::HEAD, Method::DELETE],
        // A look at the head alone must not use up what is good once.
        Place::Page(Page::Callback | Page::Link(_)) => &[Method::GET],
        _ => GET,
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, Place, Surface, place};

    #[test]
    fn paths_lead_where_they_should() {
        let on_admin = |path| place(Surface::Admin, path);
        let a = || "a".to_owned();
        assert_eq!(on_admin("/livez"), Place::Live);
        assert_eq!(on_admin("/api/accounts"), Place::Accounts);
        assert_eq!(on_admin("/api/accounts/a"), Place::Account(a()));
        assert_eq!(on_admin("/api/accounts/a/refresh"), Place::Refresh(a()));
        let attempt = Place::Attempt(a(), "b".to_owned());
        assert_eq!(on_admin("/api/accounts/a/connect/b"), attempt);
        assert_eq!(on_admin("/connect/a"), Place::Page(Page::Connect(a())));
        for nowhere in [
            "//",
            "/livez/",
            "/api/accounts/",
            "/api/accounts//refresh",
            "/api/accounts/a/b",
            "/api/accounts/a/refresh/",
            "/API/accounts",
            "/connect/",
            "/connect/a/b",
        ] {
            assert_eq!(on_admin(nowhere), Place::Elsewhere, "{nowhere}");
        }
        assert_eq!(place(Surface::Probes, "/metrics"), Place::Metrics);
        for path in ["/api/accounts", "/oauth/callback", "/session"] {
            assert_eq!(place(Surface::Probes, path), Place::Elsewhere);
        }
    }
}
