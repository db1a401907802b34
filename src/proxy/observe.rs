//! What is noted of a request: counters, histograms, the access log.

use super::attach::Outbound;
use super::body::Answer;
use super::connection::Connection;
use super::onward::Onward;
use super::received::Received;
use super::refusal::Refusal;
use super::route::WorkerRoute;
use super::trace::{About, Ended, Trace};
use super::tunnel::Told;
use super::upstream::Answered;
use super::worker::Worker;
use crate::net::awake;
use crate::telemetry::access::Entry;
use crate::telemetry::requests::ReplayOutcome;
use http::{Response, request};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One request, as it goes along. The clock is read three times for an
/// ordinary one: when its head is here, when it is sent, when the answer is here.
pub struct Seen {
    started: Instant,
    route: Option<Rc<WorkerRoute>>,
    error: Option<&'static str>,
    upstream: Option<Duration>,
    /// When the last thing ended that this request waited for.
    ended: Option<Instant>,
    token_wait: Option<Duration>,
    /// Who calls, where the route asks.
    pub caller: Option<Arc<str>>,
    pub replayed: bool,
    /// Where traces are configured; rare, so kept elsewhere.
    trace: Option<Box<Trace>>,
    /// What begins when the answer is written; the log has its line at the end.
    pub tunnel: Option<Box<Onward>>,
}

impl Seen {
    /// Reads the clock for the first time.
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            route: None,
            error: None,
            upstream: None,
            ended: None,
            token_wait: None,
            caller: None,
            replayed: false,
            trace: None,
            tunnel: None,
        }
    }

    /// Takes up the request's trace, where traces are configured.
    pub fn traced(
        &mut self,
        worker: &Rc<Worker>,
        connection: &Rc<Connection>,
        head: &mut request::Parts,
    ) {
        if let Some(tracer) = &worker.tracer {
            self.trace = Some(tracer.begin((worker, connection), head, self.started));
        }
    }

    /// The request is sent: under a span of its own.
    pub fn sending(
        &mut self,
        worker: &Worker,
        (route, outbound): (&WorkerRoute, &mut Outbound<'_>),
        at: Instant,
    ) {
        if let (Some(trace), Some(tracer)) = (&mut self.trace, &worker.tracer) {
            outbound.traceparent = trace.sending(tracer, route, at).map(Box::new);
        }
    }

    /// That sending is over.
    pub fn sent(
        &mut self,
        worker: &Worker,
        of: (&WorkerRoute, &Outbound<'_>),
        at: Instant,
        answered: &Result<Answered, Refusal>,
    ) {
        let took = self.upstream_ended(at);
        if let Ok(answered) = answered
            && matches!(answered.response.body(), Received::Http1(_))
        {
            awake::took(took);
        }
        if let (Some(trace), Some(tracer), Some(ended)) =
            (&mut self.trace, &worker.tracer, self.ended)
            && trace.sent(tracer, of, (at, ended), answered)
        {
            worker.deadlines.wake();
        }
    }

    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    pub fn route(&mut self, route: &Rc<WorkerRoute>) {
        self.route = Some(route.clone());
        if let Some(trace) = &mut self.trace {
            trace.routed(route);
        }
    }

    /// A sending that began at `at` has been answered or has failed.
    fn upstream_ended(&mut self, at: Instant) -> Duration {
        let now = Instant::now();
        let took = now.saturating_duration_since(at);
        *self.upstream.get_or_insert_default() += took;
        self.ended = Some(now);
        took
    }

    /// The request waits for something else than the upstream.
    pub fn waits(&mut self) {
        self.ended = None;
        if let Some(trace) = &mut self.trace {
            trace.rejected();
        }
    }

    pub fn waited_for_token(&mut self, wait: Duration) {
        if let Some(trace) = &mut self.trace {
            trace.waited(wait);
        }
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
    pub fn answered(
        &mut self,
        worker: &Worker,
        connection: &Connection,
        head: &request::Parts,
        response: &Response<Answer>,
    ) {
        let ended = self.ended.unwrap_or_else(Instant::now);
        let duration = ended.saturating_duration_since(self.started);
        let status = response.status().as_u16();
        if let Some(error) = self.error {
            worker.tally.refused(error);
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
            None => worker.tally.unrouted(status, duration),
        }
        if let (Some(trace), Some(tracer)) = (&mut self.trace, &worker.tracer) {
            let ended = Ended {
                about: About::of(head),
                scheme: connection.scheme(),
                peer: connection.peer.address(),
                route: self.route.as_deref(),
                status: Some(response.status()),
                error: self.error,
                at: ended,
            };
            if trace.end(tracer, &ended) {
                worker.deadlines.wake();
            }
        }
        let trace = self.trace.as_ref().map(|trace| trace.id());
        if let Some(mut tunnel) = self.tunnel.take() {
            tunnel.tell(Told {
                path: head.uri.path().into(),
                started: self.started,
                upstream: self.upstream,
                replayed: self.replayed,
                caller: self.caller.take(),
                trace,
            });
            return connection.hand_over(tunnel);
        }
        worker.log_access(&Entry {
            client: connection.peer.as_str(),
            method: head.method.as_str(),
            path: head.uri.path(),
            caller: self.caller.as_deref(),
            labels: self.route.as_ref().and_then(|route| route.labels.as_ref()),
            status,
            error: self.error,
            duration,
            upstream: self.upstream,
            replayed: self.replayed,
            trace,
            tunnelled: None,
        });
    }
}
