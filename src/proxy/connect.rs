//! CONNECT to what the listener lists (RFC 9110, 9.3.6). What is not
//! [intercepted](super::intercept) is a tunnel, whose bytes are nobody's but the two
//! ends': no token has a part in it.

use super::absolute;
use super::body::Answer;
use super::connection::Connection;
use super::intercept;
use super::lease::FAREWELL;
use super::observe::Seen;
use super::onward::Onward;
use super::refusal::{Code, Refusal};
use super::tunnel::{Ends, Told};
use super::worker::Worker;
use crate::config::checked::connect::{Connect, Listed};
use crate::net::dial::{self, DialError};
use crate::net::stream::ClientStream;
use crate::telemetry::access::Entry;
use crate::telemetry::tunnels::TunnelEnd;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, Response, Version, request};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Bytes between a caller and what it has named.
pub struct Through {
    /// `host:port`, as the caller has it.
    target: Box<str>,
    upstream: dial::Connection,
    patience: Duration,
    pub told: Told,
}

/// The tunnels of the connection's listener, where this request is for one.
/// HTTP/2 has its own form of it, which nobody who knows only `http_proxy` speaks.
/// Inside of an intercepted connection there is no other.
pub fn asked(head: &request::Parts, connection: &Connection) -> Option<Rc<Connect>> {
    let is_asked = head.method == Method::CONNECT
        && head.version != Version::HTTP_2
        && connection.origin().is_none();
    is_asked.then(|| connection.listener.connect.clone())?
}

/// Connects to the target, and has the tunnel begin once the answer is written;
/// or what is intercepted.
pub async fn open(
    worker: &Worker,
    connection: &Connection,
    connect: &Connect,
    head: &request::Parts,
    seen: &mut Seen,
) -> Result<Response<Answer>, Refusal> {
    let named = target(head);
    if let (Ok((host, port)), Some(interception)) = (&named, &connect.interception)
        && interception.lists(host, *port)
    {
        // No tunnel, and counted as none.
        intercept::open(worker, connection, interception, (host, *port), seen)?;
        return Ok(Response::new(Answer::empty()));
    }
    let counted = worker.tally.tunnel_asked();
    let opened = match named {
        Ok(target) => reach(worker, connect, target, head, seen).await,
        Err(refusal) => Err(refusal),
    };
    counted.no_more();
    opened.inspect_err(|refusal| {
        worker.tally.tunnel_ended(match refusal.code {
            Code::UpstreamUnreachable => TunnelEnd::Unreachable,
            Code::UpstreamTimeout => TunnelEnd::Timeout,
            _ => TunnelEnd::Refused,
        });
    })
}

async fn reach(
    worker: &Worker,
    connect: &Connect,
    (host, port): (String, u16),
    head: &request::Parts,
    seen: &mut Seen,
) -> Result<Response<Answer>, Refusal> {
    let Some(listed) = connect.lists(&host, port) else {
        return Err(absolute::no_tunnel(head));
    };
    let target = format!("{host}:{port}").into_boxed_str();
    let inner = host.trim_matches(['[', ']']);
    let dialing = worker
        .dialer
        .through(inner, port, listed == Listed::ByPattern);
    let dialed = worker.deadlines.within(connect.connect_timeout, dialing);
    let upstream = dialed
        .await
        .map_err(|_| timed_out(&target, connect.connect_timeout))?
        .map_err(|error| not_connected(&target, &error))?;
    seen.tunnel = Some(Box::new(Onward::Through(Through {
        target,
        upstream,
        patience: connect.tunnel_idle_timeout,
        told: Told::default(),
    })));
    Ok(Response::new(Answer::empty()))
}

/// The host, in lower case, and the port that the request line names; `Host`, and
/// whatever frames a body, must not speak of something else.
fn target(head: &request::Parts) -> Result<(String, u16), Refusal> {
    let authority = head.uri.authority();
    let named = authority.and_then(|named| Some((named, named.port_u16()?)));
    let Some((authority, port)) = named.filter(|(named, _)| !named.as_str().contains('@')) else {
        return Err(Refusal::bad_request(
            "the target of CONNECT is not a host and a port",
        ));
    };
    let headers = &head.headers;
    if headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::bad_request("CONNECT has no body"));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let agrees = match (hosts.next(), hosts.next()) {
        (None, _) => head.version == Version::HTTP_10,
        (Some(host), None) => {
            let is = |name: &str| host.as_bytes().eq_ignore_ascii_case(name.as_bytes());
            is(authority.as_str()) || is(authority.host())
        }
        (Some(_), Some(_)) => false,
    };
    match agrees {
        true => Ok((authority.host().to_ascii_lowercase(), port)),
        false => Err(Refusal::bad_request(
            "the Host header is not the target of CONNECT",
        )),
    }
}

