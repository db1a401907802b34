//! Who may ask at all: the request's form, its `Host`, and whether a foreign
//! page sent it.

use super::absolute;
use super::connection::Connection;
use super::hop::Noted;
use super::http1::framing::number;
use super::leaves::Leaves;
use super::refusal::{Code, Refusal};
use super::route::{Routes, WorkerRoute};
use super::served::Share;
use super::{Listening, Secured};
use crate::config::checked::callers::Allowed;
use crate::config::checked::connect::Connect;
use crate::net::listen::Local;
use crate::net::tls::server::ServerTls;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING};
use http::{Method, Version, request};
use std::borrow::Cow;
use std::cell::{Ref, RefCell};
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a listener lets in.
pub struct Listener {
    /// Host names (lower case) that may reach it besides loopback names and
    /// the hosts that routes name.
    pub hosts: Vec<String>,
    /// On loopback, or with `hosts` set: only known hosts are let in. At a Unix
    /// socket only with `hosts`: no page of a browser can call there.
    pub checks_host: bool,
    /// What may be reached by CONNECT.
    pub connect: Option<Rc<Connect>>,
    /// Certificates for the hosts that are intercepted.
    pub leaves: Leaves,
    /// What it serves.
    pub share: Share,
    tls: RefCell<Option<Secured>>,
    callers: RefCell<Option<Arc<Allowed>>>,
}

impl Listener {
    #[must_use]
    pub fn new(listening: &Listening) -> Self {
        let on_loopback = match &listening.address {
            Local::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Local::Unix(_) => false,
        };
        Self {
            checks_host: on_loopback || !listening.hosts.is_empty(),
            hosts: listening.hosts.clone(),
            connect: listening.connect.clone().map(Rc::new),
            leaves: Leaves::default(),
            share: Share::new(listening.routes.clone()),
            tls: RefCell::new(listening.tls.clone()),
            callers: RefCell::new(listening.callers.clone()),
        }
    }

    /// The scheme of the addresses by which callers reach it.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match *self.tls.borrow() {
            Some(_) => "https",
            None => "http",
        }
    }

    /// How it does TLS; `None` where it speaks plain HTTP.
    #[must_use]
    pub fn tls(&self) -> Option<ServerTls> {
        let tls = self.tls.borrow();
        tls.as_ref().map(|secured| secured.tls.clone())
    }

    /// Whether it lets in the same callers as it is to be now.
    #[must_use]
    pub fn lets_in_as(&self, listening: &Listening) -> bool {
        let tls = self.tls.borrow();
        let asks = |tls: Option<&Secured>| tls.map(|secured| secured.clients);
        self.hosts == listening.hosts
            && self.connect.as_deref() == listening.connect.as_ref()
            && asks(tls.as_ref()) == asks(listening.tls.as_ref())
    }

    /// True for a host, in lower case, by which callers mean the listener itself.
    #[must_use]
    pub fn is_own_name(&self, host: &str) -> bool {
        is_loopback_name(host) || self.hosts.iter().any(|h| h == host)
    }

    /// Who may call, of those who can reach it; `None`: all of them.
    #[must_use]
    pub fn callers(&self) -> Ref<'_, Option<Arc<Allowed>>> {
        self.callers.borrow()
    }

    /// From the next request on, also of connections that are open.
    pub fn lets_in(&self, callers: Option<Arc<Allowed>>) {
        self.callers.replace(callers);
    }

    /// Shows another certificate to callers that are still to come.
    pub fn shows(&self, tls: Option<Secured>) {
        self.tls.replace(tls);
    }
}

/// The request's host, in lower case, without its port. Refused are: methods
/// that no route serves, framing with two readings, a `Host` that is missing,
/// repeated or not one (RFC 9112, 3.2), and a host that this listener does not
/// know, for a page elsewhere could have made its own name point here.
pub fn check<'h>(
    head: &'h request::Parts,
    noted: Noted,
    connection: &Connection,
    routes: &Routes,
) -> Result<Cow<'h, str>, Refusal> {
    let listener = &connection.listener;
    check_method(head)?;
    if noted.transfer_encoding {
        check_framing(head)?;
    }
    if noted.frames_in_disguise {
        return Err(Refusal::bad_request(
            "Content_Length and Transfer_Encoding are refused: some servers read `_` as `-`",
        ));
    }
    let host = check_host(head, connection)?;
    if listener.checks_host && !is_known(&host, listener, routes) {
        if absolute::is_for_another(head, connection) {
            return Err(absolute::unnamed(&host));
        }
        return Err(Refusal::new(
            Code::CallerNotAllowed,
            format!(
                "this listener does not answer for the host {host:?}: call it by a loopback \
                 name, or list the name under `hosts` of the listener"
            ),
        ));
    }
    Ok(host)
}

fn check_method(head: &request::Parts) -> Result<(), Refusal> {
    match head.method {
        Method::CONNECT => Err(absolute::no_tunnel(head)),
        Method::TRACE => Err(Refusal::new(Code::MethodNotAllowed, "TRACE is not proxied")),
        _ => Ok(()),
    }
}

/// Lengths are resolved by now; what the parser lets pass are codings before
/// `chunked`, and several of them (RFC 9112, 6.1).
fn check_framing(head: &request::Parts) -> Result<(), Refusal> {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(first) = codings.next() else {
        return Ok(());
    };
    if codings.next().is_some() || !first.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Refusal::bad_request(
            "Transfer-Encoding must be one plain \"chunked\"",
        ));
    }
    Ok(())
}

