//! Traces: whose trace a request belongs to (W3C Trace Context), and the spans
//! that are recorded of it, by OpenTelemetry's conventions for HTTP.

mod gone;

use super::attach::Outbound;
use super::connection::Connection;
use super::refusal::Refusal;
use super::route::WorkerRoute;
use super::upstream::Answered;
use super::worker::Worker;
use crate::config::checked::{PathMatch, Upstream, UpstreamScheme};
use crate::telemetry::context::{Context, Flags, Ratio, SpanId, TraceId};
use crate::telemetry::otlp::{Attribute, Event, Kind, Span, Value};
use crate::telemetry::spans::{SpanWriter, Tracing};
use gone::Pending;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::uri::Authority;
use http::{Method, StatusCode, Uri, Version, request};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of a `User-Agent` that are kept.
const LONGEST_AGENT: usize = 256;

/// A worker's traces.
pub struct Tracer {
    ratio: Ratio,
    random: RefCell<fastrand::Rng>,
    writer: RefCell<SpanWriter>,
}

/// One request's part of its trace.
pub struct Trace {
    /// With the id of our own span.
    context: Context,
    /// The caller's span.
    parent: Option<SpanId>,
    recorded: Option<Recorded>,
}

/// What is kept of a request until its spans are written.
struct Recorded {
    started: Instant,
    /// The wall clock then, in nanoseconds since 1970.
    wall: u64,
    host: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    state: Option<HeaderValue>,
    /// How often it has been sent to the upstream so far.
    sendings: u64,
    /// The span of the last sending.
    sending: SpanId,
    events: Vec<Event>,
    rejected: Option<Instant>,
    /// Until it has ended.
    pending: Option<Pending>,
}

/// How a request ended, for its span.
pub struct Ended<'a> {
    pub about: About<'a>,
    /// Of the listener.
    pub scheme: &'static str,
    /// The caller's address.
    pub peer: &'a str,
    pub route: Option<&'a WorkerRoute>,
    /// `None`: there was nobody to answer to.
    pub status: Option<StatusCode>,
    /// `Sidekey-Error` of an answer that the proxy itself made; why there was none.
    pub error: Option<&'static str>,
    pub at: Instant,
}

/// What a request's line says.
pub struct About<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub version: Version,
}

impl<'a> About<'a> {
    #[must_use]
    pub fn of(head: &'a request::Parts) -> Self {
        Self {
            method: &head.method,
            uri: &head.uri,
            version: head.version,
        }
    }
}

impl Tracer {
    /// Of one worker.
    #[must_use]
    pub fn new(tracing: &Tracing) -> Self {
        Self {
            ratio: tracing.ratio,
            random: RefCell::new(fastrand::Rng::new()),
            writer: RefCell::new(tracing.spans.writer()),
        }
    }

    /// A request has come: goes on with its trace, or begins one. The caller's
    /// `traceparent` is taken away, for the upstream gets one of ours; so is a
    /// `tracestate` that belongs to no valid one.
    #[must_use]
    pub fn begin(
        &self,
        (worker, connection): (&Rc<Worker>, &Rc<Connection>),
        head: &mut request::Parts,
        started: Instant,
    ) -> Box<Trace> {
        let caller = callers_context(&head.headers);
        head.headers.remove(&TRACEPARENT);
        if caller.is_none() {
            head.headers.remove(&TRACESTATE);
        }
        let trace = caller.map_or_else(|| self.trace_id(), |caller| caller.trace);
        let flags = caller.map_or(Flags::default(), |caller| caller.flags);
        let sampled = flags.sampled() || self.ratio.records(trace);
        let span = self.span_id();
        Box::new(Trace {
            context: Context {
                trace,
                span,
                flags: flags.with_sampled(sampled),
            },
            parent: caller.map(|caller| caller.span),
            recorded: sampled.then(|| {
                let pending = Pending::new(worker, connection, head);
                Recorded::of(&head.headers, span, started, pending)
            }),
        })
    }

    /// Hands over what was recorded.
    pub fn flush(&self) {
        self.writer.borrow_mut().flush();
    }

    fn trace_id(&self) -> TraceId {
        let mut random = self.random.borrow_mut();
        TraceId::new(random.u64(..), random.u64(..))
    }

    fn span_id(&self) -> SpanId {
        SpanId::new(self.random.borrow_mut().u64(..))
    }
}

/// What the caller says; nothing where it says two things (Trace Context, 3.2).
fn callers_context(headers: &HeaderMap) -> Option<Context> {
    let mut all = headers.get_all(&TRACEPARENT).iter();
    let context = Context::parse(all.next()?.as_bytes());
    context.filter(|_| all.next().is_none())
}

