//! One request over HTTP/2, and its sending once more where that is safe.

use super::attach::Outbound;
use super::attempt::Attempt;
use super::dialing::{Connected, connect_in, connect_timed_out};
use super::multiplex::{Multiplex, Place};
use super::patience::Share;
use super::received::{Received, Streamed};
use super::refusal::{Code, Fault, Refusal};
use super::replay::{Sending, Upload};
use super::route::WorkerRoute;
use super::slots::{self, Given, Want};
use super::streaming::{Ending, Streaming};
use super::upstream::{Answered, Return, timed_out, tls_failed};
use super::worker::Worker;
use crate::config::checked::UpstreamScheme;
use crate::token::Attach;
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream};
use http::header::{EXPECT, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Version, request};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

/// What has become of a request over a connection that others share.
pub enum Sent {
    Answered(Answered),
    /// The origin turns out to speak HTTP/1.1: with a connection, if there is one.
    WantsHttp1(Option<Connected>),
}

/// Sends a request over a connection that others share; in that `place`, where it
/// has one already.
///
/// Once more goes out, over a connection opened since, what the upstream has
/// provably not processed (RFC 9113, 8.7), and what may be repeated when a
/// connection that has answered before ends without an answer.
pub async fn send(
    worker: &Worker,
    route: &WorkerRoute,
    multiplex: &Multiplex,
    outbound: &mut Outbound<'_>,
    attach: &Attach,
    upload: Option<&Upload>,
    mut place: Option<Place>,
) -> Result<Sent, Refusal> {
    let mut newer_than = 0;
    loop {
        let found = match place.take() {
            Some(place) => Connected::Http2(place),
            None => match multiplex.place(newer_than) {
                Some(place) => Connected::Http2(place),
                None => {
                    let share = outbound.patience.share();
                    match connected(worker, route, multiplex, newer_than, share).await? {
                        Some(connected) => connected,
                        None => return Ok(Sent::WantsHttp1(None)),
                    }
                }
            },
        };
        let place = match found {
            Connected::Http2(place) => place,
            http1 => return Ok(Sent::WantsHttp1(Some(http1))),
        };
        let number = place.number();
        let trouble = place.trouble();
        let has_answered = place.answers() > 0;
        let request = outbound.request(attach)?;
        let request = translate(request.into_parts().0, route, outbound.wants_trailers);
        let failure = match over(worker, route, place, request, attach, upload).await {
            Ok(answered) => return Ok(Sent::Answered(answered)),
            Err(failure) => failure,
        };
        let first = newer_than == 0;
        let again = match failure {
            Failure::TimedOut => return Err(timed_out(route)),
            Failure::Body(refusal) => return Err(refusal),
            Failure::Unprocessed => first && upload.is_none_or(Upload::at_hand),
            Failure::WantsHttp1 if upload.is_none_or(Upload::at_hand) => {
                multiplex.require_http1(Instant::now());
                return Ok(Sent::WantsHttp1(None));
            }
            Failure::Lost => {
                let at_hand = upload.is_none_or(Upload::replayable);
                first && has_answered && outbound.method.is_idempotent() && at_hand
            }
            Failure::WantsHttp1 | Failure::Reset(_) => false,
        };
        if !again {
            let by_tls = tls_failed(route, trouble.as_ref());
            return Err(by_tls.unwrap_or_else(|| failed(route, &failure)));
        }
        newer_than = number;
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    TimedOut,
    /// The caller's body ended early, or was too long.
    Body(Refusal),
    /// The upstream has done nothing with the request.
    Unprocessed,
    WantsHttp1,
    /// The connection has ended.
    Lost,
    /// The stream alone, or for what we sent.
    Reset(Option<Reason>),
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        let reason = error.reason();
        if !error.is_remote() {
            return if error.is_io() || error.is_go_away() {
                Self::Lost
            } else {
                Self::Reset(reason)
            };
        }
        match reason {
            // Only streams past the last one that it will look at get this error.
            _ if error.is_go_away() => Self::Unprocessed,
            Some(Reason::REFUSED_STREAM) => Self::Unprocessed,
            Some(Reason::HTTP_1_1_REQUIRED) => Self::WantsHttp1,
            reason => Self::Reset(reason),
        }
    }
}

/// A place on a connection opened after that number of them, on a new one if
/// need be, which one request opens for all who wait; or a connection over
/// HTTP/1.1, where the origin turns out to speak that. `None` where it is known to.
async fn connected(
    worker: &Worker,
    route: &WorkerRoute,
    multiplex: &Multiplex,
    newer_than: u64,
    share: Share,
) -> Result<Option<Connected>, Refusal> {
    loop {
        if multiplex.speaks_http1() {
            return Ok(None);
        }
        if let Some(place) = multiplex.place(newer_than) {
            return Ok(Some(Connected::Http2(place)));
        }
        if let Some(attempt) = multiplex.attempt() {
            ended(worker, route, &attempt, share).await?;
            continue;
        }
        let slot = match slots::wait(worker, route, Want::Shared, share).await? {
            None => None,
            Some(Given::Slot(slot)) => Some(slot),
            Some(Given::Place(place)) => return Ok(Some(Connected::Http2(place))),
            Some(Given::Open(open)) => return Ok(Some(Connected::Freed(open))),
        };
        let begun = multiplex.begin();
        let connected = connect_in(worker, route, slot, share).await;
        match connected.inspect_err(|refusal| begun.failed(refusal))? {
            Connected::Http2(place) => {
                multiplex.serve();
                return Ok(Some(Connected::Http2(place)));
            }
            http1 => {
                multiplex.found_http1();
                return Ok(Some(http1));
            }
        }
    }
}

