//! A WebSocket after its handshake: bytes both ways, each as fast as whoever
//! takes them. sidekey never looks into a message; where it ends a tunnel
//! itself, it says goodbye to both sides, between two frames.

use super::connection::Connection;
use super::frames::{self, To};
use super::lease::{FAREWELL, Lease, Standing, ended};
use super::pump::Pump;
use super::route::WorkerRoute;
use super::slots::Slot;
use super::worker::Worker;
use crate::config::checked::streams::OnExpiry;
use crate::net::dial;
use crate::net::stream::ClientStream;
use crate::telemetry::access::Entry;
use crate::telemetry::context::TraceId;
use crate::telemetry::requests::StreamEnd;
use crate::token::Credential;
use bytes::Bytes;
use hyper::rt::Write;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// An upstream's connection that is no longer HTTP.
pub struct Raw {
    pub io: dial::Connection,
    /// What was read of what came behind the answer.
    pub read: Bytes,
    /// Among the connections to its origin, where these are limited.
    pub slot: Option<Slot>,
}

/// A tunnel, agreed on.
pub struct Tunnel {
    route: Rc<WorkerRoute>,
    /// Until it begins.
    upstream: Option<Raw>,
    lease: Option<Rc<Lease>>,
    /// A frame for the upstream, with the token in it.
    first: Option<Zeroizing<Vec<u8>>>,
    pub told: Told,
}

/// What the access log will say of it.
pub struct Told {
    pub path: Box<str>,
    pub started: Instant,
    pub upstream: Option<Duration>,
    pub replayed: bool,
    pub caller: Option<Arc<str>>,
    pub trace: Option<TraceId>,
}

/// Both ends of it.
pub(super) struct Ends {
    caller: ClientStream,
    upstream: dial::Connection,
    up: Pump,
    down: Pump,
}

/// How it went.
enum Outcome {
    /// Both sides have ended, or one has failed.
    Over,
    Closed(StreamEnd),
}

impl Tunnel {
    #[must_use]
    pub fn new(
        worker: &Worker,
        route: &Rc<WorkerRoute>,
        credential: &Arc<Credential>,
        upstream: Raw,
    ) -> Self {
        let streams = &route.route.streams;
        let first = streams.first_message.as_ref();
        let first = first.map(|first| first.with(credential.token.expose()));
        let closes = streams.on_expiry == OnExpiry::Close;
        Self {
            upstream: Some(upstream),
            lease: closes.then(|| worker.leases.open(route, credential)),
            first: first.map(|text| frames::text(To::Server, &text)),
            told: Told::default(),
            route: route.clone(),
        }
    }

    /// Goes on where HTTP has ended: with the caller's stream, and what was read
    /// of it already; with nothing where the caller was lost.
    pub async fn begin(
        self,
        worker: &Worker,
        connection: &Rc<Connection>,
        parts: Option<(ClientStream, Bytes)>,
    ) {
        match parts {
            Some((caller, read)) => self.run(worker, connection, caller, read).await,
            None => self.log(worker, connection, 0, 0),
        }
    }

    /// Carries bytes until both sides have ended; `read` is what was already
    /// read of the caller's.
    async fn run(
        mut self,
        worker: &Worker,
        connection: &Rc<Connection>,
        caller: ClientStream,
        read: Bytes,
    ) {
        let _busy = connection.in_request(None);
        let Some(raw) = self.upstream.take() else {
            return self.log(worker, connection, 0, 0);
        };
        let _slot = raw.slot;
        let mut ends = Ends {
            caller,
            upstream: raw.io,
            up: Pump::new(&read),
            down: Pump::new(&raw.read),
        };
        if self.greeted(worker, &mut ends.upstream).await {
            let outcome = self.carry(worker, connection, &mut ends).await;
            if let Outcome::Closed(why) = outcome {
                ended(&self.route, why);
                self.say_goodbye(worker, &mut ends, why).await;
            }
        }
        self.log(worker, connection, ends.up.bytes(), ends.down.bytes());
    }

    /// Sends the first message, if there is one.
    async fn greeted(&mut self, worker: &Worker, upstream: &mut dial::Connection) -> bool {
        let Some(first) = self.first.take() else {
            return true;
        };
        let mut left = &first[..];
        let sent = poll_fn(|cx| -> Poll<io::Result<()>> {
            while !left.is_empty() {
                let written = ready!(Pin::new(&mut *upstream).poll_write(cx, left))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                left = &left[written..];
            }
            Pin::new(&mut *upstream).poll_flush(cx)
        });
        let sent = worker
            .deadlines
            .within(self.route.route.timeout, sent)
            .await;
        matches!(sent, Ok(Ok(())))
    }

