//! What the fuzz targets reach of this module's inner parts.

use super::attach::strip_hop_by_hop;
use super::hop::Noted;
use super::path::Rewrite;
use super::route::{Found, Routes, WorkerRoute};
use super::upstream::{Pool, origin_of};
use crate::base::id::AccountKey;
use crate::config::checked::{Route, RouteMatch, Upstream, UpstreamScheme};
use crate::token::slot;
use http::{HeaderMap, HeaderValue, request};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use super::path::{has_dot_segment, without_pairs};

/// Which of the matchers a request takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// The one at this index, with what follows its prefix.
    Route(usize, String),
    MethodNotAllowed,
    Nothing,
}

/// Finds a request's route among `matchers`.
#[must_use]
pub fn find(matchers: Vec<RouteMatch>, host: &str, head: &request::Parts) -> Taken {
    let routes = matchers.into_iter().enumerate();
    let routes = Routes::new(routes.map(|(index, m)| route(index, m)).collect());
    match routes.find(host, head.uri.path(), head) {
        Found::Route(route) => {
            let index = routes.iter().position(|other| Rc::ptr_eq(other, route));
            Taken::Route(
                index.unwrap_or(usize::MAX),
                route.rest(head.uri.path()).to_owned(),
            )
        }
        Found::MethodNotAllowed => Taken::MethodNotAllowed,
        Found::Nothing => Taken::Nothing,
    }
}

/// The path for the upstream; `None` when it would not be one.
#[must_use]
pub fn join(upstream_path: &str, rest: &str) -> Option<String> {
    let rewrite = Rewrite {
        upstream_path,
        upstream_query: None,
        rest,
        query: None,
        attached: &[],
    };
    rewrite.build().map(|target| target.as_str().to_owned())
}

/// Takes out what ends at the caller's connection; false when the request is refused.
pub fn strip(headers: &mut HeaderMap) -> bool {
    let noted = Noted::in_fields(headers);
    strip_hop_by_hop(headers, noted).is_ok()
}

fn route(index: usize, matcher: RouteMatch) -> Rc<WorkerRoute> {
    let upstream = Upstream {
        scheme: UpstreamScheme::Http,
        host: "127.0.0.1".into(),
        port: 1,
        authority: "127.0.0.1:1".into(),
        path: "/".into(),
        query: None,
    };
    Rc::new(WorkerRoute {
        name: Arc::from(index.to_string()),
        pool: Rc::new(Pool::new(origin_of(&upstream), 0)),
        route: Arc::new(Route {
            name: index.to_string(),
            matcher,
            upstream,
            account: AccountKey::new("a").unwrap_or_else(|_| unreachable!("a letter")),
            timeout: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            replay_body_limit: 0,
            allow_plaintext: false,
            allow_origins: Vec::new(),
        }),
        authority: HeaderValue::from_static("127.0.0.1:1"),
        credential: slot().1.reader(),
        retry_on: Arc::from([]),
        labels: None,
        stats: Rc::default(),
    })
}
