//! Time as a value: a monotonic and a wall reading taken together, so that the
//! pure parts can be given any time at all.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A reading of the monotonic clock: time since the process's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub Duration);

/// A reading of the wall clock: time since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub Duration);

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub mono: Mono,
    pub wall: Wall,
}

/// A moment on both clocks; it has come as soon as *either* clock says so, so
/// that neither a stepped wall clock nor a suspended machine can hide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub mono: Mono,
    pub wall: Wall,
}

impl Now {
    /// The moment `after` from now on both clocks (saturating).
    #[must_use]
    pub fn after(self, after: Duration) -> Moment {
        Moment {
            mono: self.mono.plus(after),
            wall: self.wall.plus(after),
        }
    }

    /// True once either clock has reached the moment.
    #[must_use]
    pub fn reached(self, moment: Moment) -> bool {
        self.mono >= moment.mono || self.wall >= moment.wall
    }

    /// Time left until the moment: the shorter of the two clocks' readings.
    #[must_use]
    pub fn until(self, moment: Moment) -> Duration {
        moment
            .mono
            .since(self.mono)
            .min(moment.wall.since(self.wall))
    }

    /// A moment known only by the wall clock (from a record of an earlier process).
    #[must_use]
    pub fn moment_at(self, wall: Wall) -> Moment {
        Moment {
            mono: self.mono.plus(wall.since(self.wall)),
            wall,
        }
    }
}

impl Mono {
    /// Saturating addition.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d))
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Wall {
    /// Saturating addition.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d))
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        self.0.as_secs()
    }
}

/// Where the cold wing reads the time; tests put their own in its place.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Now;
}

/// The machine's clocks. Copies of one value share their origin.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Takes this moment as the origin of the monotonic clock; one per process.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// The monotonic reading for an instant.
    #[must_use]
    pub fn mono(&self, at: Instant) -> Mono {
        Mono(at.saturating_duration_since(self.origin))
    }

    /// The wall clock alone.
    #[must_use]
    pub fn wall() -> Wall {
        // Before 1970 counts as the epoch: every token is then long valid by
        // this clock, and the monotonic one still judges it.
        Wall(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or(Duration::ZERO),
        )
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            mono: self.mono(Instant::now()),
            wall: Self::wall(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mono, Now, Wall};
    use std::time::Duration;

    fn at(mono: u64, wall: u64) -> Now {
        Now {
            mono: Mono(Duration::from_secs(mono)),
            wall: Wall(Duration::from_secs(wall)),
        }
    }

    #[test]
    fn whichever_clock_comes_first_decides() {
        let expiry = at(0, 1_000).after(Duration::from_secs(60));
        assert!(!at(59, 1_059).reached(expiry));
        assert!(at(60, 1_000).reached(expiry), "wall clock stepped back");
        assert!(at(1, 1_060).reached(expiry), "machine was suspended");
        assert_eq!(at(10, 1_050).until(expiry), Duration::from_secs(10));
    }
}
