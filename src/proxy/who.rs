//! Who a caller is, and whether the listener and the route let it in.

use super::connection::Connection;
use super::observe::Seen;
use super::peer::Peer;
use super::refusal::{Code, Refusal};
use super::route::WorkerRoute;
use super::worker::Worker;
use crate::base::caller_keys::digest;
use crate::config::checked::callers::{Allowed, Speaks};
use http::header::{HeaderMap, HeaderName};
use std::rc::Rc;
use std::sync::Arc;

/// What a caller proves by who it is. It ends here, on every route.
pub const CALLER_KEY: HeaderName = HeaderName::from_static("sidekey-caller-key");

/// Goes on where the listener lets this caller in. Before routes are looked at,
/// so that nobody else learns which there are.
pub fn let_in(
    connection: &Connection,
    headers: &HeaderMap,
    seen: &mut Seen,
) -> Result<(), Refusal> {
    let Some(allowed) = &*connection.listener.callers() else {
        return Ok(());
    };
    let caller = identified(allowed, &connection.peer, headers);
    let caller = caller.map_err(|why| refused("this listener is", why))?;
    seen.caller = Some(caller);
    Ok(())
}

/// The route that serves this caller, where it may call. After a browser's
/// question before the actual request, which can carry no key.
pub fn admitted(
    worker: &Worker,
    connection: &Connection,
    route: Rc<WorkerRoute>,
    headers: &HeaderMap,
    seen: &mut Seen,
) -> Result<Rc<WorkerRoute>, Refusal> {
    let Some(allowed) = &route.route.callers else {
        return Ok(route);
    };
    let caller = identified(allowed, &connection.peer, headers)
        .map_err(|why| refused(&format!("the route {:?} is", route.name), why))?;
    seen.caller = Some(caller.clone());
    if route.route.speaks == Speaks::One {
        return Ok(route);
    }
    let routes = worker.routes();
    let own = routes.of_caller(&route.name, &caller);
    let own = own.ok_or_else(|| {
        Refusal::new(
            Code::CallerNotAllowed,
            format!("the caller {caller:?} has no account of its own here"),
        )
    })?;
    seen.route(own);
    Ok(own.clone())
}

fn refused(what: &str, why: &str) -> Refusal {
    let detail = format!("{what} for certain callers only: {why}");
    Refusal::new(Code::CallerNotAllowed, detail)
}

/// Who calls, by the first proof that counts here; or why none does.
fn identified(
    allowed: &Allowed,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<Arc<str>, &'static str> {
    let mut keys = headers.get_all(&CALLER_KEY).iter();
    let key = keys.next();
    if keys.next().is_some() {
        return Err("Sidekey-Caller-Key was sent more than once");
    }
    let caller = key.and_then(|key| allowed.by_key(&digest(key.as_bytes())));
    if let Some(caller) = caller {
        return Ok(caller.clone());
    }
    let by_connection = allowed.knows_connections();
    if let Some(caller) = by_connection
        .then(|| of_connection(allowed, peer))
        .flatten()
    {
        return Ok(caller);
    }
    Err(match (key, by_connection) {
        (Some(_), _) => "the key that was sent is of none of them",
        (None, false) => "send your key as Sidekey-Caller-Key",
        (None, true) => "nothing proves that you are one of them",
    })
}

/// By the certificate, or by the process at the other end of a Unix socket.
fn of_connection(allowed: &Allowed, peer: &Peer) -> Option<Arc<str>> {
    allowed.by_certificate(&peer.names()).or_else(|| {
        let process = peer.credentials()?;
        allowed.by_process(process.uid, process.gid).cloned()
    })
}
