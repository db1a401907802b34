//! Reads the configuration again, on SIGHUP and when its files change, works
//! out what is different, and hands each wing its own. A configuration with a
//! mistake changes nothing.

use super::announce::{self, Addresses};
use super::changes::Changes;
use super::created::{self, Kept};
use super::doors::Doors;
use super::failure::Failure;
use super::fixed::Fixed;
use super::heap;
use super::held::Held;
use super::listeners;
use super::own_proxies;
use super::pages;
use super::rotated::Secrets;
use super::route_plan::RoutePlan;
use super::serve;
use super::signals::Hangups;
use super::source::{Reading, Source, Watched};
use super::wings::{self, Core, Given};
use crate::account::ConnectedAccount;
use crate::admin::{Desk, Readiness};
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::config::checked::{Config, Drain};
use crate::proxy::{self, Listening};
use crate::refresh::{Cell, Reload, Wanted};
use crate::store::Store;
use crate::telemetry::refreshes::{NamedAccounts, RefreshMetrics};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

/// What a reload works on.
pub struct Parts {
    pub source: Source,
    pub core: Core,
    pub desk: Arc<Desk>,
    pub readiness: Arc<Readiness>,
    pub refreshes: Arc<RefreshMetrics>,
    pub drain: Arc<ArcSwap<Drain>>,
    /// Where the process listened at its start.
    pub addresses: Addresses,
    pub held: Held,
}

/// What is in use, as far as the next reading is compared with it.
pub struct InUse {
    pub fixed: Fixed,
    pub doors: Doors,
    pub plan: RoutePlan,
    pub given: Given,
    pub secrets: Secrets,
    /// What goes through which, in words.
    pub proxies: Vec<String>,
    /// Created accounts whose records could not be read.
    pub unread: Vec<AccountKey>,
    pub watched: Watched,
}

/// Reads the configuration again, for as long as the process runs.
pub struct Reloader {
    pub parts: Parts,
    pub in_use: InUse,
}

/// A configuration without mistakes, and what is made of it.
struct Prepared {
    config: Config,
    resolved: Resolved,
    /// What goes through which, in words.
    proxies: Vec<String>,
    doors: Doors,
    listening: Vec<Listening>,
}

/// What making it may have to read.
struct Resolved {
    admin_token: Secret,
    configured: Vec<Arc<ConnectedAccount>>,
    created: Kept,
    secrets: Secrets,
}

impl Reloader {
    /// Waits for reasons to read it again, and does so.
    pub async fn run(mut self, mut hangups: Hangups) -> Infallible {
        let mut rest = Box::pin(pages::give_back_at_rest());
        let mut has_read = false;
        loop {
            tokio::select! {
                () = &mut rest, if has_read => {
                    has_read = false;
                    continue;
                }
                () = hangups.next() => {}
                () = self.in_use.watched.changed() => {}
                () = self.parts.held.lost() => {}
                () = self.unread_again() => self.in_use.unread.clear(),
                () = self.parts.core.accounts.people_changed() => {
                    self.route_anew().await;
                    continue;
                }
            }
            if let Err(why) = self.reload().await {
                tracing::error!(
                    target: "sidekey",
                    "the configuration can't be used as it is now, and nothing was changed: {why}"
                );
                self.parts.core.reloads.failed(why);
            }
            // What reading it took is not needed until the next time.
            rest.set(pages::give_back_at_rest());
            has_read = true;
        }
    }

    /// Waits until a created account can be read that could not be.
    async fn unread_again(&self) {
        let unread = &self.in_use.unread;
        if unread.is_empty() {
            return std::future::pending().await;
        }
        created::until_readable(&self.parts.core.store, unread).await;
    }

    /// Reads it and goes by it.
    async fn reload(&mut self) -> Result<(), String> {
        let source = self.parts.source.clone();
        let Reading { config, watched } = blocking(move || source.read()).await?;
        self.in_use.watched = watched;
        let config = config.map_err(|mistakes| format!("\n{}", mistakes.render(false)))?;
        // Until it is done nobody creates an account or removes one.
        let turn = self.parts.core.accounts.turn().await;
        let before = self.parts.core.accounts.by_key();
        let prepared = self.prepare(config, &before).await?;
        self.take_over(&before, prepared).await;
        drop((before, turn));
        // The configuration of very many accounts is large while it is read.
        heap::give_back();
        Ok(())
    }

    /// Does everything that can fail.
    async fn prepare(
        &self,
        config: Config,
        before: &HashMap<AccountKey, Arc<Cell>>,
    ) -> Result<Prepared, String> {
        let store = self.parts.core.store.clone();
        let created = before.values().filter(|cell| cell.created);
        let created: Vec<_> = created.map(|cell| cell.account.clone()).collect();
        let (doors, mut listening) = self
            .in_use
            .doors
            .changed_to(&config.listeners)
            .map_err(|errors| Failure::Listen(errors).to_string())?;
        let addresses = doors.among(&self.parts.addresses);
        listeners::refuse_own_upstreams(&config.routes, &addresses).map_err(|e| e.to_string())?;
        let (config, resolved, proxies) = blocking(move || {
            let mut config = config;
            own_proxies::ignore(&mut config, &addresses);
            let proxies = config.proxies_in_words();
            let resolved = resolve(&config, &*store, &created);
            config.accounts = Vec::new();
            (config, resolved, proxies)
        })
        .await?;
        let resolved = resolved?;
        let watched = self.parts.core.workers.watch(&mut listening).await;
        watched.map_err(|why| format!("a worker can't watch the new listeners: {why}"))?;
        Ok(Prepared {
            config,
            resolved,
            proxies,
            doors,
            listening,
        })
    }

