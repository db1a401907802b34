//! What a worker is made of.

use super::RouteSet;
use super::crowd::Crowd;
use super::permits;
use super::replay::Budget;
use super::worker::Command;
use crate::base::clock::SystemClock;
use crate::config::checked::Limits;
use crate::net::dial::Dialer;
use crate::telemetry::access::AccessWriter;
use crate::telemetry::spans::Tracing;
use crate::token::{Asker, Issuers};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::mpsc;

/// What all workers share.
pub struct Commons {
    /// Open connections by worker.
    pub loads: Box<[AtomicUsize]>,
    pub peers: Box<[mpsc::UnboundedSender<Command>]>,
    pub budget: Arc<Budget>,
    pub crowd: Arc<Crowd>,
    /// Of requests at once.
    pub permits: permits::Common,
}

/// What a worker is made of; moved to its thread.
pub struct Seed {
    pub index: usize,
    pub commons: Arc<Commons>,
    pub routes: Arc<RouteSet>,
    pub dialer: Dialer,
    pub limits: Limits,
    pub token_wait: Duration,
    pub asker: Asker,
    pub access: Option<AccessWriter>,
    pub traces: Option<Tracing>,
    pub clock: SystemClock,
    pub issuers: Issuers,
    pub public_url: String,
}