fn timed_out(target: &str, time: Duration) -> Refusal {
    Refusal::new(
        Code::UpstreamTimeout,
        format!("{target} took no connection within {time:?} (connect.connect_timeout)"),
    )
}

fn not_connected(target: &str, error: &DialError) -> Refusal {
    Refusal::new(Code::UpstreamUnreachable, format!("{target}: {error}"))
}

impl Through {
    /// As [`Tunnel::begin`](super::tunnel::Tunnel::begin).
    pub async fn begin(
        self,
        worker: &Worker,
        connection: &Rc<Connection>,
        parts: Option<(ClientStream, Bytes)>,
    ) {
        let Self {
            target,
            upstream,
            patience,
            told,
        } = self;
        let mut carried = (0, 0);
        let mut how = TunnelEnd::Lost;
        if let Some((caller, read)) = parts {
            let (_busy, open) = (connection.in_request(None), worker.tally.tunnel_open());
            let mut ends = Ends::of_bytes((caller, &read), upstream);
            how = carry(worker, connection, &mut ends, patience).await;
            carried = ends.bytes();
            open.carried(carried);
        }
        worker.tally.tunnel_ended(how);
        worker.log_access(&Entry {
            client: connection.peer.as_str(),
            method: "CONNECT",
            path: &target,
            caller: told.caller.as_deref(),
            labels: None,
            status: 200,
            error: None,
            duration: told.started.elapsed(),
            upstream: told.upstream,
            replayed: false,
            trace: told.trace,
            tunnelled: Some(carried),
        });
    }
}

/// Carries bytes until both sides have ended, or have been silent for too long,
/// or the process ends.
async fn carry(
    worker: &Worker,
    connection: &Connection,
    ends: &mut Ends,
    patience: Duration,
) -> TunnelEnd {
    let silent_until = Cell::new(Instant::now() + patience);
    let over = poll_fn(|cx| {
        connection.wake_with(cx);
        if connection.is_farewell() {
            return Poll::Ready(false);
        }
        let before = ends.moved();
        let polled = ends.poll(cx);
        if ends.moved() != before {
            silent_until.set(Instant::now() + patience);
        }
        polled.map(|_| true)
    });
    let how = match worker.deadlines.until(&silent_until, over).await {
        Ok(true) => return TunnelEnd::Ended,
        Ok(false) => TunnelEnd::Drain,
        Err(_) => TunnelEnd::Idle,
    };
    let shut = poll_fn(|cx| ends.poll_shut(cx));
    let _ = worker.deadlines.within(FAREWELL, shut).await;
    how
}

#[cfg(test)]
mod tests {
    use super::target;
    use http::Request;

    fn named(uri: &str, fields: &[(&str, &str)]) -> Option<(String, u16)> {
        let mut request = Request::builder().method("CONNECT").uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        target(&request.body(()).unwrap().into_parts().0).ok()
    }

    #[test]
    fn a_target_has_a_host_and_a_port_and_no_second_reading() {
        let found = Some(("a.example".to_owned(), 443));
        let uri = "A.example:443";
        assert_eq!(named(uri, &[("host", "a.example:443")]), found);
        assert_eq!(named(uri, &[("host", "a.example")]), found);
        for fields in [
            &[][..],
            &[("host", "b.example:443")],
            &[("host", "a.example:80")],
            &[("host", "a.example"), ("host", "a.example")],
            &[("host", "a.example"), ("content-length", "0")],
            &[("host", "a.example"), ("transfer-encoding", "chunked")],
        ] {
            assert_eq!(named(uri, fields), None, "{fields:?}");
        }
        assert_eq!(named("/x", &[("host", "a.example")]), None);
        assert_eq!(named("a.example", &[("host", "a.example")]), None);
        let with_user = [("host", "u@a.example:443")];
        assert_eq!(named("u@a.example:443", &with_user), None);
    }
}
