//! One worker: its connections, pools, routes and counters. Nothing here is
//! shared with another thread but the seam, the route set and three numbers.

mod drain;

use super::accept::serve;
use super::called::Called;
use super::callers::Listener;
use super::connection::{Connection, Reading};
use super::crowd::Seat;
use super::doors::{Doors, ListenerId};
use super::jwt::Jwts;
use super::lease::Leases;
use super::permits::Permits;
use super::pool::{self, Pool};
use super::refusal::{Code, Refusal};
use super::replay::Upload;
use super::route::{Routes, WorkerRoute};
use super::secure::{Handshakes, Opening};
use super::seed::{Commons, Seed};
use super::tables::Tables;
use super::tally::Tally;
use super::trace::Tracer;
use super::{Listening, RouteSet};
use crate::base::clock::SystemClock;
use crate::config::checked::Limits;
use crate::net::dial::Dialer;
use crate::net::listen::{Accepted, Acceptor, Peer};
use crate::net::time::Deadlines;
use crate::net::turn;
use crate::net::worker::spawn_local;
use crate::telemetry::access::{AccessWriter, Entry};
use crate::telemetry::requests::WorkerStats;
use crate::token::Asker;
use hyper::body::Body;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// What the other threads ask of a worker.
pub enum Command {
    /// Serve a connection that another worker accepted.
    Adopt(std::net::TcpStream, (Peer, Seat), ListenerId),
    /// Watch these for a change that follows.
    Watch(Vec<Listening>, oneshot::Sender<io::Result<()>>),
    /// It does not follow.
    Forget(oneshot::Sender<()>),
    /// Go on with these routes and listeners; running requests keep theirs.
    Change(
        Option<Arc<RouteSet>>,
        Arc<Vec<Listening>>,
        oneshot::Sender<()>,
    ),
    /// Give a copy of the counters.
    Stats(oneshot::Sender<WorkerStats>),
    /// Stop accepting and finish; answers with the connections left at the limit.
    Drain(Duration, oneshot::Sender<usize>),
}

/// A worker, on its own thread.
pub struct Worker {
    index: usize,
    commons: Arc<Commons>,
    routes: RefCell<Rc<Routes>>,
    pub dialer: Dialer,
    pub limits: Limits,
    pub token_wait: Duration,
    pub asker: Asker,
    pub clock: SystemClock,
    pub jwts: Jwts,
    pub public_url: String,
    pub deadlines: Rc<Deadlines>,
    pub leases: Leases,
    pub permits: Rc<Permits>,
    pub handshakes: Handshakes,
    access: Option<RefCell<AccessWriter>>,
    /// Where traces are configured.
    pub tracer: Option<Tracer>,
    pub tally: Tally,
    /// Of routes of before a reload, while something runs over them.
    former_pools: RefCell<Vec<Weak<Pool>>>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
    next_connection: Cell<u64>,
    draining: Cell<bool>,
    doors: Doors,
    connection_ended: Notify,
}

impl Worker {
    /// Makes the worker on the calling thread.
    #[must_use]
    pub fn new(seed: Seed) -> Rc<Self> {
        let tables = Tables {
            old: &Routes::default(),
            pool_limits: pool::Limits::from(&seed.limits),
            access: seed.access.as_ref(),
        };
        let routes = tables.build(&seed.routes);
        Rc::new(Self {
            index: seed.index,
            permits: Permits::new(seed.commons.permits.clone()),
            commons: seed.commons,
            routes: RefCell::new(Rc::new(routes)),
            dialer: seed.dialer,
            limits: seed.limits,
            token_wait: seed.token_wait,
            asker: seed.asker,
            clock: seed.clock,
            jwts: Jwts::new(seed.issuers),
            public_url: seed.public_url,
            deadlines: Rc::default(),
            leases: Leases::default(),
            handshakes: Handshakes::default(),
            access: seed.access.map(RefCell::new),
            tracer: seed.traces.as_ref().map(Tracer::new),
            tally: Tally::default(),
            former_pools: RefCell::default(),
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            draining: Cell::new(false),
            doors: Doors::default(),
            connection_ended: Notify::new(),
        })
    }

