//! What workers count. Each worker owns its counters, so that a request touches
//! no memory of another core; a scrape asks every worker for a copy and sums.

use super::tunnels::Tunnels;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Upper bounds of the duration buckets, in seconds. The smallest resolve what
/// the proxy itself takes, the largest a slow upstream.
pub const BOUNDS: [f64; 15] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    5.0, 30.0,
];

const BOUNDS_NANOS: [u64; 15] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
    30_000_000_000,
];

/// A histogram of durations over [`BOUNDS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Observations per bucket (not cumulative); the last is "above all bounds".
    pub buckets: [u64; BOUNDS.len() + 1],
    pub sum_nanos: u64,
}

impl Histogram {
    /// Adds one observation.
    pub fn observe(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NANOS.partition_point(|bound| *bound < nanos);
        self.buckets[bucket] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// All observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }
}

/// How a replay ended: the closed list of the `outcome` label of
/// `sidekey_replays_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayOutcome {
    /// The replay was accepted.
    Cured,
    /// The replay was rejected as well.
    RejectedAgain,
    /// The body was past its limit, so the rejection was passed on.
    NotReplayable,
    /// The refresh failed, so the rejection was passed on.
    RefreshFailed,
    /// The refresh brought the same token.
    SameToken,
    /// A recent replay was rejected too; no refresh was allowed.
    Budget,
    /// The replay could not be sent or got no answer.
    UpstreamFailed,
}

impl ReplayOutcome {
    pub const ALL: [Self; 7] = [
        Self::Cured,
        Self::RejectedAgain,
        Self::NotReplayable,
        Self::RefreshFailed,
        Self::SameToken,
        Self::Budget,
        Self::UpstreamFailed,
    ];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cured => "cured",
            Self::RejectedAgain => "rejected_again",
            Self::NotReplayable => "not_replayable",
            Self::RefreshFailed => "refresh_failed",
            Self::SameToken => "same_token",
            Self::Budget => "budget",
            Self::UpstreamFailed => "upstream_failed",
        }
    }
}

/// Bytes of a request's head, by what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadBytes {
    pub cookies: u64,
    pub token: u64,
    pub rest: u64,
}

/// Heads that an upstream found too large (431).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oversized {
    pub heads: u64,
    /// Of all of them together.
    pub bytes: HeadBytes,
}

impl Oversized {
    /// Counts one.
    pub fn add(&mut self, bytes: HeadBytes) {
        self.merge(&Self { heads: 1, bytes });
    }

    fn merge(&mut self, other: &Self) {
        self.heads += other.heads;
        self.bytes.cookies += other.bytes.cookies;
        self.bytes.token += other.bytes.token;
        self.bytes.rest += other.bytes.rest;
    }
}

/// Why sidekey has ended a stream before its own end: the closed list of the
/// `reason` label of `sidekey_streams_closed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// Its token has expired.
    Expired,
    /// The account has been disconnected, or has to be connected again.
    Revoked,
    /// An upstream has rejected its token, and there is another.
    Replaced,
    /// Both directions were silent for too long.
    Idle,
    /// The process ends.
    Drain,
}

impl StreamEnd {
    pub const ALL: [Self; 5] = [
        Self::Expired,
        Self::Revoked,
        Self::Replaced,
        Self::Idle,
        Self::Drain,
    ];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
            Self::Idle => "idle",
            Self::Drain => "drain",
        }
    }

    /// What is told to people, and to the peers of a WebSocket.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Expired => "its token has expired",
            Self::Revoked => "its token has been revoked",
            Self::Replaced => "its token was rejected and has been replaced",
            Self::Idle => "it was silent for too long",
            Self::Drain => "sidekey is stopping",
        }
    }
}

/// The counters of one route on one worker.
#[derive(Clone, Debug, Default)]
pub struct RouteStats {
    /// Requests by status code; a handful of codes, the busiest first.
    codes: Vec<(u16, u64)>,
    replays: [u64; ReplayOutcome::ALL.len()],
    streams_closed: [u64; StreamEnd::ALL.len()],
    /// Answers before the answer, by status.
    interim: Vec<(u16, u64)>,
    /// From the request's head to the end of the response's head.
    pub duration: Histogram,
    /// From sending the head upstream to the response's head, both sendings.
    pub upstream: Histogram,
    /// `duration` without `upstream` and `token_wait`.
    pub overhead: Histogram,
    /// Waiting for a token; only requests that had to wait.
    pub token_wait: Histogram,
    pub oversized: Oversized,
}

impl RouteStats {
    /// Counts an answered request.
    pub fn answered(&mut self, code: u16) {
        if let Some(at) = self.codes.iter().position(|(c, _)| *c == code) {
            self.codes[at].1 += 1;
            if at > 0 && self.codes[at].1 > self.codes[at - 1].1 {
                self.codes.swap(at, at - 1);
            }
        } else {
            self.codes.push((code, 1));
        }
    }