impl Recorded {
    fn of(headers: &HeaderMap, sending: SpanId, started: Instant, pending: Pending) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let passed = started.elapsed();
        Self {
            started,
            wall: nanos(wall.unwrap_or_default().saturating_sub(passed)),
            host: headers.get(HOST).cloned(),
            agent: headers.get(USER_AGENT).cloned(),
            state: headers.get(&TRACESTATE).cloned(),
            sendings: 0,
            sending,
            events: Vec::new(),
            rejected: None,
            pending: Some(pending),
        }
    }

    fn time(&self, at: Instant) -> u64 {
        self.wall + nanos(at.saturating_duration_since(self.started))
    }

    fn event(&mut self, name: &'static str, from: Instant, wait: Duration) {
        self.events.push(Event {
            at: self.time(from),
            name,
            seconds: ("sidekey.token_wait", wait.as_secs_f64()),
        });
    }

    /// The wait after a rejection is over.
    fn end_wait(&mut self, at: Instant) {
        if let Some(since) = self.rejected.take() {
            let wait = at.saturating_duration_since(since);
            self.event("token rejected", since, wait);
        }
    }
}

impl Trace {
    /// The trace's id, recorded or not.
    #[must_use]
    pub fn id(&self) -> TraceId {
        self.context.trace
    }

    /// The route that serves it is known.
    pub fn routed(&mut self, route: &Rc<WorkerRoute>) {
        if let Some(pending) = self.pending() {
            pending.route = Some(route.clone());
        }
    }

    fn pending(&mut self) -> Option<&mut Pending> {
        self.recorded.as_mut()?.pending.as_mut()
    }

    /// The request is about to be sent to its upstream: with this `traceparent`.
    #[must_use]
    pub fn sending(
        &mut self,
        tracer: &Tracer,
        route: &WorkerRoute,
        at: Instant,
    ) -> Option<HeaderValue> {
        let span = tracer.span_id();
        if let Some(recorded) = &mut self.recorded {
            recorded.end_wait(at);
            recorded.sending = span;
        }
        if let Some(pending) = self.pending() {
            pending.sending = Some((at, route.route.clone()));
        }
        let text = Context {
            span,
            ..self.context
        }
        .to_text();
        HeaderValue::try_from(text).ok()
    }

