//! What holds for as long as the process runs, whatever the file says later.

use crate::config::checked::{Config, Limits, Log, RefreshSettings, Store, Workers};
use crate::config::traces::Traces;
use std::net::SocketAddr;

/// Settings of the start.
pub struct Fixed {
    admin: SocketAddr,
    public_url: String,
    probes: Option<SocketAddr>,
    store: Store,
    log: Log,
    workers: Workers,
    limits: Limits,
    refresh: RefreshSettings,
    traces: Option<Traces>,
}

impl Fixed {
    pub fn of(config: &Config) -> Self {
        Self {
            admin: config.admin.listen,
            public_url: config.admin.public_url.clone(),
            probes: config.probes,
            store: config.store.clone(),
            log: config.log.clone(),
            workers: config.workers.clone(),
            limits: config.limits.clone(),
            refresh: config.refresh.clone(),
            traces: config.traces.clone(),
        }
    }

    /// The keys that say something else now.
    pub fn differing(&self, config: &Config) -> Vec<&'static str> {
        let now = Self::of(config);
        let compared = [
            ("admin.listen", self.admin == now.admin),
            ("admin.public_url", self.public_url == now.public_url),
            ("probes.listen", self.probes == now.probes),
            ("store", self.store == now.store),
            ("log", self.log == now.log),
            ("workers", self.workers == now.workers),
            ("limits", self.limits == now.limits),
            ("refresh", self.refresh == now.refresh),
            ("traces", self.traces == now.traces),
        ];
        let differing = compared.into_iter().filter(|(_, same)| !same);
        differing.map(|(key, _)| key).collect()
    }
}
