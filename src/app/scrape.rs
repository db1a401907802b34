//! Collects what `/metrics` shows.

use super::wings::Core;
use crate::admin::Scrape;
use crate::refresh::{AccountState, Glimpse};
use crate::telemetry::access::AccessLog;
use crate::telemetry::accounts::{AccountFigures, AccountSample};
use crate::telemetry::log::Log;
use crate::telemetry::metrics::{Snapshot, render};
use crate::telemetry::refreshes::RefreshMetrics;
use crate::telemetry::spans::Spans;
use std::sync::Arc;

/// Where the figures come from.
#[derive(Clone)]
pub struct Sources {
    pub core: Core,
    pub refreshes: Arc<RefreshMetrics>,
    pub access: Option<AccessLog>,
    pub log: Arc<Log>,
    pub spans: Option<Spans>,
}

/// A scrape of these sources at each call.
pub fn scrape(sources: Sources) -> Scrape {
    Arc::new(move || {
        let sources = sources.clone();
        Box::pin(async move {
            let snapshot = snapshot(&sources).await;
            // Rendering reads files.
            let render = move || render(&snapshot, &sources.refreshes);
            tokio::task::spawn_blocking(render)
                .await
                .unwrap_or_default()
        })
    })
}

async fn snapshot(sources: &Sources) -> Snapshot {
    let core = &sources.core;
    Snapshot {
        workers: core.workers.stats().await,
        accounts: figures(sources),
        access_log_dropped: sources.access.as_ref().map_or(0, AccessLog::dropped),
        log_dropped: sources.log.dropped(),
        spans: sources.spans.as_ref().map(Spans::counts),
        issuers: core.issuers.counts(),
        io: core.workers.io().as_str(),
        reloads: core.reloads.counts(),
        reload_failed: core.reloads.standing().failure().is_some(),
    }
}

fn figures(sources: &Sources) -> AccountFigures {
    let mut figures = AccountFigures::new(AccountState::ALL.map(AccountState::as_str));
    let named = sources.refreshes.named();
    for account in sources.core.accounts.cells().iter() {
        figures.add(&named, &sample(&account));
    }
    figures
}

fn sample<'a>(account: &Glimpse<'a>) -> AccountSample<'a> {
    AccountSample {
        key: account.key.as_str(),
        state: account.state.as_str(),
        reconnect_at_expiry: account.reconnect_at_expiry,
        connected: account.state == AccountState::Connected,
        expires_at: account.expires_at.map(|at| at.passed().as_secs_f64()),
    }
}
