//! The page's addresses.

/// The parts of a path that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    Overview,
    Account(&'a str),
    /// What is done to an account, or asked about before it.
    Deed(&'a str, Deed),
    New,
    NewOf(&'a str),
    Try,
    Events,
    Asset(&'a str),
}

/// What can be done to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Refresh,
    Revoke,
    Disconnect,
}

/// Where a path leads, if to the page at all.
pub fn place(path: &str) -> Option<Place<'_>> {
    let place = match path {
        "/" => Place::Overview,
        "/new" => Place::New,
        "/try" => Place::Try,
        "/events" => Place::Events,
        _ => return below(path),
    };
    Some(place)
}

fn below(path: &str) -> Option<Place<'_>> {
    let (top, rest) = path.strip_prefix('/')?.split_once('/')?;
    match (top, rest.split_once('/')) {
        (_, None) if rest.is_empty() => None,
        ("accounts", None) => Some(Place::Account(rest)),
        ("accounts", Some((key, deed))) => Some(Place::Deed(key, Deed::of(deed)?)),
        ("new", None) => Some(Place::NewOf(rest)),
        ("assets", None) => Some(Place::Asset(rest)),
        _ => None,
    }
}

impl Deed {
    fn of(word: &str) -> Option<Self> {
        match word {
            "refresh" => Some(Self::Refresh),
            "revoke" => Some(Self::Revoke),
            "disconnect" => Some(Self::Disconnect),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Deed, Place, place};

    #[test]
    fn paths_lead_where_they_should() {
        assert_eq!(place("/"), Some(Place::Overview));
        assert_eq!(place("/accounts/a"), Some(Place::Account("a")));
        let deed = Some(Place::Deed("a", Deed::Revoke));
        assert_eq!(place("/accounts/a/revoke"), deed);
        assert_eq!(place("/new/crm"), Some(Place::NewOf("crm")));
        assert_eq!(place("/assets/x.css"), Some(Place::Asset("x.css")));
        for nowhere in [
            "",
            "x",
            "/accounts",
            "/accounts/",
            "/accounts/a/",
            "/accounts/a/x",
            "/new/",
            "/new/a/b",
            "/api/accounts",
            "/connect/a",
        ] {
            assert_eq!(place(nowhere), None, "{nowhere}");
        }
    }
}
