//! Time as a value: a monotonic and a wall reading taken together, so that the
//! pure parts can be given any time at all.

use std::fmt;
use std::num::NonZeroU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A reading of the monotonic clock: time since the process's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(Micros);

/// A reading of the wall clock: time since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(Micros);

/// Microseconds and one more, for 584,000 years: half of a [`Duration`]'s room, also
/// where there may be none. Very many accounts have a dozen times each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Micros(NonZeroU64);

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
    /// So long after the origin.
    #[must_use]
    pub const fn new(passed: Duration) -> Self {
        Self(Micros::new(passed))
    }

    /// Time since the origin.
    #[must_use]
    pub const fn passed(self) -> Duration {
        self.0.passed()
    }

    /// Saturating addition.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.plus(d))
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.since(earlier.0)
    }
}

impl Wall {
    /// So long after the Unix epoch.
    #[must_use]
    pub const fn new(passed: Duration) -> Self {
        Self(Micros::new(passed))
    }

    /// Time since the Unix epoch.
    #[must_use]
    pub const fn passed(self) -> Duration {
        self.0.passed()
    }

    /// Saturating addition.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.plus(d))
    }

    /// Time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.since(earlier.0)
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        self.passed().as_secs()
    }
}

impl Micros {
    const fn new(passed: Duration) -> Self {
        let micros = passed.as_micros();
        // The most is less by the one that is added.
        let most = u64::MAX as u128;
        let micros = if micros < most { micros } else { most } as u64;
        Self(NonZeroU64::MIN.saturating_add(micros))
    }

    const fn passed(self) -> Duration {
        Duration::from_micros(self.0.get() - 1)
    }

    fn plus(self, d: Duration) -> Self {
        Self::new(self.passed().saturating_add(d))
    }

    fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Micros {
    fn default() -> Self {
        Self(NonZeroU64::MIN)
    }
}

impl fmt::Debug for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.passed().fmt(f)
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
        Mono::new(at.saturating_duration_since(self.origin))
    }

    /// The wall clock alone.
    #[must_use]
    pub fn wall() -> Wall {
        Self::wall_at(SystemTime::now())
    }

    /// Its reading for a time.
    #[must_use]
    pub fn wall_at(time: SystemTime) -> Wall {
        // Before 1970 counts as the epoch: every token is then long valid by
        // this clock, and the monotonic one still judges it.
        Wall::new(time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
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
            mono: Mono::new(Duration::from_secs(mono)),
            wall: Wall::new(Duration::from_secs(wall)),
        }
    }

    #[test]
    fn a_time_takes_eight_bytes_and_ends_late() {
        assert_eq!(size_of::<Option<super::Moment>>(), 16);
        let (end, second) = (Wall::new(Duration::MAX), Duration::from_secs(1));
        assert_eq!(end.plus(second), end);
        assert!(end.passed() > second * 60 * 60 * 24 * 365 * 500_000);
        assert_eq!(Wall::default().passed(), Duration::ZERO);
        assert_eq!(Wall::default().plus(second).since(Wall::default()), second);
        assert_eq!(Wall::default().since(end), Duration::ZERO);
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
