//! What is noted of a request: counters, histograms, the access log.

use super::accept::Connection;
use super::body::Answer;
use super::refusal::Refusal;
use super::route::WorkerRoute;
use super::worker::Worker;
use crate::telemetry::access::Entry;
use crate::telemetry::requests::ReplayOutcome;
use http::{Method, Response, Uri, request};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One request, as it goes along.
pub struct Seen {
    started: Instant,
    client: IpAddr,
    /// For the access log; `None` when there is none.
    line: Option<(Method, Uri)>,
    route: Option<Rc<WorkerRoute>>,
    error: Option<&'static str>,
    upstream: Option<Duration>,
    token_wait: Option<Duration>,
    pub replayed: bool,
}

impl Seen {
    /// Reads the clock for the first time.
    #[must_use]
    pub fn start(worker: &Worker, connection: &Connection, head: &request::Parts) -> Self {
        Self {
            started: Instant::now(),
            client: connection.peer,
            line: worker
                .has_access_log()
                .then(|| (head.method.clone(), head.uri.clone())),
            route: None,
            error: None,
            upstream: None,
            token_wait: None,
            replayed: false,
        }
    }

    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    pub fn route(&mut self, route: &Rc<WorkerRoute>) {
        self.route = Some(route.clone());
    }

    /// A sending begins; give the moment back to [`Seen::upstream_ended`].
    #[must_use]
    pub fn upstream_starts(&self) -> Instant {
        Instant::now()
    }

    pub fn upstream_ended(&mut self, at: Instant) {
        *self.upstream.get_or_insert_default() += at.elapsed();
    }

    pub fn waited_for_token(&mut self, wait: Duration) {
        *self.token_wait.get_or_insert_default() += wait;
    }

    pub fn replay(&self, outcome: ReplayOutcome) {
        if let Some(route) = &self.route {
            route.stats.borrow_mut().replay(outcome);
        }
    }

    /// Turns a refusal into its answer.
    pub fn refused(&mut self, refusal: Refusal) -> Response<Answer> {
        self.error = Some(refusal.code.as_str());
        refusal.into_response()
    }

    /// The answer's head is on its way.
    pub fn answered(self, worker: &Worker, response: &Response<Answer>) {
        let duration = self.started.elapsed();
        let status = response.status().as_u16();
        if let Some(error) = self.error {
            worker.count_refused(error);
        }
        match &self.route {
            Some(route) => {
                let mut stats = route.stats.borrow_mut();
                stats.answered(status);
                stats.duration.observe(duration);
                let mut others = Duration::ZERO;
                if let Some(upstream) = self.upstream {
                    stats.upstream.observe(upstream);
                    others += upstream;
                }
                if let Some(wait) = self.token_wait {
                    stats.token_wait.observe(wait);
                    others += wait;
                }
                stats.overhead.observe(duration.saturating_sub(others));
            }
            None => worker.count_unrouted(status, duration),
        }
        self.log(worker, status, duration);
    }

    fn log(&self, worker: &Worker, status: u16, duration: Duration) {
        let Some((method, uri)) = &self.line else {
            return;
        };
        worker.log_access(&Entry {
            client: Some(self.client),
            method: method.as_str(),
            path: uri.path(),
            route: self.route.as_ref().map(|route| &*route.name),
            account: self
                .route
                .as_ref()
                .map(|route| route.route.account.as_str()),
            status,
            error: self.error,
            duration,
            upstream: self.upstream,
            replayed: self.replayed,
        });
    }
}
