//! Sends one request through a route, as an application would, and tells how
//! it went.

use super::frame::Frame;
use super::site::{ShownRoute, Site};
use crate::config::checked::{HostMatch, PathMatch, Route};
use askama::Template;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For the whole request.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is read of a body.
const BODY: usize = 1024 * 1024;

#[derive(Template)]
#[template(path = "try.html")]
struct TryPage {
    frame: Frame,
    csrf: String,
    routes: Vec<ShownRoute>,
    chosen: String,
    path: String,
    method: String,
    result: Option<Shown>,
}

/// What is to be sent.
#[derive(Default)]
pub struct Wanted {
    pub route: String,
    /// What comes after the route's path.
    pub path: String,
    pub method: String,
}

/// How it went, in words.
pub struct Shown {
    class: &'static str,
    headline: String,
    words: String,
    facts: Vec<(&'static str, String)>,
}

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    to_head: Duration,
    whole: Duration,
    bytes: usize,
    is_whole: bool,
}

/// The form, with the result of the last try.
pub fn page(site: &Site, frame: Frame, wanted: Wanted, result: Option<Shown>) -> String {
    let page = TryPage {
        csrf: frame.csrf(),
        frame,
        routes: site.shown_routes(None),
        chosen: wanted.route,
        path: wanted.path,
        method: wanted.method,
        result,
    };
    page.render().unwrap_or_default()
}

/// Sends what is wanted.
pub async fn send(site: &Site, wanted: &Wanted) -> Shown {
    let Some(route) = site.route(&wanted.route) else {
        return failed("There is no such route", "Choose one from the list.");
    };
    let Some(address) = site.own_proxy(route) else {
        return failed(
            "Nothing was sent",
            "No listener for plain HTTP on TCP, which this page could call, serves this route.",
        );
    };
    let method = match wanted.method.as_str() {
        "HEAD" => Method::HEAD,
        _ => Method::GET,
    };
    let target = target(route, &wanted.path);
    let Ok(uri) = target.parse::<Uri>() else {
        return failed(
            "Nothing was sent",
            "This is no path: write spaces as %20, and other characters percent-encoded too.",
        );
    };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    address_it(&mut request, route, address);
    match timeout(PATIENCE, exchange(address, request)).await {
        Ok(Ok(answered)) => tell(&answered, &format!("{method} {target}")),
        Ok(Err(why)) => failed("No answer came", &why),
        Err(_) => failed("No answer came", "30 seconds were not enough."),
    }
}

fn target(route: &Route, rest: &str) -> String {
    match &route.matcher.path {
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(prefix) => {
            format!("{prefix}/{}", rest.strip_prefix('/').unwrap_or(rest))
        }
    }
}

/// Gives the request what the route wants to see.
fn address_it(request: &mut Request<Empty<Bytes>>, route: &Route, address: SocketAddr) {
    let host = match &route.matcher.host {
        Some(HostMatch::Exact(host)) => host.clone(),
        Some(HostMatch::Suffix(suffix)) => format!("sidekey{suffix}"),
        None => address.to_string(),
    };
    let headers = request.headers_mut();
    if let Ok(host) = host.parse() {
        headers.insert(HOST, host);
    }
    for (name, value) in &route.matcher.headers {
        if let Ok(value) = value.parse() {
            headers.append(name.clone(), value);
        }
    }
}

async fn exchange(to: SocketAddr, request: Request<Empty<Bytes>>) -> Result<Answered, String> {
    let said = |why: &dyn std::fmt::Display| why.to_string();
    let began = Instant::now();
    let stream = TcpStream::connect(to).await.map_err(|why| said(&why))?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|why| said(&why))?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|why| said(&why))?;
    let to_head = began.elapsed();
    let (head, mut body) = answer.into_parts();
    let (mut bytes, mut is_whole) = (0, true);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| said(&why))?;
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > BODY {
            is_whole = false;
            break;
        }
    }
    connection.abort();
    Ok(Answered {
        status: head.status,
        headers: head.headers,
        to_head,
        whole: began.elapsed(),
        bytes,
        is_whole,
    })
}

fn tell(answered: &Answered, sent: &str) -> Shown {
    let status = answered.status;
    let header = |name: &str| {
        let value = answered.headers.get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let code = header("sidekey-error");
    let mut facts = vec![
        ("Sent", sent.to_owned()),
        ("Time to the answer's head", milliseconds(answered.to_head)),
        ("Time to its end", milliseconds(answered.whole)),
        ("Body", size(answered)),
    ];
    facts.extend(header(CONTENT_TYPE.as_str()).map(|kind| ("Content type", kind)));
    facts.extend(code.clone().map(|code| ("Sidekey-Error", code)));
    Shown {
        class: match status.as_u16() {
            200..400 => "good",
            400..500 if code.is_none() => "warn",
            _ => "bad",
        },
        headline: format!("{status} in {}", milliseconds(answered.to_head)),
        words: words(status, code.as_deref()),
        facts,
    }
}

fn words(status: StatusCode, code: Option<&str>) -> String {
    let text = match (code, status.as_u16()) {
        (Some("account_not_connected"), _) => {
            "sidekey answered: nobody has connected the account yet. Connect it, then try again."
        }
        (Some("reconnect_required"), _) => {
            "sidekey answered: the account has to be connected again."
        }
        (Some("token_unavailable"), _) => {
            "sidekey answered: it has no token and could not get one in time. The account's page says why."
        }
        (Some("upstream_unreachable"), _) => {
            "sidekey answered: the upstream can't be reached from here."
        }
        (Some("upstream_tls_error"), _) => {
            "sidekey answered: the upstream's certificate is not trusted, or TLS failed."
        }
        (Some("upstream_timeout"), _) => "sidekey answered: the upstream took too long.",
        (Some(_), _) => "sidekey itself answered.",
        (None, 200..300) => "The upstream answered, and took the token.",
        (None, 300..400) => "The upstream answered with a redirect, which sidekey passes on.",
        (None, 401 | 403) => {
            "The upstream refused this even with a fresh token: perhaps the scope does not allow it."
        }
        (None, 404) => "The upstream answered that there is nothing at this path.",
        (None, 400..500) => "The upstream answered that it can't take this request.",
        (None, _) => "The upstream answered with an error of its own.",
    };
    text.to_owned()
}

fn failed(headline: &str, words: &str) -> Shown {
    Shown {
        class: "bad",
        headline: headline.to_owned(),
        words: words.to_owned(),
        facts: Vec::new(),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

fn size(answered: &Answered) -> String {
    if answered.is_whole {
        format!("{} bytes", answered.bytes)
    } else {
        format!("more than {BODY} bytes")
    }
}
