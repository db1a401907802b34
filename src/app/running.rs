//! The parts that run, from their start to their end.

use super::announce::Addresses;
use super::collector::{self, Collector};
use super::created::{self, Kept};
use super::doors::Doors;
use super::failure::Failure;
use super::fixed::Fixed;
use super::handover;
use super::held::{Held, Named};
use super::reload::{self, InUse, Reloader};
use super::rotated::Secrets;
use super::route_plan::RoutePlan;
use super::scrape::{Sources, scrape};
use super::serve::{LAST_WORDS, Made};
use super::signals::Hangups;
use super::source::{Source, Watched};
use super::wings::{self, Core};
use crate::admin::{self, Desk, Readiness, Surface};
use crate::base::clock::SystemClock;
use crate::base::secret::Secret;
use crate::config::checked::{Config, Drain};
use crate::connect::Connector;
use crate::store::Store;
use crate::telemetry::access::AccessLog;
use crate::telemetry::refreshes::{NamedAccounts, RefreshMetrics};
use arc_swap::ArcSwap;
use std::convert::Infallible;
use std::fmt;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// A refresh that is under way at the end gets this even when nothing is left.
const LEAST_SHUTDOWN: Duration = Duration::from_secs(1);

/// Both wings, the admin listeners and what reads the configuration again.
pub struct Running {
    pub core: Core,
    readiness: Arc<Readiness>,
    servers: JoinSet<Infallible>,
    reloading: JoinSet<Infallible>,
    access: Option<AccessLog>,
    collector: Option<Collector>,
    desk: Arc<Desk>,
    drain: Arc<ArcSwap<Drain>>,
    /// For the process that may take over.
    pub held: Held,
}

/// Why a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a signal.
    Asked,
    /// Another process serves in its place.
    Succeeded,
    /// The process before goes on: this one was to take over, and was too late.
    Late,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked to end",
            Self::Succeeded => "another process has taken over",
            Self::Late => "the process before goes on",
        })
    }
}

/// What makes a reload possible.
pub struct Reloading {
    pub source: Source,
    /// As it was when the configuration was read.
    pub watched: Watched,
    pub hangups: Hangups,
    pub addresses: Addresses,
}

impl Running {
    /// Starts everything on the calling (cold) runtime.
    ///
    /// # Errors
    /// When a part can't be started.
    pub async fn start(
        mut config: Config,
        made: Made,
        reloading: Reloading,
    ) -> Result<Self, Failure> {
        let held = Held::default();
        held.set_others(others(&config, &made)?);
        let (doors, listeners) = Doors::of(made.bound.proxy, &config.listeners, made.inherited)
            .map_err(Failure::system("a listener is gone"))?;
        held.set_proxy(&doors);
        let keys = made.accounts.iter().map(|account| account.key.as_str());
        let named = NamedAccounts::first(config.metrics_max_accounts, keys);
        let refreshes = Arc::new(RefreshMetrics::new(named));
        let created = created_before(&*made.store, &config);
        let proxies = config.proxies_in_words();
        // Before as many more are made of them: their memory is used again.
        config.accounts = Vec::new();
        let secrets = Secrets::of(made.accounts.iter().chain(&created.accounts));
        let clock = SystemClock::start();
        let collector = config.traces.as_ref().map(collector::start).transpose();
        let collector = collector.map_err(Failure::Traces)?;
        let parts = wings::Parts {
            clock,
            listeners,
            accounts: reload::wanted(made.accounts, created.accounts),
            store: made.store,
            metrics: refreshes.clone(),
            access: made.access.clone(),
            tokens_first: made.tokens_first,
            traces: collector.as_ref().map(|c| c.tracing.clone()),
        };
        let plan = RoutePlan::of(&mut config, &reloading.addresses);
        let (core, given) = wings::start(&config, &plan, parts).await?;
        let readiness = Arc::new(Readiness::new(config.readiness_require.clone()));
        let sources = Sources {
            core: core.clone(),
            refreshes: refreshes.clone(),
            access: made.access.clone(),
            log: made.log,
            spans: collector.as_ref().map(Collector::spans),
        };
        let (file, reloads) = (reloading.source.name(), core.reloads.clone());
        let desk = Arc::new(Desk::new(admin::Parts {
            accounts: core.accounts.clone(),
            connector: Arc::new(connector(&config, &core, clock)),
            site: wings::site(&config, given.routes.clone(), doors.places(), file, reloads),
            readiness: readiness.clone(),
            scrape: scrape(sources),
            token: made.admin_token,
            public_url: config.admin.public_url.clone(),
        }));
        let running = Self {
            servers: start_admin(made.bound.admin, made.bound.probes, desk.clone())?,
            reloading: JoinSet::new(),
            drain: Arc::new(ArcSwap::from_pointee(config.drain.clone())),
            access: made.access,
            collector,
            core,
            readiness,
            desk,
            held,
        };
        let in_use = InUse {
            fixed: Fixed::of(&config),
            doors,
            plan,
            given,
            secrets,
            proxies,
            unread: created.unread,
            watched: reloading.watched.clone(),
        };
        Ok(running.reloading(reloading, refreshes, in_use))
    }

