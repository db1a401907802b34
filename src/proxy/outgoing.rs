//! Requests to upstreams through an HTTP proxy: how they are said to one that
//! gets them whole (RFC 9112, 3.2.2), and what is told of one that refuses.

use super::body::Outgoing;
use super::pool::Pool;
use super::refusal::{Code, Refusal};
use super::route::WorkerRoute;
use crate::config::checked::{Route, UpstreamScheme};
use crate::net::via::{NoWay, Via, Why};
use http::header::{HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{Authority, Parts, Scheme};
use http::{Request, StatusCode, Uri};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often at the most it is said of one pool that the proxy refuses.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// The way of a route's connections; `None`: by themselves. A proxy gets plain
/// HTTP/1.1 whole, since many make tunnels to port 443 alone, and all else by a
/// tunnel.
#[must_use]
pub fn via(route: &Route) -> Option<Arc<Via>> {
    let proxy = route.proxy()?;
    let tunnel = route.upstream.scheme != UpstreamScheme::Http;
    Some(Arc::new(Via::new(proxy.clone(), tunnel)))
}

/// What a request to a proxy has that one to an upstream has not.
pub struct Whole {
    authority: Authority,
    authorization: Option<HeaderValue>,
}

impl Whole {
    /// Of a route whose requests a proxy gets whole.
    #[must_use]
    pub fn of(route: &Route, pool: &Pool) -> Option<Box<Self>> {
        let via = pool.key.origin.via.as_ref().filter(|via| !via.tunnel)?;
        Some(Box::new(Self {
            // The configuration has made sure that this is one.
            authority: Authority::try_from(route.upstream.authority.as_str()).ok()?,
            authorization: via.proxy.login.authorization.clone(),
        }))
    }

    /// What stands before the target in a request to the proxy.
    pub fn write_origin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"http://");
        out.extend_from_slice(self.authority.as_str().as_bytes());
    }

    /// Our login there.
    #[must_use]
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Turns a request to the upstream into one to the proxy.
    pub fn address(&self, request: &mut Request<Outgoing>) {
        let mut parts = Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        if let Some(authorization) = &self.authorization {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
    }
}

/// What an answer is that the proxy itself gave: it wants another user, which is
/// no business of the caller's.
pub fn refused(route: &WorkerRoute, status: StatusCode) -> Option<Refusal> {
    if status != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return None;
    }
    let via = route.pool.key.origin.via.as_ref()?;
    Some(no_way(
        route,
        &NoWay {
            proxy: via.proxy.clone(),
            why: Why::Refused(status.as_u16()),
        },
    ))
}

/// The answer where there is no way through the proxy; the log has it too.
pub fn no_way(route: &WorkerRoute, why: &NoWay) -> Refusal {
    let upstream = &route.route.upstream.authority;
    let (told, now) = (&route.pool.told, Instant::now());
    let is_due = |last| now.saturating_duration_since(last) >= SAY_AGAIN;
    if told.get().is_none_or(is_due) {
        told.set(Some(now));
        tracing::warn!("upstream {upstream}: {why}");
    }
    let detail = format!("upstream {upstream}: {why}");
    Refusal::new(Code::UpstreamUnreachable, detail)
}

/// ` through the proxy http://proxy:3128`, where it is.
#[must_use]
pub fn through(route: &WorkerRoute) -> String {
    let via = route.pool.key.origin.via.as_ref();
    via.map_or_else(String::new, |via| {
        format!(" through the proxy {}", via.proxy)
    })
}
