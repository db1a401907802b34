//! From the caller's request to the upstream's: first goes what the caller
//! sent in our places, then the hop-by-hop fields, then comes what is ours.

use super::edits;
use super::handshake::put_upgrade;
use super::hop::{self, GoesOn, Noted, take_connection};
use super::http1::framing::may_trail;
use super::http1::spelled::{Lines, Spelled, Speller};
use super::http1::upload::{self, Framing};
use super::outgoing::Whole;
use super::path::{Rewrite, without_pairs};
use super::patience::Patience;
use super::received::Received;
use super::refusal::{Code, Refusal};
use super::replay::{Sending, Upload};
use super::route::WorkerRoute;
use super::trace::TRACEPARENT;
use super::trailers::{foreign_trailers, keep_foreign_trailers};
use super::verdict;
use crate::token::{Attach, QueryPair, RejectedStatus, TokenPlace};
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TRAILER, TRANSFER_ENCODING,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri, request};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Our own cookies never leave for an upstream.
const OWN_COOKIE: &[u8] = b"__sidekey-";

/// A request without its token, ready to be sent once, and again if need be.
pub struct Outbound<'a> {
    pub method: &'a Method,
    /// As the caller sent it: matching and forwarding use the same bytes.
    target: &'a PathAndQuery,
    route: &'a WorkerRoute,
    headers: &'a mut HeaderMap,
    /// `Host` is the route's, and not among the fields: no account may set it.
    says_host: bool,
    has_trailers: bool,
    /// The caller takes trailers, and says so.
    pub wants_trailers: bool,
    /// How the caller has spelt the names, where that is kept.
    spelled: Option<Box<Spelled>>,
    /// How long it may wait for connections.
    pub patience: Patience,
    /// Where traces are configured: whose child the upstream's span is.
    pub traceparent: Option<Box<HeaderValue>>,
}

/// What an absolute target without a path means.
static ROOT: LazyLock<PathAndQuery> = LazyLock::new(|| PathAndQuery::from_static("/"));

impl<'a> Outbound<'a> {
    /// Strips the caller's request of everything that is not the upstream's.
    pub fn prepare(
        head: &'a mut request::Parts,
        noted: Noted,
        route: &'a WorkerRoute,
    ) -> Result<Self, Refusal> {
        let headers = &mut head.headers;
        let spelled = match route.route.keep_header_case {
            true => head.extensions.remove::<Spelled>().map(Box::new),
            false => None,
        };
        let wants_trailers = noted.te() && hop::wants_trailers(headers);
        strip_hop_by_hop(headers, noted)?;
        if noted.asks_for_more() {
            put_back(headers, noted.goes_on);
        }
        if let Some(edits) = &route.route.edits {
            edits::request(edits, headers, &head.uri, &route.authority);
        }
        Ok(Self {
            method: &head.method,
            target: head.uri.path_and_query().unwrap_or(&ROOT),
            route,
            headers,
            says_host: route.route.edits.is_none(),
            has_trailers: noted.trailer,
            wants_trailers,
            spelled,
            patience: Patience::of(route),
            traceparent: None,
        })
    }

