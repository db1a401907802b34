//! From the caller's request to the upstream's: first goes what the caller
//! sent in our places, then the hop-by-hop fields, then comes what is ours.

use super::body::Outgoing;
use super::edits;
use super::expect::await_continue;
use super::handshake::put_upgrade;
use super::hop::{self, GoesOn, Noted, names_in, take_connection};
use super::path::{Rewrite, without_pairs};
use super::patience::Patience;
use super::refusal::{Code, Refusal};
use super::route::WorkerRoute;
use super::spelling::Spelling;
use super::trace::TRACEPARENT;
use super::verdict;
use crate::config::checked::Route;
use crate::token::{Attach, QueryPair, RejectedStatus, TokenPlace};
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    TRAILER, TRANSFER_ENCODING,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri, request};
use hyper::body::Body;
use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::LazyLock;

/// Our own cookies never leave for an upstream.
const OWN_COOKIE: &[u8] = b"__sidekey-";

/// A request without its token, ready to be sent once, and again if need be.
pub struct Outbound<'a> {
    pub method: &'a Method,
    /// As the caller sent it: matching and forwarding use the same bytes.
    target: &'a PathAndQuery,
    route: &'a WorkerRoute,
    /// For the first sending, which takes them.
    headers: Option<HeaderMap>,
    /// For any other.
    kept: Fields,
    has_trailers: bool,
    /// The caller takes trailers, and says so.
    pub wants_trailers: bool,
    /// The upstream says when the body may come.
    expects: bool,
    shelf: &'a Shelf,
    spelling: Spelling,
    /// How long it may wait for connections.
    pub patience: Patience,
    /// Where traces are configured: whose child the upstream's span is.
    pub traceparent: Option<Box<HeaderValue>>,
}

type Fields = Vec<(HeaderName, HeaderValue)>;

/// Lists that one request after another keeps its fields in.
#[derive(Default)]
pub struct Shelf(RefCell<Vec<Fields>>);

impl Shelf {
    /// Lists kept, for as many requests at once.
    const MOST: usize = 64;

    fn take(&self) -> Fields {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    fn put(&self, mut fields: Fields) {
        fields.clear();
        let mut shelf = self.0.borrow_mut();
        if shelf.len() < Self::MOST && fields.capacity() <= Self::MOST {
            shelf.push(fields);
        }
    }
}

impl Drop for Outbound<'_> {
    fn drop(&mut self) {
        self.shelf.put(std::mem::take(&mut self.kept));
    }
}

/// What an absolute target without a path means.
static ROOT: LazyLock<PathAndQuery> = LazyLock::new(|| PathAndQuery::from_static("/"));

impl<'a> Outbound<'a> {
    /// Strips the caller's request of everything that is not the upstream's.
    pub fn prepare(
        head: &'a mut request::Parts,
        noted: Noted,
        route: &'a WorkerRoute,
        shelf: &'a Shelf,
    ) -> Result<Self, Refusal> {
        let mut headers = std::mem::take(&mut head.headers);
        let spelling = Spelling::of(head, route);
        let wants_trailers = noted.te() && hop::wants_trailers(&headers);
        strip_hop_by_hop(&mut headers, noted)?;
        if noted.asks_for_more() {
            put_back(&mut headers, noted.goes_on);
        }
        match &route.route.edits {
            None => drop(headers.insert(HOST, route.authority.clone())),
            Some(edits) => edits::request(edits, &mut headers, &head.uri, &route.authority),
        }
        let mut kept = shelf.take();
        let all = headers.iter();
        kept.extend(all.map(|(name, value)| (name.clone(), value.clone())));
        Ok(Self {
            method: &head.method,
            target: head.uri.path_and_query().unwrap_or(&ROOT),
            route,
            kept,
            has_trailers: noted.trailer,
            wants_trailers,
            expects: noted.goes_on.expect,
            shelf,
            spelling,
            patience: Patience::of(route),
            headers: Some(headers),
            traceparent: None,
        })
    }