    /// Counts what came before an answer, but for the 100 that asks for a body.
    pub fn came_before(&mut self, statuses: &[u16]) {
        for status in statuses.iter().filter(|status| **status != 100) {
            add(&mut self.interim, *status, 1);
        }
    }

    /// Answers before the answer, by status.
    pub fn interim(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.interim.iter().copied()
    }

    /// Counts a replay, or a rejection that did not become one.
    pub fn replay(&mut self, outcome: ReplayOutcome) {
        self.replays[outcome as usize] += 1;
    }

    /// Counts a stream that was ended before its own end.
    pub fn stream_closed(&mut self, why: StreamEnd) {
        self.streams_closed[why as usize] += 1;
    }

    /// Streams that were ended, by reason.
    pub fn streams_closed(&self) -> impl Iterator<Item = (StreamEnd, u64)> + '_ {
        StreamEnd::ALL
            .into_iter()
            .map(|why| (why, self.streams_closed[why as usize]))
    }

    /// Requests by status code.
    pub fn codes(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.codes.iter().copied()
    }

    /// Replays by outcome.
    pub fn replays(&self) -> impl Iterator<Item = (ReplayOutcome, u64)> + '_ {
        ReplayOutcome::ALL
            .into_iter()
            .map(|outcome| (outcome, self.replays[outcome as usize]))
    }

    /// Adds another worker's counters of the same route.
    pub fn merge(&mut self, other: &Self) {
        for (code, count) in &other.codes {
            add(&mut self.codes, *code, *count);
        }
        for (status, count) in &other.interim {
            add(&mut self.interim, *status, *count);
        }
        for (mine, theirs) in self.replays.iter_mut().zip(other.replays) {
            *mine += theirs;
        }
        for (mine, theirs) in self.streams_closed.iter_mut().zip(other.streams_closed) {
            *mine += theirs;
        }
        self.duration.merge(&other.duration);
        self.upstream.merge(&other.upstream);
        self.overhead.merge(&other.overhead);
        self.token_wait.merge(&other.token_wait);
        self.oversized.merge(&other.oversized);
    }
}

fn add(counts: &mut Vec<(u16, u64)>, code: u16, count: u64) {
    match counts.iter_mut().find(|(c, _)| *c == code) {
        Some((_, mine)) => *mine += count,
        None => counts.push((code, count)),
    }
}

/// Everything one worker counted. `refused` is by the `Sidekey-Error` code of
/// the answer: the closed list of the `reason` label of `sidekey_refused_total`.
#[derive(Clone, Debug, Default)]
pub struct WorkerStats {
    pub routes: BTreeMap<Arc<str>, RouteStats>,
    pub refused: BTreeMap<&'static str, u64>,
    pub tunnels: Tunnels,
    /// Of routes with several: the route and the address, and whether no worker
    /// leaves it out.
    pub upstreams: BTreeMap<(Arc<str>, Arc<str>), bool>,
    /// Open client connections now.
    pub connections: u64,
    /// Bytes held now for replays.
    pub replay_buffer_bytes: u64,
}

impl WorkerStats {
    /// Adds another worker's counters.
    pub fn merge(&mut self, other: Self) {
        for (route, stats) in other.routes {
            self.routes.entry(route).or_default().merge(&stats);
        }
        for (reason, count) in other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
        self.tunnels.merge(&other.tunnels);
        for (upstream, is_well) in other.upstreams {
            *self.upstreams.entry(upstream).or_insert(true) &= is_well;
        }
        self.connections += other.connections;
        self.replay_buffer_bytes += other.replay_buffer_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, BOUNDS_NANOS, Histogram, ReplayOutcome, RouteStats, StreamEnd};
    use std::time::Duration;

    #[test]
    fn both_tables_of_bounds_agree() {
        for (seconds, nanos) in BOUNDS.iter().zip(BOUNDS_NANOS) {
            assert_eq!(
                Duration::from_secs_f64(*seconds),
                Duration::from_nanos(nanos)
            );
        }
    }

    #[test]
    fn an_observation_at_a_bound_belongs_to_it() {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_micros(50));
        histogram.observe(Duration::from_nanos(50_001));
        histogram.observe(Duration::from_secs(100));
        assert_eq!(histogram.buckets[..2], [1, 1]);
        assert_eq!(histogram.buckets[BOUNDS.len()], 1);
        assert_eq!(histogram.count(), 3);
    }

    #[test]
    fn merging_adds_up() {
        let (mut a, mut b) = (RouteStats::default(), RouteStats::default());
        a.answered(200);
        b.answered(200);
        b.answered(503);
        b.replay(ReplayOutcome::Cured);
        b.came_before(&[100, 103, 103]);
        a.merge(&b);
        assert_eq!(a.codes().collect::<Vec<_>>(), [(200, 2), (503, 1)]);
        assert_eq!(a.interim().collect::<Vec<_>>(), [(103, 2)]);
        assert!(a.replays().any(|r| r == (ReplayOutcome::Cured, 1)));
    }

    #[test]
    fn every_outcome_stands_at_its_own_index() {
        for (at, outcome) in ReplayOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
        }
        for (at, why) in StreamEnd::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
    }
}