/// Waits for another request's attempt to connect, which has time of its own.
async fn ended(
    worker: &Worker,
    route: &WorkerRoute,
    attempt: &Attempt,
    share: Share,
) -> Result<(), Refusal> {
    let until = Cell::new(share.until);
    match worker.deadlines.until(&until, attempt.wait()).await {
        Ok(ended) if ended.is_err() || Instant::now() < share.until => ended,
        // How that went is noted of the address by who has tried.
        _ => Err(connect_timed_out(route, share).with(Fault::Spared)),
    }
}

async fn over(
    worker: &Worker,
    route: &WorkerRoute,
    place: Place,
    request: Request<()>,
    attach: &Attach,
    upload: Option<&Upload>,
) -> Result<Answered, Failure> {
    let fixed = Cell::new(Instant::now() + route.route.timeout);
    let body = upload.map(Upload::send);
    // A stream's window and its reset say what `Expect` would ask for.
    if let Some(gate) = body.as_ref().and_then(Sending::gate) {
        gate.open();
    }
    let deadline = upload.map_or(&fixed, Upload::deadline);
    let ended = body.as_ref().is_none_or(Sending::is_end_stream);
    let (mut answer, stream) = open(&place, request, ended)?;
    let ending = Ending::new(place);
    if let Some(body) = body.filter(|_| !ended) {
        Streaming::new(body, stream, attach, route, ending.stream())
            .start()
            .await;
    }
    let before = ending.place().answers();
    let answer = poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(before))) = answer.poll_informational(cx) {
            let status = before.status().as_u16();
            route.stats.borrow_mut().came_before(&[status]);
        }
        Pin::new(&mut answer).poll(cx)
    });
    let answer = worker.deadlines.until(deadline, answer).await;
    let place = ending.place();
    match answer {
        Ok(Ok(response)) => {
            place.answered();
            let (head, stream) = response.into_parts();
            let body = Received::Http2(Box::new(Streamed::new(stream, &head)));
            let response = http::Response::from_parts(head, body);
            Ok(Answered::new(response, Return::of_stream(ending, route)))
        }
        Ok(Err(error)) => Err(match upload.and_then(Upload::fault) {
            Some(refusal) => Failure::Body(refusal),
            None => Failure::from(error),
        }),
        Err(_) => {
            // Not a word since then to anyone: it may be dead.
            if place.answers() == before {
                place.retire();
            }
            Err(Failure::TimedOut)
        }
    }
}

/// What is not even begun has not been processed.
fn open(
    place: &Place,
    request: Request<()>,
    ended: bool,
) -> Result<(ResponseFuture, SendStream<Bytes>), Failure> {
    let opened = place.sender().send_request(request, ended);
    opened.map_err(|error| match Failure::from(error) {
        Failure::Lost => Failure::Unprocessed,
        other => other,
    })
}

/// The head as HTTP/2 has it (RFC 9113, 8.3.1).
fn translate(mut head: request::Parts, route: &WorkerRoute, trailers: bool) -> Request<()> {
    let host = head.headers.remove(HOST);
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.remove(EXPECT);
    if trailers {
        head.headers
            .insert(TE, HeaderValue::from_static("trailers"));
    }
    let scheme = match route.route.upstream.scheme {
        UpstreamScheme::Https => Scheme::HTTPS,
        UpstreamScheme::Http | UpstreamScheme::H2c => Scheme::HTTP,
    };
    let mut uri = head.uri.into_parts();
    uri.scheme = Some(scheme);
    uri.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    uri.path_and_query
        .get_or_insert(PathAndQuery::from_static("/"));
    let mut request = Request::new(());
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = head.headers;
    request
}

fn failed(route: &WorkerRoute, failure: &Failure) -> Refusal {
    let fault = match failure {
        Failure::Unprocessed => Fault::Unsent,
        Failure::Lost => Fault::Lost,
        _ => Fault::NotTheirs,
    };
    let why = match failure {
        Failure::Unprocessed => "refused the request unread, and could not be asked again",
        Failure::WantsHttp1 => "wants HTTP/1.1, and the request's body is gone",
        Failure::Reset(Some(reason)) => {
            let what = format!("ended the stream without an answer: {reason}");
            return unreachable(route, &what);
        }
        Failure::Reset(None) => "could not be sent this request over HTTP/2",
        _ => "closed the connection without an answer",
    };
    unreachable(route, why).with(fault)
}

fn unreachable(route: &WorkerRoute, why: &str) -> Refusal {
    let authority = &route.route.upstream.authority;
    Refusal::new(
        Code::UpstreamUnreachable,
        format!("upstream {authority} {why}"),
    )
}
