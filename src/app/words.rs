//! Routes and accounts in plain words, as `run` tells them.

use crate::base::clock::Wall;
use crate::config::checked::callers::Speaks;
use crate::config::checked::{HostMatch, PathMatch, Route, RouteMatch};
use crate::refresh::{AccountState, AccountStatus};
use std::time::Duration;

/// `/crm/ → https://dev.example.com/api/ as crmDev`
pub fn route(route: &Route) -> String {
    let upstreams = route.upstreams().map(|upstream| {
        let scheme = upstream.scheme.as_str();
        format!("{scheme}://{}{}", upstream.authority, upstream.path)
    });
    let upstreams: Vec<_> = upstreams.collect();
    let account = match &route.speaks {
        Speaks::One => route.account.to_string(),
        Speaks::TheCallers => "each caller's own account".to_owned(),
        Speaks::For { caller, .. } => format!("{} for {caller}", route.account),
    };
    format!(
        "{} → {} as {account}",
        matcher(&route.matcher),
        upstreams.join(", ")
    )
}

fn matcher(matcher: &RouteMatch) -> String {
    let mut text = String::new();
    for method in &matcher.methods {
        text.push_str(method.as_str());
        text.push(' ');
    }
    match &matcher.host {
        Some(HostMatch::Exact(host)) => text.push_str(host),
        Some(HostMatch::Suffix(suffix)) => {
            text.push('*');
            text.push_str(suffix);
        }
        None => {}
    }
    match &matcher.path {
        PathMatch::Prefix(prefix) => {
            text.push_str(prefix);
            text.push('/');
        }
        PathMatch::Exact(path) => {
            text.push_str(path);
            text.push_str(" exactly");
        }
    }
    for (name, value) in &matcher.headers {
        text.push_str(&format!(" with {name}: {value}"));
    }
    text
}

/// `crmDev is connected, with a token for another 29 min`
pub fn account(account: &AccountStatus, now: Wall) -> String {
    let key = &account.key;
    let because = match &account.last_error {
        Some(error) => format!(": {}", error.what),
        None => String::new(),
    };
    match account.state {
        AccountState::Connected => match account.expires_at {
            Some(at) => format!(
                "{key} is connected, with a token for another {}",
                span(at.since(now))
            ),
            None => format!("{key} is connected"),
        },
        AccountState::Waiting => format!("{key} has no token yet{because}"),
        AccountState::NotConnected => format!("{key} has to be connected by a person"),
        AccountState::ReconnectRequired => {
            format!("{key} has to be connected again by a person{because}")
        }
        AccountState::Misconfigured => {
            format!("{key} is refused by its authorization server{because}")
        }
    }
}

/// A length of time in its two largest units.
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::{account, route, span};
    use crate::base::clock::Wall;
    use crate::base::id::AccountKey;
    use crate::config::checked::callers::Speaks;
    use crate::config::checked::streams::Streams;
    use crate::config::checked::upstream::Reach;
    use crate::config::checked::{
        HostMatch, PathMatch, Route, RouteMatch, Upstream, UpstreamScheme,
    };
    use crate::refresh::{AccountState, AccountStatus, LastError};
    use std::time::Duration;

    fn some_route(matcher: RouteMatch) -> Route {
        Route {
            name: "crm".into(),
            matcher,
            upstream: Upstream {
                scheme: UpstreamScheme::Https,
                host: "dev.example.com".into(),
                port: 443,
                authority: "dev.example.com".into(),
                path: "/api/".into(),
                query: None,
            },
            reach: Reach::default(),
            account: AccountKey::new("crmDev").unwrap(),
            timeout: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            replay_body_limit: 0,
            allow_plaintext: false,
            keep_header_case: false,
            http2: true,
            allow_origins: Vec::new(),
            max_body: None,
            callers: None,
            speaks: Speaks::One,
            edits: None,
            streams: Streams::default(),
        }
    }

    #[test]
    fn a_route_says_where_it_leads_and_who_speaks_for_it() {
        let plain = some_route(RouteMatch {
            host: None,
            path: PathMatch::Prefix("/crm".into()),
            methods: Vec::new(),
            headers: Vec::new(),
        });
        assert_eq!(
            route(&plain),
            "/crm/ → https://dev.example.com/api/ as crmDev"
        );
        let full = some_route(RouteMatch {
            host: Some(HostMatch::Suffix(".internal".into())),
            path: PathMatch::Exact("/v1/report".into()),
            methods: vec![http::Method::GET],
            headers: vec![(http::HeaderName::from_static("x-team"), "blue".into())],
        });
        assert_eq!(
            route(&full),
            "GET *.internal/v1/report exactly with x-team: blue → https://dev.example.com/api/ as crmDev"
        );
    }

    #[test]
    fn an_account_says_what_it_has_or_what_it_lacks() {
        let at = |seconds| Wall::new(Duration::from_secs(seconds));
        let mut status = AccountStatus {
            key: AccountKey::new("crmDev").unwrap(),
            integration: "crm".into(),
            parameters: Vec::new(),
            state: AccountState::Connected,
            scope: None,
            expires_at: Some(at(1_000)),
            refreshed_at: None,
            generation: 1,
            has_refresh_token: false,
            reconnect_at_expiry: false,
            last_error: None,
            last_attempt: None,
            next_attempt: None,
            first_attempt_ended: true,
            short_life: false,
        };
        assert_eq!(
            account(&status, at(910)),
            "crmDev is connected, with a token for another 1 min 30 s"
        );
        status.state = AccountState::Misconfigured;
        status.last_error = Some(LastError {
            at: at(0),
            what: "invalid_client".into(),
        });
        assert_eq!(
            account(&status, at(0)),
            "crmDev is refused by its authorization server: invalid_client"
        );
    }

    #[test]
    fn spans_show_two_units() {
        let of = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([of(59), of(61)], ["59 s", "1 min 1 s"]);
        assert_eq!([of(3_700), of(90_000)], ["1 h 1 min", "1 d 1 h"]);
    }
}