    /// Reads the configuration again from now on.
    fn reloading(
        mut self,
        reloading: Reloading,
        refreshes: Arc<RefreshMetrics>,
        in_use: InUse,
    ) -> Self {
        let parts = reload::Parts {
            source: reloading.source,
            core: self.core.clone(),
            desk: self.desk.clone(),
            readiness: self.readiness.clone(),
            refreshes,
            drain: self.drain.clone(),
            addresses: reloading.addresses,
            held: self.held.clone(),
        };
        let reloader = Reloader { parts, in_use };
        self.reloading.spawn(reloader.run(reloading.hangups));
        self
    }

    /// An address that opens the page, once.
    pub fn page_link(&self) -> Option<(Secret, Duration)> {
        self.desk.session_link().ok()
    }

    /// Waits until a part ends by itself, which none should; names it.
    pub async fn ended(&mut self) -> String {
        tokio::select! {
            name = self.core.workers.any_ended() => format!("thread {name}"),
            () = self.core.accounts.ended() => "the scheduler of refreshes".to_owned(),
            _ = self.servers.join_next() => "the admin listener".to_owned(),
            _ = self.reloading.join_next() => "what reads the configuration again".to_owned(),
        }
    }

    /// Lets callers go elsewhere, then finishes what is running. Where another
    /// process listens at the same sockets, nobody has to learn of it first.
    pub async fn wind_down(mut self, why: End) {
        tracing::info!(target: "sidekey", "{why}: draining");
        self.readiness.drain();
        self.reloading.shutdown().await;
        let drain = self.drain.load_full();
        match why {
            End::Asked => sleep(drain.delay).await,
            End::Succeeded | End::Late => self.servers.shutdown().await,
        }
        self.held.clear();
        let deadline = Instant::now() + drain.timeout;
        let open = self.core.workers.drain(drain.timeout).await;
        if open > 0 {
            tracing::warn!(target: "sidekey", open, "connections were cut at the drain limit");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.core.accounts.shutdown(left.max(LEAST_SHUTDOWN)).await;
        if let Some(collector) = self.collector {
            let left = deadline.saturating_duration_since(Instant::now());
            collector.finish(left.max(LEAST_SHUTDOWN)).await;
        }
        if let Some(access) = self.access {
            let flush = move || access.flush(LAST_WORDS);
            let _ = tokio::task::spawn_blocking(flush).await;
        }
        tracing::info!(target: "sidekey", "drained");
    }
}

/// Accounts that an earlier process created; none of them is worth not starting.
fn created_before(store: &dyn Store, config: &Config) -> Kept {
    created::accounts(store, config, &[]).unwrap_or_else(|why| {
        tracing::error!("created accounts can't be read: {why}");
        Kept::default()
    })
}

/// The listeners that are not for applications, to be handed over.
fn others(config: &Config, made: &Made) -> Result<Vec<Named>, Failure> {
    let bound = &made.bound;
    let named = |name: String, socket: &TcpListener| {
        let clone = socket
            .try_clone()
            .map_err(Failure::system("a listener is gone"))?;
        Ok((name, Arc::new(OwnedFd::from(clone))))
    };
    let admin = handover::name("admin.listen", config.admin.listen);
    let mut all = vec![named(admin, &bound.admin)?];
    if let (Some(address), Some(probes)) = (config.probes, &bound.probes) {
        all.push(named(handover::name("probes.listen", address), probes)?);
    }
    let inherited = handover::inherited(&made.inherited);
    all.extend(inherited.map_err(Failure::system("a listener is gone"))?);
    Ok(all)
}

fn connector(config: &Config, core: &Core, clock: SystemClock) -> Connector {
    let (accounts, clock) = (core.accounts.clone(), Arc::new(clock));
    let public_url = &config.admin.public_url;
    Connector::new(accounts, clock, public_url, config.refresh.timeout)
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
