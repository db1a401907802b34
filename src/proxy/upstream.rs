//! Connections to upstreams: a pool per worker and origin, and one sending of a
//! request over one of them.

use super::attach::Outbound;
use super::body::{Outgoing, SendError};
use super::refusal::{Code, Refusal};
use super::replay::Upload;
use super::route::WorkerRoute;
use super::wakes::{Wakes, Woken};
use super::worker::Worker;
use crate::config::checked::upstream::Reach;
use crate::config::checked::{Upstream, UpstreamScheme};
use crate::net::dial::{Connection, DialError, Origin};
use crate::net::share::LARGE_READ;
use crate::net::stream::Trouble;
use crate::net::tls::client::explain;
use crate::net::worker::spawn_local;
use crate::token::Attach;
use bytes::Bytes;
use http::{Method, Response};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What one upstream connection may hold unread and unsent; reading keeps below
/// it when many connections have much to read.
const UPSTREAM_BUFFER: usize = LARGE_READ;

/// An answer that is given up is read this far for its connection's sake.
const DISCARD_BYTES: usize = 64 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Idle connections of one worker to one origin, the last used first.
pub struct Pool {
    pub origin: Origin,
    idle: RefCell<Vec<Idle>>,
    limit: usize,
}

/// Our end of an open connection.
pub struct Open {
    sender: SendRequest<Outgoing>,
    wakes: Arc<Wakes>,
    /// Why TLS ended it, if it did.
    trouble: Option<Trouble>,
}

struct Idle {
    open: Open,
    /// When a sweep first saw it idle, so that a request reads no clock for it.
    since: Option<Instant>,
}

impl Pool {
    /// An empty pool that keeps up to `limit` idle connections.
    #[must_use]
    pub fn new(origin: Origin, limit: usize) -> Self {
        Self {
            origin,
            idle: RefCell::default(),
            limit,
        }
    }

    /// Takes the connection that was used last and can take a request.
    fn take(&self) -> Option<Open> {
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            if idle[at].open.sender.is_ready() {
                return Some(idle.remove(at).open);
            }
            if idle[at].open.sender.is_closed() {
                idle.remove(at);
            }
        }
        None
    }

    fn put(&self, open: Open) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.limit && !open.sender.is_closed() {
            idle.push(Idle { open, since: None });
        }
    }

    /// Closes what has been idle for longer than `limit`; true while any is left.
    pub fn sweep(&self, now: Instant, limit: Duration) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| {
            let since = *idle.since.get_or_insert(now);
            !idle.open.sender.is_closed() && now.saturating_duration_since(since) < limit
        });
        !idle.is_empty()
    }
}

/// The origin of an upstream.
#[must_use]
pub fn origin_of(upstream: &Upstream, reach: &Reach) -> Origin {
    Origin {
        tls: upstream.scheme == UpstreamScheme::Https,
        host: upstream.host.clone(),
        port: upstream.port,
        unix_socket: reach.unix_socket.clone(),
        settings: reach.tls.clone(),
    }
}

/// Brings a connection back to its pool once the answer has been read, or
/// closes it when it can't be used again.
pub struct Return {
    open: Option<Open>,
    pool: Rc<Pool>,
    upload: Option<Upload>,
}

impl Return {
    /// Of a connection that is closed behind its answer.
    #[must_use]
    pub fn to_nowhere(route: &WorkerRoute) -> Self {
        Self {
            open: None,
            pool: route.pool.clone(),
            upload: None,
        }
    }

    /// Reads on; the connection's task is left alone once it has given all.
    pub fn poll_frame(
        &self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(open) = &self.open else {
            return Pin::new(body).poll_frame(cx);
        };
        let work = || (Pin::new(&mut *body).poll_frame(cx), body.is_end_stream());
        open.wakes.held_during(work, |(_, ended)| *ended).0
    }

    /// The answer has been read to its end.
    pub fn ended(&mut self) {
        if let Some(open) = self.open.take()
            && self.upload.as_ref().is_none_or(Upload::sent)
        {
            self.pool.put(open);
        }
        self.cut_if_held();
    }

    /// A held sending of ours would keep its connection open for ever.
    fn cut_if_held(&mut self) {
        if let Some(upload) = self.upload.take()
            && !upload.sent()
        {
            upload.cut();
        }
    }
}

impl Drop for Return {
    fn drop(&mut self) {
        self.cut_if_held();
    }
}

/// An upstream's answer, its body unread.
pub struct Answered {
    pub response: Response<Incoming>,
    pub back: Return,
}

impl Answered {
    /// Gives the answer up: a short one is read to its end, so that its
    /// connection can be used again; else the connection is closed.
    pub fn discard(self, worker: &Worker, upload: Option<&Upload>) {
        let Self { response, mut back } = self;
        if upload.is_some_and(|upload| !upload.sent()) {
            return;
        }
        // What the upload does from here on is another connection's matter.
        back.upload = None;
        let deadlines = worker.deadlines.clone();
        spawn_local(async move {
            let read = read_short(response.into_body());
            if let Ok(true) = deadlines.within(DISCARD_TIME, read).await {
                back.ended();
            }
        });
    }
}

/// Reads a body to its end if it is short.
async fn read_short(mut body: Incoming) -> bool {
    let mut left = DISCARD_BYTES;
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(length) else {
                    return false;
                };
                left = rest;
            }
        }
    }
}

