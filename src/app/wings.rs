//! Both wings, started and joined by the seam.

use super::back_end;
use super::failure::Failure;
use super::route_plan::RoutePlan;
use crate::admin::Site;
use crate::base::clock::SystemClock;
use crate::base::id::AccountKey;
use crate::config::checked::{Config, Route, SharedRoutes};
use crate::net::dial::Dialer;
use crate::proxy::{self, Listening, Seam, Workers};
use crate::refresh::{self, Handle, Known, Setup, Wanted};
use crate::store::Store;
use crate::telemetry::access::AccessLog;
use crate::telemetry::refreshes::RefreshMetrics;
use crate::telemetry::reloads::Reloads;
use crate::token::{self, Published, Unavailable};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// What runs, and what a reload is told to.
#[derive(Clone)]
pub struct Core {
    pub workers: Arc<Workers>,
    pub accounts: Handle,
    pub store: Arc<dyn Store>,
    pub reloads: Arc<Reloads>,
}

/// What the wings are started with besides the configuration.
pub struct Parts {
    pub clock: SystemClock,
    pub listeners: Vec<Listening>,
    pub accounts: Vec<Wanted>,
    pub store: Arc<dyn Store>,
    pub metrics: Arc<RefreshMetrics>,
    pub access: Option<AccessLog>,
}

/// Starts the cold wing, which fetches the first tokens at once, and the
/// workers; gives the routes that they go by, too.
pub fn start(
    config: &Config,
    plan: &RoutePlan,
    parts: Parts,
) -> Result<(Core, SharedRoutes), Failure> {
    let io = back_end::choose(config.workers.io)?;
    let (asker, asks) = token::channel();
    let accounts = refresh::start(refresh::Parts {
        accounts: parts.accounts.into_iter().map(Setup::from).collect(),
        asks,
        store: parts.store.clone(),
        clock: Arc::new(parts.clock),
        metrics: parts.metrics,
        settings: config.refresh.clone(),
    });
    let known = accounts.known();
    let routes = plan.with(&known);
    let workers = proxy::start(proxy::Parts {
        listeners: parts.listeners,
        accounts: seams(&known, &routes),
        routes: routes.clone(),
        asker,
        limits: config.limits.clone(),
        token_wait: config.refresh.token_wait,
        workers: config.workers.count,
        io,
        access: parts.access,
        clock: parts.clock,
        public_url: config.admin.public_url.clone(),
        dialer: Dialer::new(tokio::runtime::Handle::current()),
    })
    .map_err(Failure::system("the workers can't be started"))?;
    let core = Core {
        workers: Arc::new(workers),
        accounts,
        store: parts.store,
        reloads: Arc::default(),
    };
    Ok((core, routes))
}

/// For every account that a route names, what workers read it by.
pub fn seams(
    known: &HashMap<AccountKey, Known>,
    routes: &[Arc<Route>],
) -> HashMap<AccountKey, Seam> {
    let named: HashSet<&AccountKey> = routes.iter().map(|route| &route.account).collect();
    let seams = named.into_iter().map(|key| {
        let seam = known.get(key).map_or_else(nobody, |known| Seam {
            shared: known.shared.clone(),
            retry_on: Arc::from(&*known.account.integration.refresh.retry_on),
        });
        (key.clone(), seam)
    });
    seams.collect()
}

/// True where these routes read their accounts from the same cells, and take
/// the same answers for a rejection.
pub fn are_same_seams(
    before: &HashMap<AccountKey, Known>,
    after: &HashMap<AccountKey, Known>,
    routes: &[Arc<Route>],
) -> bool {
    routes.iter().all(|route| {
        let of = |known: &HashMap<AccountKey, Known>| {
            let known = known.get(&route.account)?;
            Some((known.shared.clone(), known.account.integration.clone()))
        };
        match (of(before), of(after)) {
            (Some((old, old_of)), Some((new, new_of))) => {
                old.is(&new) && old_of.refresh.retry_on == new_of.refresh.retry_on
            }
            (before, after) => before.is_none() && after.is_none(),
        }
    })
}

/// For an account that nobody has created yet.
fn nobody() -> Seam {
    let (publisher, shared) = token::slot();
    publisher.publish(Published::Unavailable(Unavailable::NotCreated));
    Seam {
        shared,
        retry_on: Arc::from([]),
    }
}

/// What the page shows of the configuration.
pub fn site(
    config: &Config,
    routes: SharedRoutes,
    proxy: Vec<SocketAddr>,
    file: String,
    reloads: Arc<Reloads>,
) -> Site {
    Site {
        public_url: config.admin.public_url.clone(),
        proxy,
        integrations: config.integrations.clone(),
        routes,
        file,
        reloads,
    }
}
