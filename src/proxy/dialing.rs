//! Connections to an upstream: one that is opened, or one that becomes free
//! where no more may be open.

use super::by_hyper::ByHyper;
use super::circuit;
use super::http1::line::Line;
use super::multiplex::Place;
use super::outgoing;
use super::patience::Share;
use super::pool::{Open, Spoken, Versions};
use super::refusal::{Code, Fault, Refusal};
use super::route::WorkerRoute;
use super::slots::{self, Given, Slot, Want};
use super::upstream::failed;
use super::worker::Worker;
use crate::net::dial::{Connection, DialError, Dialed};
use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

/// A new connection for HTTP/1.1 that may become something else, on which nothing
/// has been said.
///
/// # Errors
/// When there is none in time.
pub async fn dial(
    worker: &Worker,
    route: &WorkerRoute,
    share: Share,
) -> Result<(Connection, Option<Slot>), Refusal> {
    let slot = match slots::wait(worker, route, Want::Fresh, share).await? {
        Some(Given::Slot(slot)) => Some(slot),
        // Without a limit; a fresh one is never of another kind.
        _ => None,
    };
    let dialing = async {
        let dialed = worker.dialer.connect_past(&route.pool.key.origin).await;
        dialed.map_err(|error| not_connected(route, &error))
    };
    Ok((in_time(worker, route, share, dialing).await?.stream, slot))
}

/// A new connection, and what is spoken over it.
pub enum Connected {
    Http1(Open),
    /// In the pool already; with the first place on it.
    Http2(Place),
    /// One that another request is done with.
    Freed(Open),
}

/// Opens a connection to the route's upstream, or waits for one that becomes
/// free where no more may be open; not for one that was used before if it is to
/// be `fresh`.
///
/// # Errors
/// When there is none in time.
pub async fn connect(
    worker: &Worker,
    route: &WorkerRoute,
    fresh: bool,
    share: Share,
) -> Result<Connected, Refusal> {
    let want = if fresh { Want::Fresh } else { Want::Http1 };
    let slot = match slots::wait(worker, route, want, share).await? {
        None => None,
        Some(Given::Slot(slot)) => Some(slot),
        Some(Given::Open(open)) => return Ok(Connected::Freed(open)),
        Some(Given::Place(place)) => return Ok(Connected::Http2(place)),
    };
    connect_in(worker, route, slot, share).await
}

/// Opens a connection in its slot.
///
/// # Errors
/// When there is none in time.
pub async fn connect_in(
    worker: &Worker,
    route: &WorkerRoute,
    slot: Option<Slot>,
    share: Share,
) -> Result<Connected, Refusal> {
    in_time(worker, route, share, settle(worker, route, slot)).await
}

/// Waits for a connection, unless others have done so in vain.
async fn in_time<T>(
    worker: &Worker,
    route: &WorkerRoute,
    share: Share,
    connecting: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let (circuit, upstream) = (&route.pool.circuit, &route.route.upstream.authority);
    let now = Instant::now();
    let attempt = circuit.admit(now);
    let attempt = attempt.map_err(|pause| spared(route, pause))?;
    // A short wait in vain says little.
    let is_told = !share.is_a_rest(now);
    let until = Cell::new(share.until);
    match worker.deadlines.until(&until, connecting).await {
        Ok(Ok(connected)) => {
            if circuit.answered(attempt) {
                tracing::info!("upstream {upstream} takes connections again");
            }
            Ok(connected)
        }
        Ok(Err(refusal)) => {
            circuit.failed(attempt);
            Err(refusal)
        }
        Err(_) => {
            if is_told && circuit.in_vain(attempt, Instant::now()) {
                tracing::warn!(
                    "upstream {upstream} takes no connections: for now requests are answered \
                     without waiting for one, and now and then one tries"
                );
            }
            Err(connect_timed_out(route, share))
        }
    }
}

/// The answer while the upstream is known to take no connections.
fn spared(route: &WorkerRoute, pause: Duration) -> Refusal {
    Refusal::new(
        Code::UpstreamUnreachable,
        format!(
            "upstream {} took no connection within {:?} (connect_timeout) {} times in a row; \
             the next request in {} s tries again",
            route.route.upstream.authority,
            route.route.connect_timeout,
            circuit::TOLERATED,
            pause.as_secs() + 1
        ),
    )
    .with(Fault::Spared)
}

async fn settle(
    worker: &Worker,
    route: &WorkerRoute,
    slot: Option<Slot>,
) -> Result<Connected, Refusal> {
    let pool = &route.pool;
    let multiplex = pool.multiplex.as_deref().filter(|it| it.may_offer());
    let dialed = worker.dialer.connect(&pool.key.origin, multiplex.is_some());
    let dialed = dialed.await.map_err(|error| not_connected(route, &error))?;
    let settled = dialed.http2 || pool.key.versions == Versions::Http2;
    match multiplex.filter(|_| settled) {
        Some(multiplex) => match multiplex.open(dialed.stream, slot).await {
            Ok(place) => Ok(Connected::Http2(place)),
            Err(_) => Err(silent(route)),
        },
        None => open_http1(dialed, route, slot).await.map(Connected::Http1),
    }
}

async fn open_http1(
    dialed: Dialed,
    route: &WorkerRoute,
    slot: Option<Slot>,
) -> Result<Open, Refusal> {
    if !route.pool.key.keeps_case {
        return Ok(Open::by_us(Line::new(dialed.stream, slot)));
    }
    let trouble = dialed.stream.trouble();
    let opened = ByHyper::open(dialed.stream, route, slot).await;
    let hyper = opened.map_err(|failure| failed(route, trouble.as_ref(), failure))?;
    Ok(Open {
        way: Spoken::ByHyper(Box::new(hyper)),
        born: Instant::now(),
    })
}

fn not_connected(route: &WorkerRoute, error: &DialError) -> Refusal {
    let code = match error {
        DialError::Tls(_) => Code::UpstreamTlsError,
        DialError::Resolve(_) | DialError::Connect(_) => Code::UpstreamUnreachable,
        DialError::Proxy(why) => return outgoing::no_way(route, why).with(Fault::Unsent),
    };
    Refusal::new(
        code,
        format!("upstream {}: {error}", route.route.upstream.authority),
    )
    .with(Fault::Unsent)
}

/// The answer where the upstream takes no connection in time.
pub fn connect_timed_out(route: &WorkerRoute, share: Share) -> Refusal {
    let time = share.length;
    Refusal::new(
        Code::UpstreamTimeout,
        format!(
            "upstream {}{} took no connection within {time:?} (connect_timeout)",
            route.route.upstream.authority,
            outgoing::through(route)
        ),
    )
    .with(Fault::Unsent)
}

fn silent(route: &WorkerRoute) -> Refusal {
    Refusal::new(
        Code::UpstreamUnreachable,
        format!(
            "upstream {} closed the connection without an answer",
            route.route.upstream.authority
        ),
    )
    .with(Fault::Unsent)
}
