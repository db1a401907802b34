//! The hot path: accept → callers → route → attach → upstream → verdict →
//! (replay) → respond, on worker threads that share nothing but the seam.

mod absolute;
mod accept;
#[cfg(test)]
mod allocations;
mod attach;
mod attempt;
mod body;
mod called;
mod callers;
mod circuit;
mod connect;
mod connection;
mod credential;
mod crowd;
mod dialing;
mod doors;
mod doubted;
mod edits;
mod exchange;
mod expect;
mod forward;
mod frames;
#[cfg(feature = "fuzzing")]
pub mod fuzzed;
mod grpc;
mod handshake;
mod hop;
mod http1;
mod http2;
mod intercept;
mod jwt;
mod lease;
mod leaves;
mod multiplex;
mod observe;
mod onward;
mod outgoing;
mod oversized;
mod path;
mod patience;
mod peer;
mod permits;
mod pool;
mod preface;
mod pump;
mod received;
mod refusal;
mod replay;
mod respond;
mod rewrite;
mod route;
#[cfg(any(test, feature = "fuzzing"))]
mod sample;
mod secure;
mod seed;
mod served;
mod set_cookie;
mod several;
mod signs;
mod slots;
mod streamed;
mod streaming;
mod tables;
mod tally;
mod trace;
mod trailers;
mod translate;
mod tunnel;
mod upstream;
mod verdict;
mod who;
mod within;
mod worker;

use crate::base::clock::SystemClock;
use crate::base::id::AccountKey;
use crate::config::checked::callers::Allowed;
use crate::config::checked::connect::Connect;
use crate::config::checked::served::Served;
use crate::config::checked::{Limits, SharedRoutes};
use crate::net::dial::Dialer;
use crate::net::listen::{Local, Socket};
use crate::net::tls::server::ServerTls;
use crate::net::worker::{Io, spawn};
use crate::telemetry::access::AccessLog;
use crate::telemetry::requests::WorkerStats;
use crate::telemetry::spans::Tracing;
use crate::token::{Asker, Issuers, Shared};
use crowd::Crowd;
use replay::Budget;
use seed::{Commons, Seed};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use worker::{Command, Worker};

/// What the proxy knows of an account.
#[derive(Clone)]
pub struct Seam {
    pub shared: Shared,
    /// Statuses that lead to a refresh and one replay, gRPC's one among them.
    pub retry_on: Arc<[u16]>,
}

impl Seam {
    /// True for one of the same cell, with the same statuses.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.shared.is(&other.shared) && self.retry_on == other.retry_on
    }
}

/// A listener.
pub struct Listening {
    /// Names it in all that follows; none is used twice.
    pub id: u64,
    pub address: Local,
    /// Names that may reach it besides loopback names and the hosts that
    /// routes name.
    pub hosts: Vec<String>,
    /// `None`: plain HTTP.
    pub tls: Option<Secured>,
    /// Who may call; `None`: whoever can reach it.
    pub callers: Option<Arc<Allowed>>,
    /// `None`: CONNECT is refused.
    pub connect: Option<Connect>,
    /// `None`: all routes.
    pub routes: Option<Served>,
    /// `None`: it is open already.
    pub socket: Option<Socket>,
}

/// TLS at a listener.
#[derive(Clone, Debug)]
pub struct Secured {
    pub tls: ServerTls,
    /// Tells whose certificates are asked for: where it is another, connections
    /// of before end.
    pub clients: [u8; 32],
}

/// What the workers go on with after a reload.
pub struct Change {
    /// With a seam for every account that a route names; `None`: as before.
    pub routes: Option<(SharedRoutes, HashMap<AccountKey, Seam>)>,
    /// All that are to be open; new ones were [watched](Workers::watch) before.
    pub listeners: Vec<Listening>,
}

/// What the workers are started with.
pub struct Parts {
    /// Bound listeners.
    pub listeners: Vec<Listening>,
    pub routes: SharedRoutes,
    /// A seam for every account that a route names.
    pub accounts: HashMap<AccountKey, Seam>,
    pub asker: Asker,
    pub limits: Limits,
    /// How long a request waits for a token.
    pub token_wait: Duration,
    /// Threads; at least 1.
    pub workers: usize,
    /// How they wait for sockets.
    pub io: Io,
    /// Whether they stay awake for answers that come at once.
    pub spins: bool,
    /// `None`: no access log.
    pub access: Option<AccessLog>,
    /// `None`: no traces.
    pub traces: Option<Tracing>,
    pub clock: SystemClock,
    /// By whose keys callers' tokens are verified.
    pub issuers: Issuers,
    /// The admin listener's public address, for the link at which to reconnect.
    pub public_url: String,
    /// Opens connections to upstreams.
    pub dialer: Dialer,
}

/// Routes and the accounts behind them, as every worker builds its tables of.
struct RouteSet {
    routes: SharedRoutes,
    accounts: HashMap<AccountKey, Seam>,
}

/// The running workers.
pub struct Workers {
    commands: Vec<mpsc::UnboundedSender<Command>>,
    ended: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
    io: Io,
}

