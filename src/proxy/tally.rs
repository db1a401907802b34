//! What one worker counts, besides what its routes count themselves.

use super::route::Routes;
use crate::telemetry::requests::{RouteStats, WorkerStats};
use crate::telemetry::tunnels::{TunnelEnd, Tunnels};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The series of requests that no route matched.
const NO_ROUTE: &str = "_none";

/// Refusals, and requests of no route.
#[derive(Default)]
pub struct Tally {
    refused: RefCell<BTreeMap<&'static str, u64>>,
    unrouted: RefCell<RouteStats>,
    tunnels: RefCell<Tunnels>,
}

impl Tally {
    /// Counts an answer that the proxy itself made.
    pub fn refused(&self, error: &'static str) {
        *self.refused.borrow_mut().entry(error).or_default() += 1;
    }

    /// Counts a request that no route matched.
    pub fn unrouted(&self, status: u16, duration: Duration) {
        let mut stats = self.unrouted.borrow_mut();
        stats.answered(status);
        stats.duration.observe(duration);
        stats.overhead.observe(duration);
    }

    /// A tunnel by CONNECT is over, or never began.
    pub fn tunnel_ended(&self, how: TunnelEnd) {
        self.tunnels.borrow_mut().ended(how);
    }

    /// A caller waits for a tunnel by CONNECT: lost, if it is gone before that is
    /// [no more](AskedTunnel::no_more) so.
    #[must_use]
    pub fn tunnel_asked(&self) -> AskedTunnel<'_> {
        AskedTunnel(Some(self))
    }

    /// A tunnel by CONNECT is open while this lives.
    #[must_use]
    pub fn tunnel_open(&self) -> OpenTunnel<'_> {
        self.tunnels.borrow_mut().open += 1;
        OpenTunnel(self)
    }

    /// A copy of it, with what the routes have counted.
    #[must_use]
    pub fn with_routes(&self, routes: &Routes) -> WorkerStats {
        let mut stats = WorkerStats {
            refused: self.refused.borrow().clone(),
            tunnels: self.tunnels.borrow().clone(),
            ..WorkerStats::default()
        };
        let now = Instant::now();
        for route in routes.iter() {
            if let Some(several) = &route.several {
                stats.upstreams.extend(several.health(now));
            }
            let own = route.stats.borrow();
            stats
                .routes
                .entry(route.name.clone())
                .or_default()
                .merge(&own);
        }
        let unrouted = self.unrouted.borrow();
        if unrouted.duration.count() > 0 {
            stats.routes.insert(Arc::from(NO_ROUTE), unrouted.clone());
        }
        stats
    }
}

/// Counts a tunnel that nobody waits for any longer.
pub struct AskedTunnel<'a>(Option<&'a Tally>);

impl AskedTunnel<'_> {
    /// Its caller is there still.
    pub fn no_more(mut self) {
        self.0 = None;
    }
}

impl Drop for AskedTunnel<'_> {
    fn drop(&mut self) {
        if let Some(tally) = self.0 {
            tally.tunnel_ended(TunnelEnd::Lost);
        }
    }
}

/// Counts a tunnel as open.
pub struct OpenTunnel<'a>(&'a Tally);

impl OpenTunnel<'_> {
    /// What it has carried: from the caller, and to it.
    pub fn carried(&self, bytes: (u64, u64)) {
        self.0.tunnels.borrow_mut().carried(bytes);
    }
}

impl Drop for OpenTunnel<'_> {
    fn drop(&mut self) {
        self.0.tunnels.borrow_mut().open -= 1;
    }
}