    /// The request for one sending, with this credential in it.
    pub fn request(
        &mut self,
        attach: &Attach,
        body: Outgoing,
    ) -> Result<Request<Outgoing>, Refusal> {
        let target = self.target(attach)?;
        let kept = &self.kept;
        let mut headers = self.headers.take().unwrap_or_else(|| with_all(kept));
        if let Some(traceparent) = &self.traceparent {
            headers.insert(&TRACEPARENT, (**traceparent).clone());
        }
        for (name, value) in &attach.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let TokenPlace::Header { name, value } = &attach.token {
            headers.insert(name.clone(), value.clone());
        }
        if self.has_trailers {
            keep_foreign_trailers(&mut headers, attach, Some(&self.route.route));
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = headers;
        self.spelling.put(&mut request);
        if self.expects {
            await_continue(&mut request);
        }
        Ok(request)
    }

    /// The next sending goes to another address of the route's upstream.
    pub fn lead_to(&mut self, route: &'a WorkerRoute, is_last: bool) {
        let edits = route.route.edits.as_ref();
        if !edits.is_some_and(|edits| edits.preserve_host) {
            let mut kept = self.kept.iter_mut();
            if let Some((_, host)) = kept.find(|(name, _)| *name == HOST) {
                host.clone_from(&route.authority);
            }
            if let Some(headers) = &mut self.headers {
                headers.insert(HOST, route.authority.clone());
            }
        }
        self.route = route;
        self.patience.go_on(is_last);
    }

    /// What of an answer to this request rejects the token, if anything does.
    pub fn rejection<B: Body>(&self, answer: &Response<B>) -> Option<RejectedStatus> {
        verdict::rejection(answer, &self.route.retry_on, || self.is_grpc())
    }

    /// True of a request of gRPC's.
    fn is_grpc(&self) -> bool {
        let mut fields = self.kept.iter();
        let found = fields.find(|(name, _)| *name == CONTENT_TYPE);
        found.is_some_and(|(_, value)| value.as_bytes().starts_with(b"application/grpc"))
    }

    /// What follows the route's prefix in the path.
    pub fn rest(&self) -> &str {
        self.route.rest(self.target.path())
    }

    fn target(&self, attach: &Attach) -> Result<PathAndQuery, Refusal> {
        let upstream = &self.route.route.upstream;
        let token = match &attach.token {
            TokenPlace::Query(pair) => Some(pair),
            TokenPlace::Header { .. } => None,
        };
        let ours = || attach.query.iter().chain(token);
        let attached: Vec<&str> = ours().map(|pair| &*pair.encoded).collect();
        let rest = self.route.rest(self.target.path());
        if attached.is_empty()
            && upstream.query.is_none()
            && upstream.path == "/"
            && rest == self.target.path()
        {
            return Ok(self.target.clone());
        }
        let rewrite = Rewrite {
            upstream_path: &upstream.path,
            upstream_query: upstream.query.as_deref(),
            rest,
            query: callers_query(self.target.query(), ours),
            attached: &attached,
        };
        rewrite.build().ok_or_else(|| {
            Refusal::new(
                Code::UriTooLong,
                "with the route's path and parameters the request target is not valid",
            )
        })
    }
}

fn callers_query<'q, 'a, I: Iterator<Item = &'a QueryPair>>(
    query: Option<&'q str>,
    ours: impl Fn() -> I,
) -> Option<Cow<'q, str>> {
    without_pairs(query?, |name| {
        ours().any(|pair| pair.name.as_bytes() == name)
    })
}

fn with_all(kept: &[(HeaderName, HeaderValue)]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(kept.len());
    for (name, value) in kept {
        headers.append(name.clone(), value.clone());
    }
    headers
}

/// Removes what ends at the caller's connection.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap, noted: Noted) -> Result<(), Refusal> {
    noted.strip(headers);
    if noted.trailer && !noted.transfer_encoding {
        // Only a chunked body has trailers to announce.
        headers.remove(TRAILER);
    }
    if noted.transfer_encoding {
        // Not every server compares it without regard to case.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if noted.connection {
        strip_named(headers)?;
    }
    if noted.cookie {
        strip_own_cookies(headers);
    }
    Ok(())
}

