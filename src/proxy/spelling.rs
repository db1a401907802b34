//! Names of fields as either side has spelt them, from HTTP/1.1 to HTTP/1.1: they
//! mean the same in any case of letters (RFC 9110, 5.1), and not everybody knows.
//!
//! The spelling is noted beside a message, in a type of its own that travels in the
//! message's extensions ([`Spelled`](super::http1::spelled::Spelled)). Whatever has no
//! spelling there begins each of its words with a capital.

use super::route::WorkerRoute;
use http::{Extensions, Request, request};
use hyper::client;

/// How upstreams are written to, and heard.
pub fn to_upstreams(builder: &mut client::conn::http1::Builder, route: &WorkerRoute) {
    if route.route.keep_header_case {
        builder.preserve_header_case(true).title_case_headers(true);
    }
}

/// How the caller has spelt the names in its request, where that is kept.
pub struct Spelling(Option<Box<Extensions>>);

impl Spelling {
    #[must_use]
    pub fn of(head: &mut request::Parts, route: &WorkerRoute) -> Self {
        let kept = route.route.keep_header_case;
        Self(kept.then(|| Box::new(std::mem::take(&mut head.extensions))))
    }

    /// Spells the names of a request in the same way, at every sending.
    pub fn put<B>(&self, request: &mut Request<B>) {
        if let Some(kept) = &self.0 {
            request.extensions_mut().extend((**kept).clone());
        }
    }
}
