//! The hot path: accept → callers → route → attach → upstream → verdict →
//! (replay) → respond, on worker threads that share nothing but the seam.

use crate::base::clock::SystemClock;
use crate::base::id::AccountKey;
use crate::config::checked::{Limits, Route};
use crate::telemetry::access::AccessLog;
use crate::telemetry::requests::WorkerStats;
use crate::token::{Asker, Shared};
use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

/// What the workers are started with.
pub struct Parts {
    /// Bound listeners, each with the host names that may reach it besides
    /// loopback names and the hosts that routes name.
    pub listeners: Vec<(TcpListener, Vec<String>)>,
    pub routes: Vec<Route>,
    /// A seam for every account that a route names.
    pub accounts: HashMap<AccountKey, Shared>,
    pub asker: Asker,
    pub limits: Limits,
    /// How long a request waits for a token.
    pub token_wait: Duration,
    /// Threads; at least 1.
    pub workers: usize,
    /// `None`: no access log.
    pub access: Option<AccessLog>,
    pub clock: SystemClock,
    /// The admin listener's public address, for the link at which to reconnect.
    pub public_url: String,
    /// The cold runtime: name resolution happens there.
    pub cold: tokio::runtime::Handle,
}

/// The running workers.
pub struct Workers {}

/// Starts the worker threads.
///
/// # Errors
/// When a thread or its event loop can't be made, or TLS has no trust store.
pub fn start(parts: Parts) -> io::Result<Workers> {
    let _ = parts;
    todo!()
}

impl Workers {
    /// The counters of all workers together.
    pub async fn stats(&self) -> WorkerStats {
        todo!()
    }

    /// Stops accepting, finishes the running requests and closes kept-alive
    /// connections; gives the number of connections still open at the limit.
    pub async fn drain(&self, limit: Duration) -> usize {
        let _ = limit;
        todo!()
    }
}