    /// Accepts, serves and obeys until nobody commands any more.
    pub async fn run(
        self: Rc<Self>,
        mut listeners: Vec<Listening>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        if let Err(error) = self.doors.watch(&mut listeners) {
            tracing::error!("a worker can't watch its listeners: {error}");
            return;
        }
        self.listen(&listeners);
        drop(listeners);
        spawn_local(self.clone().tick());
        while let Some(command) = commands.recv().await {
            match command {
                Command::Adopt(stream, peer, id) => self.adopt(stream, peer, id),
                Command::Watch(mut listeners, reply) => {
                    let _ = reply.send(self.doors.watch(&mut listeners));
                }
                Command::Forget(done) => {
                    self.doors.forget();
                    let _ = done.send(());
                }
                Command::Change(routes, listeners, done) => {
                    if let Some(routes) = routes {
                        self.change_routes(&routes);
                    }
                    self.listen(&listeners);
                    let worker = self.clone();
                    spawn_local(async move {
                        worker.doors.settled().await;
                        let _ = done.send(());
                    });
                }
                Command::Stats(reply) => {
                    let _ = reply.send(self.stats());
                }
                Command::Drain(limit, reply) => {
                    let worker = self.clone();
                    spawn_local(async move {
                        let _ = reply.send(worker.drain(limit).await);
                    });
                }
            }
        }
    }

    /// The routes of now; a reload leaves running requests theirs.
    #[must_use]
    pub fn routes(&self) -> Rc<Routes> {
        self.routes.borrow().clone()
    }

    /// Those of them that this listener serves.
    #[must_use]
    pub fn routes_at(&self, listener: &Listener) -> Rc<Routes> {
        listener.share.routes().unwrap_or_else(|| self.routes())
    }

    /// Whether a route keeps the spelling of fields' names.
    #[must_use]
    pub fn keeps_case(&self) -> bool {
        self.routes.borrow().keep_case()
    }

    /// A body that may be replayed on this route; refused where it is known to
    /// be too large.
    pub fn upload(&self, body: (Called, Reading), route: &WorkerRoute) -> Result<Upload, Refusal> {
        let most = route.route.max_body.unwrap_or(self.limits.max_body);
        if body.0.size_hint().lower() > most {
            return Err(Refusal::too_large(most));
        }
        let (limit, patience) = (route.route.replay_body_limit, route.route.timeout);
        let budget = self.commons.budget.clone();
        Ok(Upload::new(body, (limit, most), budget, patience))
    }

    /// Adds a line to the access log.
    pub fn log_access(&self, entry: &Entry<'_>) {
        if let Some(access) = &self.access
            && access.borrow_mut().record(entry, turn::wall())
        {
            self.deadlines.wake();
        }
    }

    fn change_routes(&self, set: &RouteSet) {
        let old = self.routes();
        let access = self.access.as_ref().map(RefCell::borrow);
        let tables = Tables {
            old: &old,
            pool_limits: pool::Limits::from(&self.limits),
            access: access.as_deref(),
        };
        let new = tables.build(set);
        // Streams that still run over the others' connections keep them.
        let gone = old
            .pools()
            .filter(|pool| !new.pools().any(|kept| Rc::ptr_eq(kept, pool)));
        self.former_pools
            .borrow_mut()
            .extend(gone.map(Rc::downgrade));
        self.routes.replace(Rc::new(new));
    }

    /// Accepts at these listeners and no others; the connections of those that
    /// are closed, or let in others now, end between two requests.
    fn listen(self: &Rc<Self>, listeners: &[Listening]) {
        let new = self.doors.change(listeners);
        let routes = self.routes();
        self.doors.follow(&routes);
        for (id, acceptor) in new {
            spawn_local(self.clone().accept(id, acceptor));
        }
        for (stream, peer, id) in self.doors.take_early() {
            self.adopt(stream, peer, id);
        }
        for connection in self.connections.borrow().values() {
            if !self.doors.are_of(&connection.listener) {
                connection.listener.share.follow(&routes);
                connection.close_gently();
            }
        }
    }

    async fn accept(self: Rc<Self>, id: ListenerId, acceptor: Acceptor) {
        loop {
            let accepted = self.doors.accept(id, &acceptor, &self.draining).await;
            match accepted {
                None => {
                    drop(acceptor);
                    return self.doors.leave();
                }
                Some(Ok((accepted, peer))) => self.place(accepted, peer, id),
                // Out of file descriptors, most likely: let some connections end.
                Some(Err(error)) => {
                    tracing::warn!("accepting a connection failed: {error}");
                    let pause = std::future::pending::<()>();
                    let _ = self
                        .deadlines
                        .within(Duration::from_millis(100), pause)
                        .await;
                }
            }
        }
    }

