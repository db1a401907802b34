//! The parts that run, from their start to their end.

use super::back_end;
use super::created;
use super::failure::Failure;
use super::scrape::{Sources, scrape};
use super::serve::{LAST_WORDS, Made};
use crate::account::ConnectedAccount;
use crate::admin::{self, Desk, Readiness, Site, Surface};
use crate::base::clock::SystemClock;
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::config::checked::{self, Config};
use crate::connect::Connector;
use crate::net::dial::Dialer;
use crate::proxy::{self, Seam, Workers};
use crate::refresh::{self, Handle};
use crate::store::Store;
use crate::telemetry::access::AccessLog;
use crate::telemetry::refreshes::{NamedAccounts, RefreshMetrics};
use crate::token;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// A refresh that is under way at the end gets this even when nothing is left.
const LEAST_SHUTDOWN: Duration = Duration::from_secs(1);

/// Both wings and the admin listeners.
pub struct Running {
    workers: Arc<Workers>,
    pub accounts: Handle,
    readiness: Arc<Readiness>,
    servers: JoinSet<Infallible>,
    access: Option<AccessLog>,
    desk: Arc<Desk>,
}

impl Running {
    /// Starts everything on the calling (cold) runtime.
    pub fn start(config: Config, made: Made) -> Result<Self, Failure> {
        let readiness = Arc::new(Readiness::new(config.readiness_require.clone()));
        let public_url = config.admin.public_url.clone();
        let keys = made.accounts.iter().map(|account| account.key.as_str());
        let named = NamedAccounts::first(config.metrics_max_accounts, keys);
        let refreshes = Arc::new(RefreshMetrics::new(named));
        let access = made.access.clone();
        let site = site(&config, &made.bound.proxy);
        let integrations = config.integrations.clone();
        let timeout = config.refresh.timeout;
        let clock = SystemClock::start();
        let (workers, accounts) = start_wings(
            config,
            clock,
            made.bound.proxy,
            made.accounts,
            made.store,
            &refreshes,
            made.access,
        )?;
        let sources = Sources {
            workers: workers.clone(),
            accounts: accounts.clone(),
            refreshes,
            access: access.clone(),
            log: made.log,
        };
        let clock = Arc::new(clock);
        let connector = Connector::new(accounts.clone(), clock, &public_url, timeout);
        let desk = Arc::new(Desk::new(admin::Parts {
            accounts: accounts.clone(),
            connector: Arc::new(connector),
            integrations,
            site,
            readiness: readiness.clone(),
            scrape: scrape(sources),
            token: made.admin_token,
            public_url,
        }));
        let servers = start_admin(made.bound.admin, made.bound.probes, desk.clone())?;
        Ok(Self {
            workers,
            accounts,
            readiness,
            servers,
            access,
            desk,
        })
    }

    /// An address that opens the page, once.
    pub fn page_link(&self) -> Option<(Secret, Duration)> {
        self.desk.session_link().ok()
    }

    /// Waits until a part ends by itself, which none should; names it.
    pub async fn ended(&mut self) -> String {
        tokio::select! {
            name = self.workers.any_ended() => format!("thread {name}"),
            () = self.accounts.ended() => "the scheduler of refreshes".to_owned(),
            _ = self.servers.join_next() => "the admin listener".to_owned(),
        }
    }

    /// Lets callers go elsewhere, then finishes what is running.
    pub async fn wind_down(self, drain: &checked::Drain) {
        tracing::info!(target: "sidekey", "asked to end: draining");
        self.readiness.drain();
        sleep(drain.delay).await;
        let deadline = Instant::now() + drain.timeout;
        let open = self.workers.drain(drain.timeout).await;
        if open > 0 {
            tracing::warn!(target: "sidekey", open, "connections were cut at the drain limit");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.accounts.shutdown(left.max(LEAST_SHUTDOWN)).await;
        if let Some(access) = self.access {
            let flush = move || access.flush(LAST_WORDS);
            let _ = tokio::task::spawn_blocking(flush).await;
        }
        tracing::info!(target: "sidekey", "drained");
    }
}

/// What the page shows of the configuration.
fn site(config: &Config, proxy: &[TcpListener]) -> Site {
    let addresses = proxy
        .iter()
        .filter_map(|listener| listener.local_addr().ok());
    Site {
        public_url: config.admin.public_url.clone(),
        proxy: addresses.collect(),
        integrations: config.integrations.clone(),
        routes: config.routes.clone(),
    }
}

/// Starts the cold wing, which fetches the first tokens at once, and the workers.
fn start_wings(
    config: Config,
    clock: SystemClock,
    listeners: Vec<TcpListener>,
    accounts: Vec<Arc<ConnectedAccount>>,
    store: Arc<dyn Store>,
    metrics: &Arc<RefreshMetrics>,
    access: Option<AccessLog>,
) -> Result<(Arc<Workers>, Handle), Failure> {
    let io = back_end::choose(config.workers.io)?;
    let (asker, asks) = token::channel();
    let (mut setups, seams) = seams(accounts, &config.routes);
    let created = created::setups(&*store, &config, &setups);
    setups.extend(created);
    let token_wait = config.refresh.token_wait;
    let handle = refresh::start(refresh::Parts {
        accounts: setups,
        asks,
        store,
        clock: Arc::new(clock),
        metrics: metrics.clone(),
        settings: config.refresh,
    });
    let hosts = config.listeners.into_iter().map(|listener| listener.hosts);
    let workers = proxy::start(proxy::Parts {
        listeners: listeners.into_iter().zip(hosts).collect(),
        routes: config.routes,
        accounts: seams,
        asker,
        limits: config.limits,
        token_wait,
        workers: config.workers.count,
        io,
        access,
        clock,
        public_url: config.admin.public_url,
        dialer: Dialer::new(tokio::runtime::Handle::current()),
    })
    .map_err(Failure::system("the workers can't be started"))?;
    Ok((Arc::new(workers), handle))
}

/// A cell of the seam for each account: its writer for the refresh wing, its
/// readers for the workers where a route names it.
fn seams(
    accounts: Vec<Arc<ConnectedAccount>>,
    routes: &[checked::Route],
) -> (Vec<refresh::Setup>, HashMap<AccountKey, Seam>) {
    let routed: HashSet<&AccountKey> = routes.iter().map(|route| &route.account).collect();
    let mut seams = HashMap::new();
    let setups = accounts.into_iter().map(|account| {
        let (publisher, shared) = token::slot();
        if routed.contains(&account.key) {
            let retry_on = Arc::from(&*account.integration.refresh.retry_on);
            seams.insert(account.key.clone(), Seam { shared, retry_on });
        }
        refresh::Setup {
            account,
            publisher,
            created: false,
        }
    });
    (setups.collect(), seams)
}

fn start_admin(
    admin: TcpListener,
    probes: Option<TcpListener>,
    desk: Arc<Desk>,
) -> Result<JoinSet<Infallible>, Failure> {
    let mut servers = JoinSet::new();
    let mut start = |listener, surface| {
        let listener = tokio::net::TcpListener::from_std(listener)
            .map_err(Failure::system("the admin listener can't be started"))?;
        servers.spawn(admin::serve(listener, surface, desk.clone()));
        Ok(())
    };
    start(admin, Surface::Admin)?;
    if let Some(probes) = probes {
        start(probes, Surface::Probes)?;
    }
    Ok(servers)
}