    async fn take_over(&mut self, before: &HashMap<AccountKey, Arc<Cell>>, prepared: Prepared) {
        let Prepared {
            mut config,
            resolved,
            proxies,
            doors,
            listening,
        } = prepared;
        let core = &self.parts.core;
        let keys = resolved.configured.iter().map(|a| a.key.as_str());
        let named = NamedAccounts::first(config.metrics_max_accounts, keys);
        let wanted = wanted(resolved.configured, resolved.created.accounts);
        let old_secrets = &self.in_use.secrets;
        let rotated = |a: &ConnectedAccount| resolved.secrets.differ_from(old_secrets, a);
        let plan = Reload::plan(before, wanted, &rotated);
        let counts = plan.counts();
        self.parts.refreshes.name(named);
        core.accounts.reload(plan).await;
        if proxies != self.in_use.proxies {
            announce::proxies_changed(&proxies);
        }
        let plan = RoutePlan::of(&mut config, &doors.among(&self.parts.addresses));
        let issuers = plan.issuers(&config.listeners);
        core.issuers.trust(&issuers).await;
        let given = Given::of(&plan, &core.accounts.by_key());
        // To make a worker's tables anew may take a while: not without need.
        let is_same = given.is(&self.in_use.given);
        let change = proxy::Change {
            routes: (!is_same).then(|| given.for_workers()),
            listeners: listening,
        };
        core.workers.change(change).await;
        core.issuers.only(&issuers);
        doors.set_modes(&self.in_use.doors);
        let changes = Changes::new(
            counts,
            (&self.in_use.given.routes, &given.routes),
            (&self.in_use.doors.places(), &doors.places()),
        );
        self.in_use.proxies = proxies;
        self.in_use.plan = plan;
        self.in_use.given = given;
        self.in_use.doors = doors;
        self.parts.held.set_proxy(&self.in_use.doors);
        self.in_use.secrets = resolved.secrets;
        self.in_use.unread = resolved.created.unread;
        self.settle(&config, resolved.admin_token, &changes);
    }

    /// Somebody has created an account, or removed one: routes may have waited
    /// for that.
    async fn route_anew(&mut self) {
        if !self.in_use.plan.waits() {
            return;
        }
        let core = &self.parts.core;
        let given = Given::of(&self.in_use.plan, &core.accounts.by_key());
        let change = proxy::Change {
            routes: Some(given.for_workers()),
            listeners: self.in_use.doors.kept(),
        };
        core.workers.change(change).await;
        self.parts.desk.route(given.routes.clone());
        self.in_use.given = given;
    }

    /// Everything besides accounts, routes and listeners.
    fn settle(&mut self, config: &Config, admin_token: Secret, changes: &Changes) {
        let parts = &self.parts;
        parts.readiness.require(config.readiness_require.clone());
        parts.drain.store(Arc::new(config.drain.clone()));
        let (file, reloads) = (parts.source.name(), parts.core.reloads.clone());
        let proxy = self.in_use.doors.places();
        let routes = self.in_use.given.routes.clone();
        let site = wings::site(config, routes, proxy, file, reloads);
        parts.desk.change(site, admin_token);
        let waiting = self.in_use.fixed.differing(config);
        tracing::info!(target: "sidekey", "the configuration was read again: {changes}");
        serve::say_warnings(config);
        if !waiting.is_empty() {
            tracing::warn!(
                target: "sidekey",
                "these keys take effect at the next start only, and stay as they were: {}",
                waiting.join(", ")
            );
        }
        self.parts.core.reloads.succeeded(waiting);
    }
}

fn resolve(
    config: &Config,
    store: &dyn Store,
    before: &[Arc<ConnectedAccount>],
) -> Result<Resolved, String> {
    let said = |failure: Failure| failure.to_string();
    let configured = serve::resolve(config).map_err(said)?;
    let created = created::accounts(store, config, before)
        .map_err(|why| format!("created accounts can't be read: {why}"))?;
    let secrets = Secrets::of(configured.iter().chain(&created.accounts));
    Ok(Resolved {
        admin_token: serve::admin_token(&config.admin).map_err(said)?,
        configured,
        created,
        secrets,
    })
}

/// In the order of the configuration, created ones last.
pub fn wanted(
    configured: Vec<Arc<ConnectedAccount>>,
    created: Vec<Arc<ConnectedAccount>>,
) -> Vec<Wanted> {
    let of = |created| move |account| Wanted { account, created };
    let configured = configured.into_iter().map(of(false));
    configured
        .chain(created.into_iter().map(of(true)))
        .collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| "reading it was broken off".to_owned())
}
