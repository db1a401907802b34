//! Who a caller is, and whether the route lets it in.

use super::observe::Seen;
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

/// The route that serves this caller, where it may call. After a browser's
/// question before the actual request, which can carry no key.
pub fn admitted(
    worker: &Worker,
    route: Rc<WorkerRoute>,
    headers: &HeaderMap,
    seen: &mut Seen,
) -> Result<Rc<WorkerRoute>, Refusal> {
    let Some(allowed) = &route.route.callers else {
        return Ok(route);
    };
    let caller = identified(&route.name, allowed, headers)?;
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

fn identified(route: &str, allowed: &Allowed, headers: &HeaderMap) -> Result<Arc<str>, Refusal> {
    let mut keys = headers.get_all(&CALLER_KEY).iter();
    let refused = |why| {
        let detail = format!("the route {route:?} is for certain callers only: {why}");
        Refusal::new(Code::CallerNotAllowed, detail)
    };
    let Some(key) = keys.next() else {
        return Err(refused("send your key as Sidekey-Caller-Key"));
    };
    if keys.next().is_some() {
        return Err(refused("Sidekey-Caller-Key was sent more than once"));
    }
    let caller = allowed.by_key(&digest(key.as_bytes()));
    let caller = caller.ok_or_else(|| refused("the key that was sent is of none of them"))?;
    Ok(caller.clone())
}
