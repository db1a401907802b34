//! Tunnels by CONNECT, as a worker counts them.

use super::families::{count, family, float, gauge};
use prometheus::proto::{MetricFamily, MetricType};

/// How a tunnel came to its end, or to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides have ended it, or one has broken off.
    Ended,
    /// It was silent in both directions for too long.
    Idle,
    /// The process ends.
    Drain,
    /// The caller was gone before it began.
    Lost,
    /// The target is not listed, or the request was no good one.
    Refused,
    /// The target took no connection.
    Unreachable,
    /// The target took none in time.
    Timeout,
}

impl TunnelEnd {
    pub const ALL: [Self; 7] = [
        Self::Ended,
        Self::Idle,
        Self::Drain,
        Self::Lost,
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
    ];

    /// The value of the `outcome` label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Idle => "idle",
            Self::Drain => "drain",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
        }
    }
}

/// The counters of one worker.
#[derive(Clone, Debug, Default)]
pub struct Tunnels {
    /// Now.
    pub open: u64,
    ended: [u64; TunnelEnd::ALL.len()],
    /// From and to the callers of tunnels that have ended.
    bytes: (u64, u64),
}

impl Tunnels {
    /// One is over, or never began.
    pub fn ended(&mut self, how: TunnelEnd) {
        self.ended[how as usize] += 1;
    }

    /// What one has carried: from the caller, and to it.
    pub fn carried(&mut self, (from, to): (u64, u64)) {
        self.bytes.0 += from;
        self.bytes.1 += to;
    }

    /// Adds another worker's counters.
    pub fn merge(&mut self, other: &Self) {
        self.open += other.open;
        for (mine, theirs) in self.ended.iter_mut().zip(other.ended) {
            *mine += theirs;
        }
        self.carried(other.bytes);
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let ended = TunnelEnd::ALL.map(|how| {
            let labels = [("outcome", how.as_str())];
            count(&labels, float(self.ended[how as usize]))
        });
        let bytes = [("from_caller", self.bytes.0), ("to_caller", self.bytes.1)];
        let bytes = bytes.map(|(way, n)| count(&[("direction", way)], float(n)));
        vec![
            gauge(
                "sidekey_tunnels_open",
                "Tunnels by CONNECT that are open.",
                float(self.open),
            ),
            family(
                "sidekey_tunnels_total",
                "Tunnels by CONNECT that are over, or came to nothing, by how.",
                MetricType::COUNTER,
                ended.to_vec(),
            ),
            family(
                "sidekey_tunnel_bytes_total",
                "Bytes that tunnels by CONNECT have carried, counted at their end.",
                MetricType::COUNTER,
                bytes.to_vec(),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::TunnelEnd;

    #[test]
    fn every_outcome_stands_at_its_own_index() {
        for (at, how) in TunnelEnd::ALL.into_iter().enumerate() {
            assert_eq!(how as usize, at);
        }
    }
}
