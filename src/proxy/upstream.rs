//! One sending of a request over a connection to an upstream.

use super::attach::Outbound;
use super::dialing::{Connected, connect};
use super::exchange::{self, Sent};
use super::http1::answer::Answer;
use super::http1::content::Content;
use super::http1::line::Failure;
use super::outgoing;
use super::pool::{Open, Pool};
use super::received::{ReceiveError, Received};
use super::refusal::{Code, Fault, Refusal};
use super::replay::{CALLER_FAILED, Upload};
use super::route::WorkerRoute;
use super::streaming::Ending;
use super::worker::Worker;
use crate::net::splice::{LONG, Pipe};
use crate::net::stream::Trouble;
use crate::net::tls::client::explain;
use crate::net::worker::spawn_local;
use crate::token::Attach;
use bytes::Bytes;
use http::{Method, Response};
use hyper::body::Frame;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// An answer that is given up is read this far for its connection's sake.
const DISCARD_BYTES: usize = 64 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Brings a connection back to its pool once the answer has been read, or
/// closes it when it can't be used again.
pub struct Return {
    open: Option<Open>,
    pool: Rc<Pool>,
    upload: Option<Upload>,
    /// Instead of a connection, where that is shared.
    stream: Option<Ending>,
}

impl Return {
    /// The end of a stream; the connection stays where it is.
    #[must_use]
    pub fn of_stream(ending: Ending, route: &WorkerRoute) -> Self {
        let mut back = Self::to_nowhere(route);
        back.stream = Some(ending);
        back
    }

    /// Of a connection that is closed behind its answer.
    #[must_use]
    pub fn to_nowhere(route: &WorkerRoute) -> Self {
        Self {
            open: None,
            pool: route.pool.clone(),
            upload: None,
            stream: None,
        }
    }

