//! The access log: lines are made on the worker, written by a thread of its
//! own. The queue is bounded; what doesn't fit is dropped and counted.

use std::net::IpAddr;
use std::time::Duration;

/// One request, as the access log tells it. Paths come without their query,
/// which may hold secrets of the caller.
pub struct Entry<'a> {
    pub client: Option<IpAddr>,
    pub method: &'a str,
    pub path: &'a str,
    /// `None` when no route matched.
    pub route: Option<&'a str>,
    pub account: Option<&'a str>,
    pub status: u16,
    /// `Sidekey-Error` of an answer that the proxy itself made.
    pub error: Option<&'static str>,
    pub duration: Duration,
    pub upstream: Option<Duration>,
    pub replayed: bool,
}

/// The log; one per process, shared by all workers.
#[derive(Clone)]
pub struct AccessLog {}

/// One worker's end of the log: collects lines, hands them over in batches.
pub struct AccessWriter {}

impl AccessLog {
    /// An end for the calling worker.
    #[must_use]
    pub fn writer(&self) -> AccessWriter {
        todo!()
    }

    /// Lines dropped so far because the writer could not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        todo!()
    }
}

impl AccessWriter {
    /// Adds a line to this worker's batch; no system call, no lock.
    pub fn record(&mut self, entry: &Entry<'_>) {
        let _ = entry;
        todo!()
    }

    /// Hands the batch to the writing thread; called on the worker's tick
    /// (every 100 ms) and at its end.
    pub fn flush(&mut self) {
        todo!()
    }
}