/// What ended with the caller's connection, said anew.
fn put_back(headers: &mut HeaderMap, goes_on: GoesOn) {
    if goes_on.websocket {
        put_upgrade(headers);
    }
    if goes_on.expect {
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
}

/// Removes `Connection` and the fields that it names. Naming a field that
/// frames or addresses the message would leave two readings of it.
fn strip_named(headers: &mut HeaderMap) -> Result<(), Refusal> {
    for name in take_connection(headers) {
        if matches!(name, CONTENT_LENGTH | TRANSFER_ENCODING | HOST) {
            return Err(Refusal::bad_request(
                "Connection names a field that frames or addresses the message",
            ));
        }
        headers.remove(name);
    }
    Ok(())
}

/// Announces no trailer that an upstream could take for what is ours, or for
/// what ends here: hyper sends those alone that are announced.
fn keep_foreign_trailers(headers: &mut HeaderMap, attach: &Attach, route: Option<&Route>) {
    let token = match &attach.token {
        TokenPlace::Header { name, .. } => Some(name),
        TokenPlace::Query(_) => None,
    };
    let ours: Vec<&HeaderName> = attach.headers.iter().map(|(name, _)| name).collect();
    let foreign =
        |name: &HeaderName| Some(name) != token && !ours.contains(&name) && is_foreign(name, route);
    let values = headers.get_all(TRAILER).iter();
    let kept: Vec<HeaderName> = values.flat_map(names_in).filter(foreign).collect();
    headers.remove(TRAILER);
    for name in kept {
        headers.append(TRAILER, HeaderValue::from(name));
    }
}

/// A name that a trailer may have on this route, unless it is ours.
pub(super) fn is_foreign(name: &HeaderName, route: Option<&Route>) -> bool {
    let stopped = route.is_some_and(|route| {
        let edits = route.edits.as_deref();
        let jwts = route.callers.iter().flat_map(|all| all.jwts());
        edits.is_some_and(|edits| edits::stops_trailer(edits, name))
            || jwts.into_iter().any(|jwt| jwt.header == *name)
    });
    // Framing and routing are never a trailer's to say (RFC 9110, 6.5.1).
    let frames = [CONTENT_LENGTH, TRANSFER_ENCODING, HOST].contains(name);
    *name != COOKIE && !frames && !hop::ends_here(name) && !stopped
}

fn strip_own_cookies(headers: &mut HeaderMap) {
    let has_own =
        |value: &HeaderValue| memchr::memmem::find(value.as_bytes(), OWN_COOKIE).is_some();
    if !headers.get_all(COOKIE).iter().any(has_own) {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    for value in values {
        let kept: Vec<&[u8]> = value
            .as_bytes()
            .split(|b| *b == b';')
            .map(<[u8]>::trim_ascii)
            .filter(|cookie| !cookie.starts_with(OWN_COOKIE) && !cookie.is_empty())
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
            && !value.is_empty()
        {
            headers.append(COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Noted, keep_foreign_trailers, strip_own_cookies};
    use crate::proxy::refusal::Refusal;
    use crate::token::{Attach, TokenPlace};
    use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, TRAILER};

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn strip_hop_by_hop(headers: &mut HeaderMap) -> Result<(), Refusal> {
        let noted = Noted::in_fields(headers);
        super::strip_hop_by_hop(headers, noted)
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn hop_by_hop_fields_and_those_named_by_connection_go() {
        let mut headers = map(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("accept", "*/*"),
            ("forwarded", "for=1.2.3.4"),
        ]);
        strip_hop_by_hop(&mut headers).unwrap();
        assert_eq!(names(&headers), ["accept", "forwarded"]);
    }

    #[test]
    fn connection_may_not_name_what_frames_the_message() {
        for name in ["content-length", "Host", "transfer-encoding"] {
            let mut headers = HeaderMap::new();
            headers.insert("connection", HeaderValue::from_static(name));
            assert!(strip_hop_by_hop(&mut headers).is_err(), "{name}");
        }
    }

    #[test]
    fn chunked_goes_on_as_everyone_writes_it() {
        let mut headers = map(&[("transfer-encoding", "ChUnKeD")]);
        strip_hop_by_hop(&mut headers).unwrap();
        assert_eq!(headers["transfer-encoding"], "chunked");
    }

    #[test]
    fn a_trailer_is_not_in_our_place() {
        let value = HeaderValue::from_static("the token");
        let attach = Attach {
            token: TokenPlace::Header {
                name: HeaderName::from_static("x-api-key"),
                value: value.clone(),
            },
            headers: vec![(HeaderName::from_static("x-tenant"), value)],
            query: Vec::new(),
        };
        let mut headers = map(&[(
            "trailer",
            "X-API-Key, x-sum, cookie,Connection, x-tenant, keep-alive",
        )]);
        keep_foreign_trailers(&mut headers, &attach, None);
        assert_eq!(headers[TRAILER], "x-sum");
        let mut headers = map(&[("trailer", "x-api-key")]);
        keep_foreign_trailers(&mut headers, &attach, None);
        assert!(headers.is_empty());
    }

    #[test]
    fn only_our_own_cookies_go() {
        let mut headers = map(&[("cookie", "a=1; __sidekey-session=x; b=\"2\"")]);
        strip_own_cookies(&mut headers);
        assert_eq!(headers[COOKIE], "a=1; b=\"2\"");
        let mut headers = map(&[("cookie", "__sidekey-session=x")]);
        strip_own_cookies(&mut headers);
        assert!(headers.is_empty());
        let mut headers = map(&[("cookie", "a=1;b=2")]);
        strip_own_cookies(&mut headers);
        assert_eq!(headers[COOKIE], "a=1;b=2", "untouched where none is ours");
    }
}
