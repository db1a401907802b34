//! Both wings, started and joined by the seam.

use super::back_end;
use super::failure::Failure;
use super::place::Place;
use super::route_plan::RoutePlan;
use crate::admin::Site;
use crate::base::clock::SystemClock;
use crate::base::id::AccountKey;
use crate::config::checked::{Config, SharedRoutes};
use crate::net::awake;
use crate::net::dial::Dialer;
use crate::proxy::{self, Listening, Seam, Workers};
use crate::refresh::issuers::Fetchers;
use crate::refresh::{self, Cell, Handle, Setup, Wanted};
use crate::store::Store;
use crate::telemetry::access::AccessLog;
use crate::telemetry::refreshes::RefreshMetrics;
use crate::telemetry::reloads::Reloads;
use crate::telemetry::spans::Tracing;
use crate::token::{self, Announced, Unavailable};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What runs, and what a reload is told to.
#[derive(Clone)]
pub struct Core {
    pub workers: Arc<Workers>,
    pub accounts: Handle,
    pub store: Arc<dyn Store>,
    pub reloads: Arc<Reloads>,
    /// What fetches the keys by which callers' tokens are verified.
    pub issuers: Arc<Fetchers>,
}

/// What the wings are started with besides the configuration.
pub struct Parts {
    pub clock: SystemClock,
    pub listeners: Vec<Listening>,
    pub accounts: Vec<Wanted>,
    pub store: Arc<dyn Store>,
    pub metrics: Arc<RefreshMetrics>,
    pub access: Option<AccessLog>,
    /// Nobody is served before the first attempts at tokens have ended: the
    /// process before this one serves.
    pub tokens_first: bool,
    pub traces: Option<Tracing>,
}

/// How long the first attempts may hold it up, and how often they are looked at.
const FIRST_ATTEMPTS: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Starts the cold wing, which fetches the first tokens at once, and the
/// workers; gives what these go by, too.
pub async fn start(
    config: &Config,
    plan: &RoutePlan,
    parts: Parts,
) -> Result<(Core, Given), Failure> {
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
    if parts.tokens_first {
        first_attempts(&accounts, LOOK).await;
    }
    let issuers = Arc::new(Fetchers::new(config.refresh.timeout));
    issuers.trust(&plan.issuers(&config.listeners)).await;
    let given = Given::of(plan, &accounts.by_key());
    let (routes, seams) = given.for_workers();
    let workers = proxy::start(proxy::Parts {
        listeners: parts.listeners,
        accounts: seams,
        routes,
        asker,
        limits: config.limits.clone(),
        token_wait: config.refresh.token_wait,
        workers: config.workers.count,
        spins: config.workers.spin.unwrap_or_else(awake::pays),
        io,
        access: parts.access,
        traces: parts.traces,
        clock: parts.clock,
        issuers: issuers.shared(),
        public_url: config.admin.public_url.clone(),
        dialer: Dialer::new(tokio::runtime::Handle::current()),
    })
    .map_err(Failure::system("the workers can't be started"))?;
    let core = Core {
        workers: Arc::new(workers),
        accounts,
        store: parts.store,
        reloads: Arc::default(),
        issuers,
    };
    Ok((core, given))
}

/// Waits for the first tokens; where some can't be had, the others' start is over all
/// the same. `pause`: between two looks.
pub async fn first_attempts(accounts: &Handle, pause: Duration) {
    let ended = async {
        while !accounts.first_attempts_ended() {
            sleep(pause).await;
        }
    };
    let _ = timeout(FIRST_ATTEMPTS, ended).await;
}

/// What workers go by: the routes, and by what they read the accounts of those.
pub struct Given {
    pub routes: SharedRoutes,
    /// Without accounts that nobody has created yet.
    seams: HashMap<AccountKey, Seam>,
}

impl Given {
    /// What these routes and accounts come to.
    pub fn of(plan: &RoutePlan, accounts: &HashMap<AccountKey, Arc<Cell>>) -> Self {
        let routes = plan.with(accounts);
        let named: HashSet<&AccountKey> = routes.iter().map(|route| &route.account).collect();
        let seams = named.into_iter().filter_map(|key| {
            let cell = accounts.get(key)?;
            let seam = Seam {
                shared: cell.shared.clone(),
                retry_on: Arc::from(&*cell.account.integration.refresh.retry_on),
            };
            Some((key.clone(), seam))
        });
        let seams = seams.collect();
        Self { routes, seams }
    }

    /// The same, with a seam for every account that a route names.
    pub fn for_workers(&self) -> (SharedRoutes, HashMap<AccountKey, Seam>) {
        let mut seams = self.seams.clone();
        for route in self.routes.iter() {
            if !seams.contains_key(&route.account) {
                seams.insert(route.account.clone(), nobody());
            }
        }
        (self.routes.clone(), seams)
    }

    /// True where workers would do just the same.
    pub fn is(&self, other: &Self) -> bool {
        let has = |(key, seam): (&AccountKey, &Seam)| {
            let others = other.seams.get(key);
            others.is_some_and(|others| seam.is(others))
        };
        *self.routes == *other.routes
            && self.seams.len() == other.seams.len()
            && self.seams.iter().all(has)
    }
}

/// For an account that nobody has created yet.
fn nobody() -> Seam {
    let (publisher, shared) = token::slot();
    publisher.publish(Announced::Unavailable(Unavailable::NotCreated));
    Seam {
        shared,
        retry_on: Arc::from([]),
    }
}

/// What the page shows of the configuration.
pub fn site(
    config: &Config,
    routes: SharedRoutes,
    listeners: Vec<Place>,
    file: String,
    reloads: Arc<Reloads>,
) -> Site {
    let plain = listeners
        .iter()
        .filter_map(|place| Some((place.plain()?, place.routes().cloned())));
    Site {
        public_url: config.admin.public_url.clone(),
        proxy: plain.collect(),
        integrations: config.integrations.clone(),
        routes,
        file,
        reloads,
    }
}
