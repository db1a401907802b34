//! A route that leads nowhere, for tests and fuzz targets.

use super::pool::{Key, Limits, Pool};
use super::route::WorkerRoute;
use crate::base::id::AccountKey;
use crate::config::checked::callers::Speaks;
use crate::config::checked::streams::Streams;
use crate::config::checked::upstream::Reach;
use crate::config::checked::{Route, RouteMatch, Upstream, UpstreamScheme};
use crate::token::slot;
use http::HeaderValue;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub fn route(name: &str, matcher: RouteMatch) -> Rc<WorkerRoute> {
    let upstream = Upstream {
        scheme: UpstreamScheme::Http,
        host: "127.0.0.1".into(),
        port: 1,
        authority: "127.0.0.1:1".into(),
        path: "/".into(),
        query: None,
    };
    let route = Arc::new(Route {
        name: name.into(),
        matcher,
        upstream,
        reach: Reach::default(),
        account: AccountKey::new("a").unwrap_or_else(|_| unreachable!("a letter")),
        timeout: Duration::ZERO,
        connect_timeout: Duration::ZERO,
        replay_body_limit: 0,
        allow_plaintext: false,
        keep_header_case: false,
        http2: true,
        allow_origins: Vec::new(),
        max_body: None,
        callers: None,
        speaks: Speaks::One,
        edits: None,
        streams: Streams::default(),
    });
    let limits = Limits {
        open: None,
        idle: 1,
        idle_time: Duration::ZERO,
        age: Duration::MAX,
        ping_after: Duration::MAX,
    };
    Rc::new(WorkerRoute {
        name: Arc::from(name),
        pool: Rc::new(Pool::new(Key::of(&route), limits)),
        route,
        authority: HeaderValue::from_static("127.0.0.1:1"),
        credential: slot().1.reader(),
        retry_on: Arc::from([401, 403]),
        whole: None,
        labels: None,
        stats: Rc::default(),
        several: None,
    })
}
