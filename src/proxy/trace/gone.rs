//! The spans of a request that nobody has waited for: its caller has hung up, or
//! sidekey has closed the connection under it.

use super::{About, Ended, Trace, Tracer, method_and_name, scheme, text, url_without_query};
use crate::config::checked::Route;
use crate::proxy::connection::Connection;
use crate::proxy::route::WorkerRoute;
use crate::proxy::worker::Worker;
use crate::telemetry::otlp::{Kind, Span, Value};
use http::{Method, Uri, Version, request};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The caller has gone before there was an answer.
const CALLER_GONE: &str = "caller_gone";
/// sidekey has closed the connection: at the drain's limit, most often.
const CLOSED: &str = "closed";

/// What is needed of a request to tell of it once it is gone.
pub(super) struct Pending {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    method: Method,
    uri: Uri,
    version: Version,
    pub route: Option<Rc<WorkerRoute>>,
    /// A sending is under way, which began then, to this address of the route's.
    pub sending: Option<(Instant, Arc<Route>)>,
}

impl Pending {
    #[must_use]
    pub fn new(worker: &Rc<Worker>, connection: &Rc<Connection>, head: &request::Parts) -> Self {
        Self {
            worker: worker.clone(),
            connection: connection.clone(),
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            route: None,
            sending: None,
        }
    }
}

/// A trace that has [ended](Trace::end) has nothing recorded any more.
impl Drop for Trace {
    fn drop(&mut self) {
        let Some(pending) = self.recorded.as_mut().and_then(|r| r.pending.take()) else {
            return;
        };
        let Some(tracer) = &pending.worker.tracer else {
            return;
        };
        let at = Instant::now();
        let error = match pending.connection.is_being_closed() {
            true => CLOSED,
            false => CALLER_GONE,
        };
        let by_sending = self.sending_gone(tracer, &pending, (at, error));
        let ended = Ended {
            about: About {
                method: &pending.method,
                uri: &pending.uri,
                version: pending.version,
            },
            scheme: pending.connection.scheme(),
            peer: pending.connection.peer.address(),
            route: pending.route.as_deref(),
            status: None,
            error: Some(error),
            at,
        };
        if self.end(tracer, &ended) | by_sending {
            pending.worker.deadlines.wake();
        }
    }
}

impl Trace {
    /// The upstream has seen the id of this span: others may be below it.
    fn sending_gone(
        &self,
        tracer: &Tracer,
        pending: &Pending,
        (at, error): (Instant, &str),
    ) -> bool {
        let (Some(recorded), Some((began, address)), Some(route)) =
            (&self.recorded, &pending.sending, &pending.route)
        else {
            return false;
        };
        let upstream = &address.upstream;
        let url = url_without_query(upstream, route.rest(pending.uri.path()));
        let (method, name) = method_and_name(&pending.method);
        let attributes = [
            method,
            ("url.full", Value::Text(&url)),
            ("url.scheme", Value::Text(scheme(upstream.scheme))),
            ("server.address", Value::Text(&upstream.host)),
            ("server.port", Value::Number(upstream.port.into())),
            ("error.type", Value::Text(error)),
        ];
        tracer.writer.borrow_mut().record(&Span {
            trace: self.context.trace,
            id: recorded.sending,
            parent: Some(self.context.span),
            remote_parent: false,
            flags: self.context.flags.bits(),
            state: text(recorded.state.as_ref()),
            kind: Kind::Client,
            name: (name, None),
            start: recorded.time(*began),
            end: recorded.time(at),
            attributes: &attributes,
            events: &[],
            failed: true,
        })
    }
}
