//! The handshake of a WebSocket (RFC 6455, 4): what asks for one, what goes to
//! the upstream over a connection of its own, and what answers it.

use super::attach::Outbound;
use super::body;
use super::dialing;
use super::hop::{Noted, names_in};
use super::http1::answer::Answer;
use super::http1::line::Line;
use super::observe::Seen;
use super::onward::Onward;
use super::pool::Open;
use super::received::Received;
use super::refusal::{Code, Refusal};
use super::respond;
use super::route::WorkerRoute;
use super::tunnel::{Raw, Tunnel};
use super::upstream::{self, Answered, Return};
use super::worker::Worker;
use crate::base::crypto::websocket_accept;
use crate::token::{Attach, Credential};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Response, StatusCode, Version, request};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// A handshake under way.
pub struct Handshake {
    /// What the upstream has to say to the caller's key.
    accept: String,
    /// The last sending's connection, once it is no longer HTTP.
    line: RefCell<Option<Line>>,
}

/// Whether a request asks for a WebSocket. Any other upgrade is none of ours:
/// it is stripped, as RFC 9110, 7.8 has it. A request that means a WebSocket
/// and is not well-formed is refused.
pub fn asked(
    head: &request::Parts,
    noted: &mut Noted,
    has_body: bool,
) -> Result<Option<Box<Handshake>>, Refusal> {
    let headers = &head.headers;
    if !is_websocket(headers) || head.version != Version::HTTP_11 {
        return Ok(None);
    }
    if head.method != Method::GET || has_body {
        return Err(Refusal::bad_request(
            "a WebSocket is asked for by a GET without a body",
        ));
    }
    if only(headers, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(Refusal::bad_request("Sec-WebSocket-Version must be 13"));
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).and_then(|key| std::str::from_utf8(key).ok());
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16));
    let Some(key) = key else {
        return Err(Refusal::bad_request(
            "Sec-WebSocket-Key must be 16 bytes in base64, once",
        ));
    };
    noted.goes_on.websocket = true;
    Ok(Some(Box::new(Handshake {
        accept: websocket_accept(key),
        line: RefCell::default(),
    })))
}

/// `Upgrade: websocket` and nothing else, named by `Connection`.
fn is_websocket(headers: &HeaderMap) -> bool {
    let is_named = headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| names_in(value).any(|name| name == UPGRADE));
    is_named && only(headers, &UPGRADE).is_some_and(|to| to.eq_ignore_ascii_case(b"websocket"))
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values
        .next()
        .is_none()
        .then(|| first.as_bytes().trim_ascii())
}

/// Says in a message's head that it is about a WebSocket.
pub fn put_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

impl Handshake {
    /// Sends it over a new connection, which never sees a pool.
    pub async fn send(
        &self,
        worker: &Worker,
        route: &WorkerRoute,
        outbound: &mut Outbound<'_>,
        attach: &Attach,
        now: Instant,
    ) -> Result<Answered, Refusal> {
        // Of a sending before this one: its connection may be in our way.
        self.line.take();
        let (stream, slot) = dialing::dial(worker, route, outbound.patience.share()).await?;
        let line = Line::new(stream, slot).spelling(route.route.keep_header_case);
        line.write(|head| outbound.write(attach, None, None, head))?;
        let deadline = Cell::new(now + route.route.timeout);
        let answer = worker
            .deadlines
            .until(&deadline, line.answer(None, false, &worker.deadlines));
        let Answer { head, content, .. } = answer
            .await
            .map_err(|_| upstream::timed_out(route))?
            .map_err(|failure| upstream::failed(route, line.trouble().as_ref(), failure))?;
        let open = Open::new(line.clone());
        let response = Response::from_parts(head, Received::Http1(content));
        line.closes();
        let mut answered = upstream::answered(route, open, response, None)?;
        if is_switch(&answered.response) {
            answered.back = Return::to_nowhere(route);
            self.line.replace(Some(line));
        }
        Ok(answered)
    }

    /// The answer to the caller where the upstream has switched protocols; the
    /// tunnel begins once it is written.
    pub fn switched(
        &self,
        worker: &Worker,
        route: &Rc<WorkerRoute>,
        credential: &Arc<Credential>,
        answered: Answered,
        seen: &mut Seen,
    ) -> Result<Response<body::Answer>, Refusal> {
        let mut response = answered.response.map(|_| body::Answer::empty());
        let headers = response.headers();
        let is_proven = only(headers, &SEC_WEBSOCKET_ACCEPT) == Some(self.accept.as_bytes());
        let line = self.line.take();
        let line = line.filter(|_| is_websocket(headers) && is_proven);
        let Some((io, read, slot)) = line.and_then(Line::into_parts) else {
            return Err(Refusal::new(
                Code::UpstreamUnreachable,
                format!(
                    "upstream {} switched protocols, but not to the WebSocket that was asked for",
                    route.route.upstream.authority
                ),
            ));
        };
        respond::strip(&mut response, &credential.attach);
        let headers = response.headers_mut();
        // It has no content (RFC 9110, 15.2), whatever it says.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        put_upgrade(headers);
        let raw = Raw { io, read, slot };
        let tunnel = Tunnel::new(worker, route, credential, raw);
        seen.tunnel = Some(Box::new(Onward::WebSocket(tunnel)));
        Ok(response)
    }
}

/// True for an answer that would end HTTP on its connection.
#[must_use]
pub fn is_switch<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

#[cfg(test)]
mod tests {
    use super::{Noted, asked};
    use http::Request;

    fn outcome(fields: &[(&str, &str)], method: &str) -> Option<bool> {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut noted = Noted::in_fields(&head.headers);
        let asked = asked(&head, &mut noted, false).ok()?;
        assert_eq!(asked.is_some(), noted.goes_on.websocket);
        Some(asked.is_some())
    }

    const KEY: (&str, &str) = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");
    const CONNECTION: (&str, &str) = ("Connection", "keep-alive, Upgrade");
    const UPGRADE: (&str, &str) = ("Upgrade", "WebSocket");

    #[test]
    fn a_websocket_is_asked_for_as_the_rfc_says() {
        let whole = [KEY, VERSION, CONNECTION, UPGRADE];
        assert_eq!(outcome(&whole, "GET"), Some(true));
        assert_eq!(outcome(&whole, "POST"), None, "refused");
        for other in [
            &[KEY, VERSION, UPGRADE][..],
            &[KEY, VERSION, CONNECTION],
            &[KEY, VERSION, CONNECTION, ("Upgrade", "h2c")],
            &[KEY, VERSION, CONNECTION, ("Upgrade", "websocket, h2c")],
        ] {
            assert_eq!(outcome(other, "GET"), Some(false), "{other:?}");
        }
        for malformed in [
            &[KEY, CONNECTION, UPGRADE][..],
            &[KEY, ("Sec-WebSocket-Version", "8"), CONNECTION, UPGRADE],
            &[VERSION, CONNECTION, UPGRADE],
            &[KEY, KEY, VERSION, CONNECTION, UPGRADE],
            &[
                ("Sec-WebSocket-Key", "c2hvcnQ="),
                VERSION,
                CONNECTION,
                UPGRADE,
            ],
        ] {
            assert_eq!(outcome(malformed, "GET"), None, "{malformed:?}");
        }
    }
}
