//! Connections of one worker to one origin: idle ones over HTTP/1.1, and those
//! that many requests share over HTTP/2.

use super::circuit::Circuit;
use super::http1::line::Line;
use super::multiplex::Multiplex;
use super::outgoing;
use super::slots::{Given, Slots};
use crate::config::checked::{self, Route, UpstreamScheme};
use crate::net::dial::Origin;
use crate::net::stream::Trouble;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What routes must have in common to share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub origin: Origin,
    pub versions: Versions,
    /// Names of fields keep their spelling.
    pub keeps_case: bool,
}

/// Which versions of HTTP an origin may be spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Versions {
    Http1,
    /// HTTP/2, known beforehand.
    Http2,
    /// Whichever the origin chooses.
    Either,
}

impl Key {
    /// The key of a route's upstream.
    #[must_use]
    pub fn of(route: &Route) -> Self {
        let upstream = &route.upstream;
        Self {
            origin: Origin {
                tls: upstream.scheme == UpstreamScheme::Https,
                host: upstream.host.clone(),
                port: upstream.port,
                unix_socket: route.reach.unix_socket.clone(),
                settings: route.reach.tls.clone(),
                via: outgoing::via(route),
            },
            versions: match upstream.scheme {
                UpstreamScheme::Http => Versions::Http1,
                UpstreamScheme::H2c => Versions::Http2,
                UpstreamScheme::Https if route.http2 => Versions::Either,
                UpstreamScheme::Https => Versions::Http1,
            },
            keeps_case: route.keep_header_case,
        }
    }
}

/// How many connections are kept, and for how long.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Open ones, and requests that wait for one; `None`: any number is open.
    pub open: Option<(usize, usize)>,
    /// Idle ones.
    pub idle: usize,
    pub idle_time: Duration,
    /// None is too old: the longest time there is.
    pub age: Duration,
    pub ping_after: Duration,
}

impl From<&checked::Limits> for Limits {
    fn from(limits: &checked::Limits) -> Self {
        let age = limits.max_connection_age;
        let most = limits.pool_connections_per_origin;
        Self {
            open: most.map(|most| (most, limits.pool_queue)),
            idle: limits.pool_idle_per_origin,
            idle_time: limits.pool_idle_timeout,
            age: if age.is_zero() { Duration::MAX } else { age },
            ping_after: limits.http2_ping_after,
        }
    }
}

/// The connections to an origin.
pub struct Pool {
    pub key: Key,
    /// The last used first.
    idle: RefCell<Vec<Idle>>,
    limits: Limits,
    /// What was born by then is too old; set by each sweep, so that a request reads no
    /// clock for it.
    too_old: Cell<Option<Instant>>,
    /// Whether to wait for new ones.
    pub circuit: Circuit,
    /// When it was last said that the proxy refuses.
    pub told: Cell<Option<Instant>>,
    /// `None`: any number may be open.
    pub slots: Option<Rc<Slots>>,
    /// `None`: HTTP/1.1 alone.
    pub multiplex: Option<Box<Multiplex>>,
}

/// Our end of an open HTTP/1.1 connection.
pub struct Open {
    pub line: Line,
    pub born: Instant,
}

impl Open {
    /// Opened now.
    #[must_use]
    pub fn new(line: Line) -> Self {
        Self {
            line,
            born: Instant::now(),
        }
    }

    /// Ready for a request.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.line.is_open()
    }

    /// The same as far as is known without asking the socket.
    fn is_spent(&self) -> bool {
        !self.line.is_clean()
    }

    /// Why TLS ended it, if it did.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.line.trouble()
    }

    /// Statuses that came before the last answer.
    #[must_use]
    pub fn interim(&self) -> Vec<u16> {
        self.line.interim()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.line.leave();
    }
}

struct Idle {
    open: Open,
    /// When a sweep first saw it idle.
    since: Option<Instant>,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(key: Key, limits: Limits) -> Self {
        let multiplexed = key.versions != Versions::Http1;
        let slots = limits.open.map(|(most, queue)| Slots::new(most, queue));
        let multiplex = || Box::new(Multiplex::new(key.versions, slots.clone()));
        Self {
            multiplex: multiplexed.then(multiplex),
            slots,
            key,
            idle: RefCell::default(),
            circuit: Circuit::default(),
            told: Cell::default(),
            too_old: Cell::new(Instant::now().checked_sub(limits.age)),
            limits,
        }
    }

    /// What the next request is to be sent over, unless it is HTTP/1.1.
    pub fn shared(&self) -> Option<&Multiplex> {
        self.multiplex.as_deref().filter(|it| !it.speaks_http1())
    }

    /// Takes the connection that was used last and can take a request.
    pub fn take(&self) -> Option<Open> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { open, .. }) = idle.pop() {
            if open.is_ready() {
                return Some(open);
            }
        }
        None
    }

    /// Keeps a connection for the next request, unless it is too old.
    pub fn put(&self, open: Open) {
        if self.is_old(&open) || open.is_spent() {
            return;
        }
        let Some(open) = self.handed_on(open) else {
            return;
        };
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.limits.idle {
            idle.push(Idle { open, since: None });
        }
    }

    /// To the first request that waits for one; `None` where one did.
    fn handed_on(&self, open: Open) -> Option<Open> {
        let Some(slots) = self.slots.as_ref().filter(|slots| slots.are_awaited()) else {
            return Some(open);
        };
        match slots.give(Given::Open(open)) {
            Some(Given::Open(open)) => Some(open),
            _ => None,
        }
    }

    /// Takes a connection that may not be ready for a request yet.
    pub fn take_any(&self) -> Option<Open> {
        self.idle.borrow_mut().pop().map(|idle| idle.open)
    }

    /// Closes one that nobody uses, for the sake of a new one; false where all
    /// are used.
    pub fn close_one(&self) -> bool {
        let multiplex = self.multiplex.as_ref();
        self.take_any().is_some() || multiplex.is_some_and(|multiplex| multiplex.close_one())
    }

    fn is_old(&self, open: &Open) -> bool {
        self.too_old.get().is_some_and(|then| open.born <= then)
    }

    /// Closes what has been idle for too long or is too old, and looks after
    /// shared connections; true while any is left.
    pub fn sweep(&self, now: Instant) -> bool {
        self.too_old.set(now.checked_sub(self.limits.age));
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| {
            let since = *idle.since.get_or_insert(now);
            let in_time = now.saturating_duration_since(since) < self.limits.idle_time;
            in_time && idle.open.is_ready() && !self.is_old(&idle.open)
        });
        let multiplex = self.multiplex.as_ref();
        let shared = multiplex.is_some_and(|multiplex| multiplex.sweep(now, &self.limits));
        shared || !idle.is_empty()
    }
}