    /// The head of one sending, with this credential in it.
    pub fn request(&self, attach: &Attach) -> Result<Request<()>, Refusal> {
        let target = self.target(attach)?.into_owned();
        let mut headers = self.headers.clone();
        if self.says_host {
            headers.insert(HOST, self.route.authority.clone());
        }
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
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Writes the head for one sending over HTTP/1.1, with this credential in it;
    /// gives what follows it. To a proxy that gets the request `whole`, in that form.
    pub fn write(
        &self,
        attach: &Attach,
        whole: Option<&Whole>,
        upload: Option<&Upload>,
        out: &mut Vec<u8>,
    ) -> Result<Option<upload::Upload>, Refusal> {
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        if let Some(whole) = whole {
            whole.write_origin(out);
        }
        out.extend_from_slice(self.target(attach)?.as_str().as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let token = match &attach.token {
            TokenPlace::Header { name, value } => Some((name, value)),
            TokenPlace::Query(_) => None,
        };
        let spells = self.route.route.keep_header_case;
        let names = spells.then(|| Speller::new(self.spelled.as_deref()));
        let mut lines = Lines::new(out, names);
        if self.says_host {
            lines.put(&HOST, self.route.authority.as_bytes());
        }
        for (name, value) in &*self.headers {
            if !self.is_said_anew(name, attach, token.map(|(name, _)| name), upload) {
                lines.put(name, value.as_bytes());
            }
        }
        let login = whole.and_then(Whole::authorization);
        let login = login.map(|login| (&PROXY_AUTHORIZATION, login));
        let traceparent = self.traceparent.as_deref();
        let traceparent = traceparent.map(|traceparent| (&TRACEPARENT, traceparent));
        let fields = attach.headers.iter().map(|(name, value)| (name, value));
        let ours = || {
            let first = traceparent.into_iter().chain(fields.clone());
            first.chain(token).chain(login)
        };
        for (at, (name, value)) in ours().enumerate() {
            // Of several of one name the last counts.
            if !ours().skip(at + 1).any(|(later, _)| later == name) {
                lines.put(name, value.as_bytes());
            }
        }
        let content = upload.map(|upload| self.write_framing(attach, upload.send(), &mut lines));
        lines.out.extend_from_slice(b"\r\n");
        Ok(content)
    }

    /// True for a field of the caller's in whose place there is one of ours.
    fn is_said_anew(
        &self,
        name: &HeaderName,
        attach: &Attach,
        token: Option<&HeaderName>,
        upload: Option<&Upload>,
    ) -> bool {
        Some(name) == token
            || attach.headers.iter().any(|(ours, _)| ours == name)
            || match *name {
                TRANSFER_ENCODING => true,
                HOST => self.says_host,
                CONTENT_LENGTH => upload.is_some(),
                TRAILER => self.has_trailers,
                _ => self.traceparent.is_some() && *name == TRACEPARENT,
            }
    }

    /// Says how long the content is, in one way.
    fn write_framing(
        &self,
        attach: &Attach,
        sending: Sending,
        lines: &mut Lines<'_>,
    ) -> upload::Upload {
        let framing = match sending.size_hint().exact() {
            Some(length) => {
                lines.put(&CONTENT_LENGTH, HeaderValue::from(length).as_bytes());
                Framing::Length(length)
            }
            None => {
                let mut names = Vec::new();
                if self.has_trailers {
                    names = foreign_trailers(self.headers, attach, Some(&self.route.route));
                    names.retain(may_trail);
                }
                for name in &names {
                    lines.put(&TRAILER, name.as_str().as_bytes());
                }
                lines.put(&TRANSFER_ENCODING, b"chunked");
                Framing::Chunked(names)
            }
        };
        upload::Upload::new(sending, framing)
    }

    /// The next sending goes to another address of the route's upstream.
    pub fn lead_to(&mut self, route: &'a WorkerRoute, is_last: bool) {
        let edits = route.route.edits.as_ref();
        if edits.is_some_and(|edits| !edits.preserve_host) {
            self.headers.insert(HOST, route.authority.clone());
        }
        self.route = route;
        self.patience.go_on(is_last);
    }

    /// What of an answer to this request rejects the token, if anything does.
    pub fn rejection(&self, answer: &Response<Received>) -> Option<RejectedStatus> {
        let is_bare = answer.body().is_end_stream();
        verdict::rejection(answer, is_bare, &self.route.retry_on, || self.is_grpc())
    }

    /// True of a request of gRPC's.
    fn is_grpc(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE);
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
    }

    /// What follows the route's prefix in the path.
    pub fn rest(&self) -> &str {
        self.route.rest(self.target.path())
    }

    fn target(&self, attach: &Attach) -> Result<Cow<'_, PathAndQuery>, Refusal> {
        let upstream = &self.route.route.upstream;
        let token = match &attach.token {
            TokenPlace::Query(pair) => Some(pair),
            TokenPlace::Header { .. } => None,
        };
        let ours = || attach.query.iter().chain(token);
        let rest = self.route.rest(self.target.path());
        if ours().next().is_none()
            && upstream.query.is_none()
            && upstream.path == "/"
            && rest == self.target.path()
            // An absolute target may have no path (RFC 9112, 3.2.1).
            && !self.target.as_str().starts_with('?')
        {
            return Ok(Cow::Borrowed(self.target));
        }
        let attached: Vec<&str> = ours().map(|pair| pair.encoded.expose()).collect();
        let rewrite = Rewrite {
            upstream_path: &upstream.path,
            upstream_query: upstream.query.as_deref(),
            rest,
            query: callers_query(self.target.query(), ours),
            attached: &attached,
        };
        rewrite.build().map(Cow::Owned).ok_or_else(|| {
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
    use super::{Noted, strip_own_cookies};
    use crate::proxy::refusal::Refusal;
    use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

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