    /// Reads on in the answer's body.
    pub fn poll_frame(
        &self,
        body: &mut Received,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReceiveError>>> {
        match (body, &self.open) {
            (Received::Http1(content), Some(open)) => open
                .line
                .poll_frame(content, cx)
                .map_err(ReceiveError::Http1),
            (Received::Http2(body), _) => body.poll_frame(cx).map_err(ReceiveError::Http2),
            // It has been read: its connection is another request's.
            (Received::Http1(_), None) => Poll::Ready(None),
        }
    }

    /// Content that the kernel may move to the caller by itself: it is long, and
    /// its connection is plain.
    #[must_use]
    pub fn may_pass(&self, body: &Received) -> bool {
        let Received::Http1(Content::Length(left)) = body else {
            return false;
        };
        let open = self.open.as_ref().filter(|_| *left >= LONG);
        open.is_some_and(|open| open.line.is_plain())
    }

    /// Moves some of it into a pipe; gives how much, or `None` where the next of it
    /// is to be [read](Self::poll_frame).
    pub fn pass(&self, body: &mut Received, pipe: &mut Pipe) -> Option<usize> {
        match (body, &self.open) {
            (Received::Http1(content), Some(open)) => open.line.pass(content, pipe),
            _ => None,
        }
    }

    /// The answer has been read to its end.
    pub fn ended(&mut self) {
        if let Some(open) = self.open.take()
            && self.upload.as_ref().is_none_or(Upload::sent)
        {
            self.pool.put(open);
        }
        self.cut_if_held();
        self.stream = None;
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
    pub response: Response<Received>,
    pub back: Return,
}

impl Answered {
    /// Nobody will read a body that isn't there.
    #[must_use]
    pub fn new(response: Response<Received>, mut back: Return) -> Self {
        let sent = back.upload.as_ref().is_none_or(Upload::sent);
        if response.body().is_end_stream() && sent {
            back.ended();
        }
        Self { response, back }
    }

    /// Gives the answer up: a short one is read to its end, so that its
    /// connection can be used again; else the connection is closed, or its one
    /// stream reset.
    pub fn discard(self, worker: &Worker, upload: Option<&Upload>) {
        let Self { response, mut back } = self;
        if upload.is_some_and(|upload| !upload.sent()) || back.stream.is_some() {
            return;
        }
        // What the upload does from here on is another connection's matter.
        back.upload = None;
        let deadlines = worker.deadlines.clone();
        spawn_local(async move {
            let read = read_short(&back, response.into_body());
            if let Ok(true) = deadlines.within(DISCARD_TIME, read).await {
                back.ended();
            }
        });
    }
}

/// Reads a body to its end if it is short.
async fn read_short(back: &Return, mut body: Received) -> bool {
    let mut left = DISCARD_BYTES;
    loop {
        match poll_fn(|cx| back.poll_frame(&mut body, cx)).await {
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

/// Sends a request once. One that may be repeated (RFC 9110, 9.2.2) goes out once more,
/// over a new connection, when a pooled one ends without a byte of an answer.
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
    let mut place = None;
    loop {
        let mut connected = None;
        if let Some(multiplex) = route.pool.shared() {
            let place = place.take();
            let shared = exchange::send(worker, route, multiplex, outbound, attach, upload, place);
            match Box::pin(shared).await? {
                Sent::Answered(answered) => return Ok(answered),
                Sent::WantsHttp1(over) => connected = over,
            }
        }
        if connected.is_none() && !fresh_only {
            connected = route.pool.take().map(Connected::Freed);
        }
        let connected = match connected {
            Some(connected) => connected,
            None => {
                let share = outbound.patience.share();
                Box::pin(connect(worker, route, fresh_only, share)).await?
            }
        };
        let is_pooled = matches!(connected, Connected::Freed(_));
        let open = match connected {
            Connected::Http1(open) | Connected::Freed(open) => open,
            Connected::Http2(given) => {
                place = Some(given);
                continue;
            }
        };
        let asked = ask(worker, route, &open, outbound, attach, upload, deadline);
        let failure = match asked.await? {
            Ok(response) => return answered(route, open, response, upload),
            Err(failure) => failure,
        };
        if !is_pooled || !may_repeat(outbound.method, upload, &failure) {
            return Err(failed(route, open.trouble().as_ref(), failure));
        }
        fresh_only = true;
    }
}

/// Sends the request over this connection, and waits for its answer.
async fn ask(
    worker: &Worker,
    route: &WorkerRoute,
    open: &Open,
    outbound: &Outbound<'_>,
    attach: &Attach,
    upload: Option<&Upload>,
    deadline: &Cell<Instant>,
) -> Result<Result<Response<Received>, Failure>, Refusal> {
    let whole = route.whole.as_deref();
    let line = &open.line;
    let content = line.write(|head| outbound.write(attach, whole, upload, head))?;
    // Pinned here, it is not moved to where it is waited for.
    let answer = pin!(line.answer(content, outbound.method == Method::HEAD, &worker.deadlines));
    let answer = worker.deadlines.until(deadline, answer).await;
    let answer = answer.map(|answer| {
        answer.map(|Answer { head, content, .. }| {
            Response::from_parts(head, Received::Http1(content))
        })
    });
    answer.map_err(|_| timed_out(route))
}

/// What comes of an answer's head; its connection goes back to the pool behind the
/// content, if it can.
pub fn answered(
    route: &WorkerRoute,
    open: Open,
    response: Response<Received>,
    upload: Option<&Upload>,
) -> Result<Answered, Refusal> {
    let before = open.interim();
    if !before.is_empty() {
        route.stats.borrow_mut().came_before(&before);
    }
    // Whose end cuts an upload that is still under way.
    let back = Return {
        open: Some(open),
        pool: route.pool.clone(),
        upload: upload.cloned(),
        stream: None,
    };
    if route.whole.is_some()
        && let Some(refusal) = outgoing::refused(route, response.status())
    {
        return Err(refusal);
    }
    Ok(Answered::new(response, back))
}

/// Whether a request whose connection died without an answer may be sent again
/// unasked: an idempotent method, and all of its body still at hand.
fn may_repeat(method: &Method, upload: Option<&Upload>, failure: &Failure) -> bool {
    method.is_idempotent()
        && upload.is_none_or(Upload::replayable)
        && matches!(failure, Failure::Lost)
}

/// A connection that TLS has ended, by an alert of the upstream's most likely.
pub fn tls_failed(route: &WorkerRoute, trouble: Option<&Trouble>) -> Option<Refusal> {
    let why = explain(trouble?.get()?, route.route.reach.tls.as_deref());
    let upstream = &route.route.upstream.authority;
    let detail = format!("upstream {upstream}: TLS failed: {why}");
    Some(Refusal::new(Code::UpstreamTlsError, detail).with(Fault::Lost))
}

/// The answer where it does not answer in time.
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
pub fn failed(route: &WorkerRoute, trouble: Option<&Trouble>, failure: Failure) -> Refusal {
    if let Some(refusal) = tls_failed(route, trouble) {
        return refusal;
    }
    let (why, fault) = match failure {
        Failure::Caller => return Refusal::bad_request(CALLER_FAILED),
        Failure::TooLarge(most) => return Refusal::too_large(most),
        Failure::Lost => ("closed the connection without an answer", Fault::Lost),
        Failure::Malformed => (
            "sent something that is not an HTTP/1.1 answer",
            Fault::NotTheirs,
        ),
    };
    Refusal::new(
        Code::UpstreamUnreachable,
        format!("upstream {} {why}", route.route.upstream.authority),
    )
    .with(fault)
}