/// Sends a request once. A request that never reached the upstream, because its
/// pooled connection had just been closed, goes out on another connection; so
/// does one that may be repeated (RFC 9110, 9.2.2) when a pooled connection
/// ends without a byte of an answer.
pub async fn send(
    worker: &Worker,
    route: &WorkerRoute,
    outbound: &mut Outbound<'_>,
    attach: &Attach,
    upload: Option<&Upload>,
    now: Instant,
) -> Result<Answered, Refusal> {
    let fixed = Cell::new(now + route.route.timeout);
    let deadline = upload.map_or(&fixed, Upload::deadline);
    let mut fresh_only = false;
    loop {
        let pooled = if fresh_only { None } else { route.pool.take() };
        let is_pooled = pooled.is_some();
        let mut open = match pooled {
            Some(open) => open,
            None => Box::pin(connect(worker, route)).await?,
        };
        let body = upload.map_or(Outgoing::Empty, |upload| Outgoing::Kept(upload.send()));
        let request = outbound.request(attach, body)?;
        let answer = pin!(open.sender.try_send_request(request));
        let mut error = match worker.deadlines.until(deadline, answer).await {
            Ok(Ok(response)) => return Ok(answered(route, open, response, upload)),
            Ok(Err(error)) => error,
            Err(_) => return Err(timed_out(route)),
        };
        let unsent = error.take_message().is_some();
        let again = is_pooled && (unsent || may_repeat(outbound.method, upload, error.error()));
        if !again {
            return Err(failed(route, open.trouble.as_ref(), error.error()));
        }
        fresh_only = !unsent;
    }
}

fn answered(
    route: &WorkerRoute,
    open: Open,
    response: Response<Incoming>,
    upload: Option<&Upload>,
) -> Answered {
    let mut back = Return {
        open: Some(open),
        pool: route.pool.clone(),
        upload: upload.cloned(),
    };
    if response.body().is_end_stream() {
        // Nobody will read a body that isn't there.
        if upload.is_none_or(Upload::sent) {
            back.ended();
        }
    }
    Answered { response, back }
}

/// Whether a request whose connection died without an answer may be sent again
/// unasked: an idempotent method, and all of its body still at hand.
fn may_repeat(method: &Method, upload: Option<&Upload>, error: &hyper::Error) -> bool {
    method.is_idempotent()
        && upload.is_none_or(Upload::replayable)
        && (error.is_incomplete_message() || error.is_canceled() || is_io(error))
}

fn is_io(error: &hyper::Error) -> bool {
    error
        .source()
        .is_some_and(<dyn Error>::is::<std::io::Error>)
}

/// A new connection, on which nothing has been said.
pub async fn dial(worker: &Worker, route: &WorkerRoute) -> Result<Connection, Refusal> {
    let connect = worker.dialer.connect(&route.pool.origin);
    worker
        .deadlines
        .within(route.route.connect_timeout, connect)
        .await
        .map_err(|_| connect_timed_out(route))?
        .map_err(|error| not_connected(route, &error))
}

async fn connect(worker: &Worker, route: &WorkerRoute) -> Result<Open, Refusal> {
    let stream = dial(worker, route).await?;
    let trouble = stream.trouble();
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(UPSTREAM_BUFFER)
        .handshake::<_, Outgoing>(stream)
        .await
        .map_err(|error| failed(route, trouble.as_ref(), &error))?;
    let connection = Woken::new(connection);
    let wakes = connection.wakes();
    // Its end needs no report: whoever waits for an answer gets the error.
    spawn_local(async move { drop(connection.await) });
    Ok(Open {
        sender,
        wakes,
        trouble,
    })
}

fn not_connected(route: &WorkerRoute, error: &DialError) -> Refusal {
    let code = match error {
        DialError::Tls(_) => Code::UpstreamTlsError,
        DialError::Resolve(_) | DialError::Connect(_) => Code::UpstreamUnreachable,
    };
    Refusal::new(
        code,
        format!("upstream {}: {error}", route.route.upstream.authority),
    )
}

/// A connection that TLS has ended, by an alert of the upstream's most likely.
fn tls_failed(route: &WorkerRoute, trouble: Option<&Trouble>) -> Option<Refusal> {
    let why = explain(trouble?.get()?, route.route.reach.tls.as_deref());
    let upstream = &route.route.upstream.authority;
    let detail = format!("upstream {upstream}: TLS failed: {why}");
    Some(Refusal::new(Code::UpstreamTlsError, detail))
}

fn connect_timed_out(route: &WorkerRoute) -> Refusal {
    Refusal::new(
        Code::UpstreamTimeout,
        format!(
            "upstream {} took no connection within {:?} (connect_timeout)",
            route.route.upstream.authority, route.route.connect_timeout
        ),
    )
}

pub fn timed_out(route: &WorkerRoute) -> Refusal {
    Refusal::new(
        Code::UpstreamTimeout,
        format!(
            "upstream {} sent no answer within {:?} (timeout)",
            route.route.upstream.authority, route.route.timeout
        ),
    )
}

/// What has become of a connection; `trouble` is what TLS knows of it.
pub fn failed(route: &WorkerRoute, trouble: Option<&Trouble>, error: &hyper::Error) -> Refusal {
    if let Some(refusal) = tls_failed(route, trouble) {
        return refusal;
    }
    match error.source().and_then(|s| s.downcast_ref()) {
        Some(SendError::Caller(_)) => {
            return Refusal::bad_request("the request's body ended before its announced end");
        }
        Some(SendError::TooLarge(most)) => return Refusal::too_large(*most),
        Some(SendError::Cut) | None => {}
    }
    let why = if error.is_incomplete_message() || error.is_canceled() || is_io(error) {
        "closed the connection without an answer"
    } else {
        "sent something that is not an HTTP/1.1 answer"
    };
    Refusal::new(
        Code::UpstreamUnreachable,
        format!("upstream {} {why}", route.route.upstream.authority),
    )
}