    async fn carry(&self, worker: &Worker, connection: &Connection, ends: &mut Ends) -> Outcome {
        let patience = self.route.route.streams.tunnel_idle_timeout;
        let silent_until = Cell::new(Instant::now() + patience);
        let carried = poll_fn(|cx| {
            connection.wake_with(cx);
            if connection.is_farewell() {
                return Poll::Ready(Outcome::Closed(StreamEnd::Drain));
            }
            if let Some(why) = self.token_ended(cx) {
                return Poll::Ready(Outcome::Closed(why));
            }
            let before = ends.moved();
            let polled = ends.poll(cx);
            if ends.moved() != before {
                silent_until.set(Instant::now() + patience);
            }
            polled.map(|_| Outcome::Over)
        });
        let carried = worker.deadlines.until(&silent_until, carried).await;
        carried.unwrap_or(Outcome::Closed(StreamEnd::Idle))
    }

    fn token_ended(&self, cx: &Context<'_>) -> Option<StreamEnd> {
        match self.lease.as_ref()?.standing(cx) {
            Standing::Good => None,
            Standing::Ending(why) | Standing::Overdue(why) => Some(why),
        }
    }

    /// A frame that is under way may take as long as the route allows an ending
    /// stream; from then on both sides have a moment to answer.
    async fn say_goodbye(&self, worker: &Worker, ends: &mut Ends, why: StreamEnd) {
        let (code, grace) = match why {
            StreamEnd::Idle | StreamEnd::Drain => (1001, FAREWELL),
            StreamEnd::Expired | StreamEnd::Revoked | StreamEnd::Replaced => {
                (1008, self.route.route.streams.expiry_grace.max(FAREWELL))
            }
        };
        ends.up
            .close_with(frames::close(To::Server, code, why.in_words()));
        ends.down
            .close_with(frames::close(To::Client, code, why.in_words()));
        let until = Cell::new(Instant::now() + grace);
        let said = poll_fn(|cx| {
            let polled = ends.poll_goodbye(cx);
            if ends.up.has_said_goodbye() && ends.down.has_said_goodbye() {
                until.set(until.get().min(Instant::now() + FAREWELL));
            }
            polled
        });
        let _ = worker.deadlines.until(&until, said).await;
    }

    /// The line in the access log, at the end.
    fn log(&self, worker: &Worker, connection: &Connection, received: u64, sent: u64) {
        worker.log_access(&Entry {
            client: connection.peer.as_str(),
            method: "GET",
            path: &self.told.path,
            caller: self.told.caller.as_deref(),
            labels: self.route.labels.as_ref(),
            status: 101,
            error: None,
            duration: self.told.started.elapsed(),
            upstream: self.told.upstream,
            replayed: self.told.replayed,
            trace: self.told.trace,
            tunnelled: Some((received, sent)),
        });
    }
}

impl Default for Told {
    fn default() -> Self {
        Self {
            path: Box::default(),
            started: Instant::now(),
            upstream: None,
            replayed: false,
            caller: None,
            trace: None,
        }
    }
}

impl Ends {
    /// Of a tunnel whose bytes are no frames; with what was read of the caller's.
    pub(super) fn of_bytes(caller: (ClientStream, &[u8]), upstream: dial::Connection) -> Self {
        Self {
            up: Pump::of_bytes(caller.1),
            down: Pump::of_bytes(&[]),
            caller: caller.0,
            upstream,
        }
    }

    /// Bytes of the caller's, and for it.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.up.bytes(), self.down.bytes())
    }

    /// Closes both.
    pub(super) fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let upstream = Pin::new(&mut self.upstream).poll_shutdown(cx);
        let _ = ready!(Pin::new(&mut self.caller).poll_shutdown(cx));
        upstream.map(drop)
    }

    pub(super) fn moved(&self) -> u64 {
        self.up.moved() + self.down.moved()
    }

    /// Ready when both directions have ended, or one has failed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let up = self.up.poll(&mut self.caller, &mut self.upstream, cx)?;
        let down = self.down.poll(&mut self.upstream, &mut self.caller, cx)?;
        ready!(up);
        ready!(down);
        Poll::Ready(Ok(()))
    }

    /// Ready when both sides know that it is over, and have no more to say.
    /// Where one of them is gone, the other is told all the same.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let up = self
            .up
            .poll_goodbye(&mut self.caller, &mut self.upstream, cx);
        let down = self
            .down
            .poll_goodbye(&mut self.upstream, &mut self.caller, cx);
        ready!(up);
        ready!(down);
        let _ = ready!(Pin::new(&mut self.upstream).poll_shutdown(cx));
        let _ = ready!(Pin::new(&mut self.caller).poll_shutdown(cx));
        Poll::Ready(())
    }
}
