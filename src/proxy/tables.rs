//! A worker's routes, made of the route set that all workers share. What is as
//! it was before a reload stays: counters, connections, copies of tokens.

use super::outgoing::Whole;
use super::pool::{Key, Limits, Pool};
use super::route::{Routes, WorkerRoute};
use super::several::Several;
use super::{RouteSet, Seam};
use crate::config::checked::Route;
use crate::telemetry::access::{AccessWriter, Labels};
use crate::telemetry::requests::RouteStats;
use http::HeaderValue;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Makes a worker's routes.
pub struct Tables<'a> {
    /// The routes so far.
    pub old: &'a Routes,
    /// Of connections to upstreams.
    pub pool_limits: Limits,
    pub access: Option<&'a AccessWriter>,
}

impl Tables<'_> {
    /// The routes of this set whose accounts are known.
    pub fn build(&self, set: &RouteSet) -> Routes {
        let mut pools: HashMap<Key, Rc<Pool>> = self
            .old
            .pools()
            .map(|pool| (pool.key.clone(), pool.clone()))
            .collect();
        let old: HashMap<&str, &Rc<WorkerRoute>> =
            self.old.iter().map(|route| (&*route.name, route)).collect();
        let routes = set.routes.iter().filter_map(|route| {
            let seam = set.accounts.get(&route.account)?;
            let old = old.get(route.name.as_str()).copied();
            Some(match old.filter(|old| is_same(old, route, seam)) {
                Some(old) => old.clone(),
                None => self.route(route, seam, old, &mut pools),
            })
        });
        Routes::new(routes.collect())
    }

    fn route(
        &self,
        route: &Arc<Route>,
        seam: &Seam,
        old: Option<&Rc<WorkerRoute>>,
        pools: &mut HashMap<Key, Rc<Pool>>,
    ) -> Rc<WorkerRoute> {
        let stats = old.map(|old| old.stats.clone()).unwrap_or_default();
        let several = (!route.reach.others.is_empty()).then(|| {
            let before = old.and_then(|old| old.several.as_deref());
            let lead = |route: Arc<Route>| self.leading(&route, seam, pools, (stats.clone(), None));
            Box::new(Several::new(route, before, lead))
        });
        self.leading(route, seam, pools, (stats, several))
    }

    /// What leads to the first address of a route.
    fn leading(
        &self,
        route: &Arc<Route>,
        seam: &Seam,
        pools: &mut HashMap<Key, Rc<Pool>>,
        (stats, several): (Rc<RefCell<RouteStats>>, Option<Box<Several>>),
    ) -> Rc<WorkerRoute> {
        let key = Key::of(route);
        let pool = pools
            .entry(key.clone())
            .or_insert_with(|| Rc::new(Pool::new(key, self.pool_limits)));
        Rc::new(WorkerRoute {
            name: Arc::from(route.name.as_str()),
            // The configuration has made sure that this is an authority.
            authority: HeaderValue::from_str(&route.upstream.authority)
                .unwrap_or(HeaderValue::from_static("invalid")),
            credential: seam.shared.reader(),
            retry_on: seam.retry_on.clone(),
            pool: pool.clone(),
            whole: Whole::of(route, pool),
            labels: self.labels(route),
            route: route.clone(),
            stats,
            several,
        })
    }

    fn labels(&self, route: &Route) -> Option<Labels> {
        let access = self.access?;
        Some(access.labels(&route.name, route.account.as_str()))
    }
}

fn is_same(old: &WorkerRoute, route: &Route, seam: &Seam) -> bool {
    *old.route == *route && old.credential.reads(&seam.shared) && old.retry_on == seam.retry_on
}