    /// Serves a new connection here, or hands it to the worker with the fewest.
    fn place(self: &Rc<Self>, accepted: Accepted, peer: Peer, id: ListenerId) {
        let Some(listener) = self.doors.find(id) else {
            return;
        };
        let loads: Vec<usize> = self
            .commons
            .loads
            .iter()
            .map(|load| load.load(Ordering::Relaxed))
            .collect();
        let open = loads.iter().sum::<usize>();
        if open >= self.limits.connections {
            let which = "which is the limit (limits.connections)";
            return self.turn_away(accepted, &listener, open, which);
        }
        let Some(seat) = self.commons.crowd.seat(&peer) else {
            let which = "all of one caller, which is the limit (limits.connections_per_caller)";
            return self.turn_away(accepted, &listener, self.commons.crowd.most(), which);
        };
        let peer = (peer, seat);
        let own = loads[self.index];
        let least = loads.iter().enumerate().min_by_key(|(_, load)| **load);
        let target = match least {
            Some((other, load)) if *load < own => other,
            _ => self.index,
        };
        self.commons.loads[target].fetch_add(1, Ordering::Relaxed);
        if target == self.index {
            self.serve(accepted, peer, &listener);
            return;
        }
        let handed = accepted.detach().is_ok_and(|s| {
            self.commons.peers[target]
                .send(Command::Adopt(s, peer, id))
                .is_ok()
        });
        if !handed {
            self.unload(target);
        }
    }

    /// One connection too many: says so without reading anything.
    fn turn_away(&self, accepted: Accepted, listener: &Listener, open: usize, which: &str) {
        let detail = format!("{open} connections are open, {which}");
        let refusal = Refusal::new(Code::Overloaded, detail);
        self.tally.refused(refusal.code.as_str());
        // Without a handshake there are no words for a caller that speaks TLS.
        if listener.tls().is_none() {
            // The buffer of a new socket takes it at once, or the client goes without.
            let _ = accepted.say_and_close(&refusal.into_bytes());
        }
    }

    /// Serves what another worker accepted, who may have heard of a new listener
    /// before this one: then a little later.
    fn adopt(self: &Rc<Self>, stream: std::net::TcpStream, peer: (Peer, Seat), id: ListenerId) {
        match self.doors.find(id) {
            Some(listener) => self.serve(Accepted::attach(stream), peer, &listener),
            None if self.doors.is_watched(id) => self.doors.keep_early((stream, peer, id)),
            None => self.unload(self.index),
        }
    }

    fn serve(
        self: &Rc<Self>,
        accepted: Accepted,
        (peer, seat): (Peer, Seat),
        listener: &Rc<Listener>,
    ) {
        let id = self.next_connection.replace(self.next_connection.get() + 1);
        let connection = Rc::new(Connection::new(peer, listener.clone()));
        if self.draining.get() {
            connection.let_go();
        }
        self.connections.borrow_mut().insert(id, connection.clone());
        let leave = Leave {
            worker: self.clone(),
            id,
            _seat: seat,
        };
        let worker = self.clone();
        spawn_local(async move {
            let _leave = leave;
            serve(worker, connection, Opening::Accepted(accepted)).await;
        });
        self.deadlines.wake();
    }

    fn unload(&self, index: usize) {
        self.commons.loads[index].fetch_sub(1, Ordering::Relaxed);
    }

    /// Looks after deadlines, silent connections and what is handed over in batches.
    async fn tick(self: Rc<Self>) {
        let mut pooled = false;
        loop {
            let open = !self.connections.borrow().is_empty();
            self.deadlines.tick(open || pooled).await;
            let now = Instant::now();
            self.deadlines.sweep(now);
            for connection in self.connections.borrow().values() {
                connection.sweep(now, &self);
            }
            self.leases.sweep(&self, now);
            pooled = false;
            for pool in self.routes().pools() {
                pooled |= pool.sweep(now);
            }
            self.former_pools.borrow_mut().retain(|pool| {
                let pool = pool.upgrade();
                pool.inspect(|pool| pooled |= pool.sweep(now)).is_some()
            });
            self.flush();
        }
    }

    /// Hands over the access log's lines, and spans.
    fn flush(&self) {
        if let Some(access) = &self.access {
            access.borrow_mut().flush();
        }
        if let Some(tracer) = &self.tracer {
            tracer.flush();
        }
    }

    fn stats(&self) -> WorkerStats {
        let mut stats = self.tally.with_routes(&self.routes());
        stats.connections = self.connections.borrow().len() as u64;
        if self.index == 0 {
            // One number of the process, not one of each worker.
            stats.replay_buffer_bytes = self.commons.budget.used() as u64;
        }
        stats
    }
}

/// Takes a connection off the worker's books, however its task ends.
struct Leave {
    worker: Rc<Worker>,
    id: u64,
    _seat: Seat,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.id);
        self.worker.unload(self.worker.index);
        self.worker.connection_ended.notify_waiters();
    }
}