/// Starts the worker threads.
///
/// # Errors
/// When a thread can't be made or a listener can't be shared.
pub fn start(parts: Parts) -> io::Result<Workers> {
    let count = parts.workers.max(1);
    let (commands, mut inboxes): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mpsc::unbounded_channel()).unzip();
    let commons = Arc::new(Commons {
        loads: (0..count).map(|_| AtomicUsize::new(0)).collect(),
        peers: commands.clone().into(),
        budget: Arc::new(Budget::new(parts.limits.replay_buffer_total)),
        crowd: Crowd::new(parts.limits.connections_per_caller),
        permits: permits::Common::new(parts.limits.requests, count),
    });
    let routes = Arc::new(RouteSet {
        routes: parts.routes,
        accounts: parts.accounts,
    });
    let (ended, ends) = mpsc::unbounded_channel();
    for (index, inbox) in inboxes.drain(..).enumerate() {
        let seed = Seed {
            index,
            commons: commons.clone(),
            routes: routes.clone(),
            dialer: parts.dialer.clone(),
            limits: parts.limits.clone(),
            token_wait: parts.token_wait,
            asker: parts.asker.clone(),
            access: parts.access.as_ref().map(AccessLog::writer),
            traces: parts.traces.clone(),
            clock: parts.clock,
            issuers: parts.issuers.clone(),
            public_url: parts.public_url.clone(),
        };
        start_one(
            seed,
            (parts.io, parts.spins),
            shared(&parts.listeners)?,
            inbox,
            ended.clone(),
        )?;
    }
    Ok(Workers {
        commands,
        ended: tokio::sync::Mutex::new(ends),
        io: parts.io,
    })
}

/// Every worker waits on the same sockets; who accepts may hand over.
fn shared(listeners: &[Listening]) -> io::Result<Vec<Listening>> {
    let shared = listeners.iter().map(|listening| {
        let socket = listening.socket.as_ref().map(Socket::try_clone);
        Ok(Listening {
            id: listening.id,
            address: listening.address.clone(),
            hosts: listening.hosts.clone(),
            tls: listening.tls.clone(),
            callers: listening.callers.clone(),
            connect: listening.connect.clone(),
            routes: listening.routes.clone(),
            socket: socket.transpose()?,
        })
    });
    shared.collect()
}

fn start_one(
    seed: Seed,
    (io, spins): (Io, bool),
    listeners: Vec<Listening>,
    inbox: mpsc::UnboundedReceiver<Command>,
    ended: mpsc::UnboundedSender<String>,
) -> io::Result<()> {
    let name = format!("worker-{}", seed.index);
    let says_goodbye = Goodbye(name.clone(), ended);
    spawn(name, io, spins, move || async move {
        let _says_goodbye = says_goodbye;
        Worker::new(seed).run(listeners, inbox).await;
    })?;
    Ok(())
}

/// Says that a worker has ended, also when it panicked.
struct Goodbye(String, mpsc::UnboundedSender<String>);

impl Drop for Goodbye {
    fn drop(&mut self) {
        let _ = self.1.send(std::mem::take(&mut self.0));
    }
}

impl Workers {
    /// How they wait for sockets.
    #[must_use]
    pub fn io(&self) -> Io {
        self.io
    }

    /// The counters of all workers together.
    pub async fn stats(&self) -> WorkerStats {
        let mut total = WorkerStats::default();
        for answer in self.ask(Command::Stats) {
            if let Ok(stats) = answer.await {
                total.merge(stats);
            }
        }
        total
    }

    /// Has every worker watch the new ones among these, so that a
    /// [change](Self::change) to them can't fail. Nobody is accepted there yet.
    ///
    /// # Errors
    /// When a worker can't; then none watches any of them.
    pub async fn watch(&self, listeners: &mut [Listening]) -> io::Result<()> {
        let copies = self.commands.iter().map(|_| shared(listeners));
        let mut copies = copies.collect::<io::Result<Vec<_>>>()?.into_iter();
        let command = |reply| Command::Watch(copies.next().unwrap_or_default(), reply);
        let mut watched = Ok(());
        for answer in self.ask(command) {
            let gone = Err(io::Error::other("a worker has ended"));
            watched = watched.and(answer.await.unwrap_or(gone));
        }
        for listening in listeners {
            listening.socket = None;
        }
        if watched.is_err() {
            self.forget().await;
        }
        watched
    }

    /// Lets go of what is watched and was not changed to.
    pub async fn forget(&self) {
        for done in self.ask(Command::Forget) {
            let _ = done.await;
        }
    }

    /// Changes routes and listeners, and waits until every worker goes by the
    /// new ones. Running requests keep their routes, connections and tokens.
    pub async fn change(&self, change: Change) {
        let listeners = Arc::new(change.listeners);
        let routes = change
            .routes
            .map(|(routes, accounts)| Arc::new(RouteSet { routes, accounts }));
        let command = |reply| Command::Change(routes.clone(), listeners.clone(), reply);
        for done in self.ask(command) {
            let _ = done.await;
        }
    }

    /// Stops accepting, finishes the running requests and lets kept-alive
    /// connections go; gives the number of connections still open at the limit.
    pub async fn drain(&self, limit: Duration) -> usize {
        let start = Instant::now();
        match self.drain_once(limit).await {
            // A worker may have ended before another, still accepting, gave it
            // a connection: now none accepts any more.
            0 => self.drain_once(limit.saturating_sub(start.elapsed())).await,
            left => left,
        }
    }

    async fn drain_once(&self, limit: Duration) -> usize {
        let mut left = 0;
        for answer in self.ask(|reply| Command::Drain(limit, reply)) {
            left += answer.await.unwrap_or(0);
        }
        left
    }

    /// Waits until a worker ends, which none does by itself; gives its name.
    pub async fn any_ended(&self) -> String {
        match self.ended.lock().await.recv().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }

    fn ask<T>(
        &self,
        mut command: impl FnMut(oneshot::Sender<T>) -> Command,
    ) -> Vec<oneshot::Receiver<T>> {
        self.commands
            .iter()
            .map(|worker| {
                let (reply, answer) = oneshot::channel();
                let _ = worker.send(command(reply));
                answer
            })
            .collect()
    }
}
