//! What the fuzz targets reach of this module's inner parts.

use super::attach::strip_hop_by_hop;
use super::hop::Noted;
use super::path::Rewrite;
use super::rewrite::Rewriter;
use super::route::{Found, Routes};
use super::sample::route;
use super::set_cookie;
use crate::config::checked::{PathMatch, RouteMatch};
use http::{HeaderMap, HeaderValue, request};
use std::rc::Rc;

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
    let routes = Routes::new(
        routes
            .map(|(index, m)| route(&index.to_string(), m))
            .collect(),
    );
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

/// A value that a route rewrites: in a field of addresses, and in each other way.
#[must_use]
pub fn rewritten(value: &[u8]) -> [Option<Vec<u8>>; 4] {
    let matcher = RouteMatch {
        host: None,
        path: PathMatch::Prefix("/crm".to_owned()),
        methods: Vec::new(),
        headers: Vec::new(),
    };
    let route = route("fuzzed", matcher);
    let host = HeaderValue::from_static("localhost:7480");
    let rewriter = Rewriter::new(&route.route, "http", &host, "/crm");
    [
        rewriter.address(value),
        rewriter.refresh(value),
        rewriter.links(value),
        set_cookie::local(&rewriter, value),
    ]
}

/// Takes out what ends at the caller's connection; false when the request is refused.
pub fn strip(headers: &mut HeaderMap) -> bool {
    let noted = Noted::in_fields(headers);
    strip_hop_by_hop(headers, noted).is_ok()
}
