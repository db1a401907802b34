//! Who a caller is, and whether the listener and the route let it in.

use super::connection::Connection;
use super::jwt::{self, Shown};
use super::observe::Seen;
use super::peer::Peer;
use super::refusal::{Code, Refusal};
use super::route::WorkerRoute;
use super::worker::Worker;
use crate::base::caller_keys::digest;
use crate::config::checked::callers::{Allowed, Speaks};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What a caller proves by who it is. It ends here, on every route.
pub const CALLER_KEY: HeaderName = HeaderName::from_static("sidekey-caller-key");

/// The field for a caller's JWT that has no other use. It ends here likewise.
pub const CALLER_TOKEN: HeaderName = HeaderName::from_static("sidekey-caller-token");

/// Goes on where the listener lets this caller in. Before routes are looked at,
/// so that nobody else learns which there are.
pub fn let_in(
    worker: &Worker,
    connection: &Connection,
    headers: &HeaderMap,
    seen: &mut Seen,
) -> Result<(), Refusal> {
    let Some(allowed) = &*connection.listener.callers() else {
        return Ok(());
    };
    let caller = identified(worker, allowed, &connection.peer, headers);
    let caller = caller.map_err(|why| why.refused("this listener is"))?;
    seen.caller = Some(caller);
    Ok(())
}

/// The route that serves this caller, where it may call. After a browser's
/// question before the actual request, which can carry no key.
pub fn admitted(
    worker: &Worker,
    connection: &Connection,
    route: Rc<WorkerRoute>,
    headers: &mut HeaderMap,
    seen: &mut Seen,
) -> Result<Rc<WorkerRoute>, Refusal> {
    let caller = match &route.route.callers {
        None => None,
        Some(allowed) => {
            let caller = identified(worker, allowed, &connection.peer, headers)
                .map_err(|why| why.refused(&format!("the route {:?} is", route.name)))?;
            seen.caller = Some(caller.clone());
            Some(caller)
        }
    };
    if seen.caller.is_some() {
        // What was looked at here is nobody's else to see.
        let listeners = connection.listener.callers();
        let all = listeners.iter().chain(&route.route.callers);
        all.for_each(|allowed| jwt::take_away(allowed, headers));
    }
    for field in worker.routes().token_fields() {
        headers.remove(field);
    }
    let Some(caller) = caller else {
        return Ok(route);
    };
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

/// Why nobody is known to call.
struct Unknown {
    code: Code,
    why: Cow<'static, str>,
}

impl Unknown {
    fn not_allowed(why: &'static str) -> Self {
        Self {
            code: Code::CallerNotAllowed,
            why: why.into(),
        }
    }

    fn refused(self, what: &str) -> Refusal {
        let detail = format!("{what} for certain callers only: {}", self.why);
        let refusal = Refusal::new(self.code, detail);
        match self.code {
            Code::Overloaded => refusal.retry_after(Duration::from_secs(1)),
            _ => refusal,
        }
    }
}

/// Who calls, by the first proof that counts here; or why none does.
fn identified(
    worker: &Worker,
    allowed: &Allowed,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<Arc<str>, Unknown> {
    let mut keys = headers.get_all(&CALLER_KEY).iter();
    let key = keys.next();
    if keys.next().is_some() {
        let why = "Sidekey-Caller-Key was sent more than once";
        return Err(Unknown::not_allowed(why));
    }
    let caller = key.and_then(|key| allowed.by_key(&digest(key.as_bytes())));
    if let Some(caller) = caller {
        return Ok(caller.clone());
    }
    let shown = match allowed.jwts() {
        [] => Shown::None,
        _ => match jwt::caller(worker, allowed, peer, headers) {
            Shown::Caller(caller) => return Ok(caller),
            other => other,
        },
    };
    let by_connection = allowed.knows_connections();
    if let Some(caller) = by_connection
        .then(|| of_connection(allowed, peer))
        .flatten()
    {
        return Ok(caller);
    }
    Err(unknown(allowed, key.is_some(), &shown))
}

/// Whoever can do better with a token is told so with 401 (RFC 6750, 3).
fn unknown(allowed: &Allowed, has_key: bool, shown: &Shown) -> Unknown {
    let unproven = |why: String| Unknown {
        code: Code::CallerNotAuthenticated,
        why: why.into(),
    };
    match shown {
        Shown::Fault(fault) => unproven(fault.to_string()),
        Shown::Bad(why) => Unknown::not_allowed(why),
        // Not that it is a bad one: its client would throw it away.
        Shown::NotLookedAt => Unknown {
            code: Code::Overloaded,
            why: "too many tokens that prove nothing have come just now, and this one was not \
                  looked at: try again in a second"
                .into(),
        },
        _ if has_key => Unknown::not_allowed("the key that was sent is of none of them"),
        _ => match allowed.jwts() {
            [jwt, ..] => unproven(format!("send a token as {}", sent_as(&jwt.header))),
            [] if allowed.knows_connections() => {
                Unknown::not_allowed("nothing proves that you are one of them")
            }
            [] => Unknown::not_allowed("send your key as Sidekey-Caller-Key"),
        },
    }
}

fn sent_as(field: &HeaderName) -> String {
    match *field {
        AUTHORIZATION => "Authorization: Bearer TOKEN".to_owned(),
        _ => format!("{field}: TOKEN"),
    }
}

/// By the certificate, or by the process at the other end of a Unix socket.
fn of_connection(allowed: &Allowed, peer: &Peer) -> Option<Arc<str>> {
    allowed.by_certificate(&peer.names()).or_else(|| {
        let process = peer.credentials()?;
        allowed.by_process(process.uid, process.gid).cloned()
    })
}