fn check_host<'h>(
    head: &'h request::Parts,
    connection: &Connection,
) -> Result<Cow<'h, str>, Refusal> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let Some(first) = hosts.next() else {
        let version = match head.version {
            Version::HTTP_10 => "HTTP/1.0 requests need a Host header here too",
            _ => "the Host header is missing",
        };
        return Err(Refusal::bad_request(version));
    };
    if hosts.next().is_some() {
        return Err(Refusal::bad_request("there is more than one Host header"));
    }
    absolute::check(&head.uri, first)?;
    if !head.uri.path().starts_with('/') {
        return Err(Refusal::bad_request("the request target is not a path"));
    }
    let host = host_name(first);
    let host = host.ok_or_else(|| Refusal::bad_request("the Host header is not a host"))?;
    if let Some(origin) = connection.origin() {
        origin.check(&host, first)?;
    }
    Ok(host)
}

/// The host in lower case without its port; `None` when it is not a host.
fn host_name(value: &HeaderValue) -> Option<Cow<'_, str>> {
    let bytes = value.as_bytes();
    let end = match bytes.first()? {
        b'[' => memchr::memchr(b']', bytes)? + 1,
        _ => memchr::memchr(b':', bytes).unwrap_or(bytes.len()),
    };
    let (host, port) = bytes.split_at(end);
    let host = std::str::from_utf8(host).ok()?;
    if !is_port(port) || !is_name_or_literal(host) {
        return None;
    }
    Some(match host.bytes().any(|b| b.is_ascii_uppercase()) {
        false => Cow::Borrowed(host),
        true => Cow::Owned(host.to_ascii_lowercase()),
    })
}

/// Nothing, or a colon and a number that may be missing (RFC 3986, 3.2.3).
fn is_port(port: &[u8]) -> bool {
    match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => number(digits).is_some_and(|port| port <= u64::from(u16::MAX)),
        _ => false,
    }
}

fn is_name_or_literal(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        let address = literal.strip_suffix(']');
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    !host.is_empty() && host.bytes().all(in_name)
}

fn is_known(host: &str, listener: &Listener, routes: &Routes) -> bool {
    listener.is_own_name(host) || routes.names_host(host)
}

/// `localhost`, a name under it (RFC 6761, 6.3), or a loopback address.
fn is_loopback_name(host: &str) -> bool {
    // The two that nearly everyone writes.
    matches!(host, "localhost" | "127.0.0.1") || is_unusual_loopback_name(host)
}

fn is_unusual_loopback_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host == "localhost"
        || host.ends_with(".localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Refuses what a foreign page sent, unless the route allows that page's
/// origin. Gives the allowed origin, for the answer's CORS fields.
pub fn check_origin(
    headers: &HeaderMap,
    noted: Noted,
    connection: &Connection,
    route: &WorkerRoute,
) -> Result<Option<HeaderValue>, Refusal> {
    if !noted.from_page {
        return Ok(None);
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = origins.next();
    if origins.next().is_some() {
        return Err(Refusal::bad_request("there is more than one Origin header"));
    }
    if let Some(origin) = origin {
        if is_allowed(origin, route) {
            return Ok(Some(origin.clone()));
        }
        if !is_same_origin(origin, headers, connection) {
            return Err(foreign_page(&route.name, "Origin"));
        }
    }
    let mut sites = headers.get_all(&SEC_FETCH_SITE).iter();
    if sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return Err(foreign_page(&route.name, "Sec-Fetch-Site"));
    }
    Ok(None)
}

fn is_allowed(origin: &HeaderValue, route: &WorkerRoute) -> bool {
    route
        .route
        .allow_origins
        .iter()
        .any(|allowed| origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
}

/// A page of the same site has the origin of the connection's scheme and the very
/// `Host` of the request.
fn is_same_origin(origin: &HeaderValue, headers: &HeaderMap, connection: &Connection) -> bool {
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let rest = origin
        .as_bytes()
        .strip_prefix(connection.scheme().as_bytes());
    rest.and_then(|rest| rest.strip_prefix(b"://")) == host && host.is_some()
}

fn foreign_page(route: &str, field: &str) -> Refusal {
    Refusal::new(
        Code::CallerNotAllowed,
        format!(
            "the {field} header says that a page of another site sent this request; to let it, \
             list its origin under `allow_origins` of the route {route:?}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::{host_name, is_loopback_name};
    use http::HeaderValue;

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        for (text, expected) in [
            ("LocalHost:7480", Some("localhost")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("a_b.example.", Some("a_b.example.")),
            ("", None),
            (":80", None),
            ("a:b", None),
            ("a:99999", None),
            ("a:+80", None),
            ("[::1]x", None),
            ("[::1]:", Some("[::1]")),
            ("a:", Some("a")),
            ("a b", None),
            ("a/b", None),
            ("user@a", None),
            ("[::1", None),
            ("[zz]", None),
            ("a,b", None),
        ] {
            let value = HeaderValue::from_str(text).unwrap();
            assert_eq!(host_name(&value).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn loopback_names_are_known() {
        for name in [
            "localhost",
            "localhost.",
            "x.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback_name(name), "{name}");
        }
        for name in [
            "localhost.example",
            "10.0.0.1",
            "128.0.0.1",
            "[::2]",
            "notlocalhost",
        ] {
            assert!(!is_loopback_name(name), "{name}");
        }
    }
}