    /// That sending, begun at `at`, has been answered or has failed.
    pub fn sent(
        &mut self,
        tracer: &Tracer,
        (route, outbound): (&WorkerRoute, &Outbound<'_>),
        (at, ended): (Instant, Instant),
        answered: &Result<Answered, Refusal>,
    ) -> bool {
        if let Some(pending) = self.pending() {
            pending.sending = None;
        }
        let Some(recorded) = &mut self.recorded else {
            return false;
        };
        let resent = recorded.sendings;
        recorded.sendings += 1;
        let upstream = &route.route.upstream;
        let url = url_without_query(upstream, outbound.rest());
        let (method, name) = method_and_name(outbound.method);
        let mut attributes = vec![
            method,
            ("url.full", Value::Text(&url)),
            ("url.scheme", Value::Text(scheme(upstream.scheme))),
            ("server.address", Value::Text(&upstream.host)),
            ("server.port", Value::Number(upstream.port.into())),
        ];
        if resent > 0 {
            attributes.push(("http.request.resend_count", Value::Number(resent)));
        }
        let status = answered.as_ref().map(|answered| answered.response.status());
        let error = match (answered, &status) {
            (Ok(answered), Ok(status)) => {
                attributes.push(status_code(*status));
                attributes.push(version(answered.response.version()));
                (status.as_u16() >= 400).then(|| status.as_str())
            }
            (Err(refusal), _) => Some(refusal.code.as_str()),
            _ => None,
        };
        attributes.extend(error.map(|error| ("error.type", Value::Text(error))));
        let state = text(recorded.state.as_ref());
        tracer.writer.borrow_mut().record(&Span {
            trace: self.context.trace,
            id: recorded.sending,
            parent: Some(self.context.span),
            remote_parent: false,
            flags: self.context.flags.bits(),
            state,
            kind: Kind::Client,
            name: (name, None),
            start: recorded.time(at),
            end: recorded.time(ended),
            attributes: &attributes,
            events: &[],
            failed: error.is_some(),
        })
    }

    /// The request has waited for its account's first token.
    pub fn waited(&mut self, wait: Duration) {
        if let Some(recorded) = &mut self.recorded {
            let from = Instant::now().checked_sub(wait);
            recorded.event("token wait", from.unwrap_or(recorded.started), wait);
        }
    }

    /// The upstream has rejected the token.
    pub fn rejected(&mut self) {
        if let Some(recorded) = &mut self.recorded {
            recorded.rejected = Some(Instant::now());
        }
    }

    /// The answer's head is on its way, or never will be. True when there is
    /// something to flush.
    pub fn end(&mut self, tracer: &Tracer, ended: &Ended<'_>) -> bool {
        let Some(recorded) = &mut self.recorded else {
            return false;
        };
        recorded.pending = None;
        let about = &ended.about;
        recorded.end_wait(ended.at);
        let (method, name) = method_and_name(about.method);
        let route = ended.route.map(path_of);
        let mut attributes = Vec::with_capacity(16);
        attributes.extend([
            method,
            ("url.scheme", Value::Text(ended.scheme)),
            ("url.path", Value::Text(about.uri.path())),
            ("client.address", Value::Text(ended.peer)),
            version(about.version),
        ]);
        attributes.extend(ended.status.map(status_code));
        let host = about.uri.authority().cloned();
        let host = host.or_else(|| Authority::try_from(recorded.host.as_ref()?.as_bytes()).ok());
        if let Some(host) = &host {
            let own = if ended.scheme == "https" { 443 } else { 80 };
            let port = host.port_u16().unwrap_or(own).into();
            let name = host.host().trim_matches(['[', ']']);
            attributes.push(("server.address", Value::Text(name)));
            attributes.push(("server.port", Value::Number(port)));
        }
        let agent = text(recorded.agent.as_ref());
        if !agent.is_empty() {
            let agent = &agent[..agent.floor_char_boundary(LONGEST_AGENT)];
            attributes.push(("user_agent.original", Value::Text(agent)));
        }
        if let (Some(found), Some(path)) = (ended.route, route) {
            attributes.push(("http.route", Value::Text(path)));
            attributes.push(("sidekey.route", Value::Text(&found.name)));
            let account = found.route.account.as_str();
            attributes.push(("sidekey.account", Value::Text(account)));
        }
        let server_error = ended.status.as_ref().filter(|s| s.is_server_error());
        let failed = server_error.is_some() || ended.status.is_none();
        let error = ended.error.or(server_error.map(StatusCode::as_str));
        attributes.extend(error.map(|error| ("error.type", Value::Text(error))));
        tracer.writer.borrow_mut().record(&Span {
            trace: self.context.trace,
            id: self.context.span,
            parent: self.parent,
            remote_parent: self.parent.is_some(),
            flags: self.context.flags.bits(),
            state: text(recorded.state.as_ref()),
            kind: Kind::Server,
            name: (name, route),
            start: recorded.wall,
            end: recorded.time(ended.at),
            attributes: &attributes,
            events: &recorded.events,
            failed,
        })
    }
}

/// The method, and what a span of it is called; both from closed lists, for a
/// caller may send any word.
fn method_and_name(method: &Method) -> (Attribute<'static>, &'static str) {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    let names = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let found = known.iter().zip(names).find(|(known, _)| *known == method);
    let (value, name) = found.map_or(("_OTHER", "HTTP"), |(_, name)| (name, name));
    (("http.request.method", Value::Text(value)), name)
}

fn path_of(route: &WorkerRoute) -> &str {
    match &route.route.matcher.path {
        PathMatch::Prefix(path) if path.is_empty() => "/",
        PathMatch::Prefix(path) | PathMatch::Exact(path) => path,
    }
}

/// No query, for the token may stand there; of the upstream's own path nothing,
/// for a secret parameter of the account may.
fn url_without_query(upstream: &Upstream, rest: &str) -> String {
    let own = match upstream.path.as_str() {
        "/" => "",
        _ => "/REDACTED",
    };
    let rest = if rest.is_empty() { "/" } else { rest };
    let scheme = scheme(upstream.scheme);
    format!("{scheme}://{}{own}{rest}", upstream.authority)
}

fn scheme(scheme: UpstreamScheme) -> &'static str {
    match scheme {
        UpstreamScheme::Http | UpstreamScheme::H2c => "http",
        UpstreamScheme::Https => "https",
    }
}

fn version(version: Version) -> Attribute<'static> {
    let text = match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    };
    ("network.protocol.version", Value::Text(text))
}

fn status_code(status: StatusCode) -> Attribute<'static> {
    let status = status.as_u16().into();
    ("http.response.status_code", Value::Number(status))
}

/// A field's value as far as it is text.
fn text(value: Option<&HeaderValue>) -> &str {
    let text = value.map(|value| std::str::from_utf8(value.as_bytes()));
    text.and_then(Result::ok).unwrap_or_default()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
