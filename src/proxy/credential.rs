//! The credential for a request: from this worker's own copy, or waited for.

use super::observe::Seen;
use super::refusal::{Code, Refusal};
use super::route::WorkerRoute;
use super::worker::Worker;
use crate::base::clock::{Moment, SystemClock, Wall};
use crate::net::turn;
use crate::token::{Credential, Published, Unavailable, Waited};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A credential that may be sent now. Where there is none, the request joins
/// the refresh that brings one and waits for it, `token_wait` at most.
pub async fn current(
    worker: &Worker,
    route: &WorkerRoute,
    seen: &mut Seen,
) -> Result<Arc<Credential>, Refusal> {
    match usable(worker, route, seen.started()) {
        Ok(credential) => Ok(credential),
        Err(why) => Box::pin(waited_for(worker, route, seen, why)).await,
    }
}

async fn waited_for(
    worker: &Worker,
    route: &WorkerRoute,
    seen: &mut Seen,
    why: Unavailable,
) -> Result<Arc<Credential>, Refusal> {
    if let Some(refusal) = final_refusal(worker, route, &why) {
        return Err(refusal);
    }
    let before = Instant::now();
    let ask = worker.asker.token(&route.route.account);
    let waited = worker.deadlines.within(worker.token_wait, ask).await;
    seen.waited_for_token(before.elapsed());
    match usable(worker, route, Instant::now()) {
        Ok(credential) => Ok(credential),
        Err(why) => Err(final_refusal(worker, route, &why)
            .unwrap_or_else(|| unavailable(worker, route, &why, waited == Ok(Waited::Refused)))),
    }
}

/// A credential newer than the one that was rejected, if there is one.
#[must_use]
pub fn newer_than(route: &WorkerRoute, generation: u64) -> Option<Arc<Credential>> {
    match route.credential.get() {
        Published::Valid(credential) if credential.generation > generation => Some(credential),
        _ => None,
    }
}

fn usable(
    worker: &Worker,
    route: &WorkerRoute,
    now: Instant,
) -> Result<Arc<Credential>, Unavailable> {
    route.credential.with(|published| match published {
        Published::Valid(credential) => match credential.expiry {
            Some(expiry) if is_past(worker, expiry, now) => Err(Unavailable::Waiting),
            _ => Ok(credential.clone()),
        },
        Published::Unavailable(why) => Err(why.clone()),
    })
}

/// Past on either clock: the cold wing publishes expiry too, but a machine that
/// was suspended may serve a request before that wing has woken up.
pub fn is_past(worker: &Worker, expiry: Moment, now: Instant) -> bool {
    worker.clock.mono(now) >= expiry.mono || SystemClock::wall_at(turn::wall()) >= expiry.wall
}

/// The answer where waiting would bring nothing.
fn final_refusal(worker: &Worker, route: &WorkerRoute, why: &Unavailable) -> Option<Refusal> {
    let account = &route.route.account;
    let connect_at = format!("{}/connect/{account}", worker.public_url);
    match why {
        Unavailable::Waiting | Unavailable::Pausing { .. } => None,
        Unavailable::NotCreated => Some(Refusal::new(
            Code::AccountNotConnected,
            format!(
                "account {account} has not been created yet: create it at {}/new",
                worker.public_url
            ),
        )),
        Unavailable::NotConnected => Some(Refusal::new(
            Code::AccountNotConnected,
            format!("account {account} has not been connected yet: connect it at {connect_at}"),
        )),
        Unavailable::ReconnectRequired { cause } => Some(Refusal::new(
            Code::ReconnectRequired,
            format!("account {account} has to be connected again at {connect_at}: {cause}"),
        )),
        Unavailable::Misconfigured { cause, retry_at } => Some(
            Refusal::new(
                Code::TokenUnavailable,
                format!("account {account} gets no token: {cause}"),
            )
            .retry_after(until(*retry_at)),
        ),
    }
}

/// The answer to a request that waited in vain, or found too many waiting.
fn unavailable(worker: &Worker, route: &WorkerRoute, why: &Unavailable, refused: bool) -> Refusal {
    let account = &route.route.account;
    let (detail, after) = match why {
        _ if refused => (
            format!("too many requests already wait for a token of account {account}"),
            Duration::from_secs(1),
        ),
        Unavailable::Pausing { cause, retry_at } => (
            format!("account {account} has no token, and the last attempt failed: {cause}"),
            until(*retry_at),
        ),
        _ => (
            format!(
                "no token of account {account} came within {:?}",
                worker.token_wait
            ),
            Duration::from_secs(1),
        ),
    };
    Refusal::new(Code::TokenUnavailable, detail).retry_after(after)
}

fn until(wall: Wall) -> Duration {
    wall.since(SystemClock::wall())
}
