//! What has happened over the last day: counts for a chart, and the last few
//! events by name. Bounded, in memory, gone with the process.

use crate::base::clock::Wall;
use crate::base::id::AccountKey;
use crate::telemetry::refreshes::{Outcome, Trigger};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Seconds that one slice of the day counts.
const SLICE: u64 = 1_800;
const SLICES: usize = 48;
/// Events that are remembered by name.
const NAMED: usize = 512;

/// The last day.
#[derive(Default)]
pub struct History(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// The newest slice's number since the epoch.
    newest: u64,
    /// Oldest first, the last one being `newest`.
    slices: VecDeque<Slice>,
    events: VecDeque<Happening>,
    count: u64,
}

/// Half an hour's counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    pub refreshed: u32,
    pub failed: u32,
    pub expired: u32,
}

/// Something that has happened to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    pub at: Wall,
    pub account: AccountKey,
    pub what: What,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A token request has ended.
    Asked(Trigger, Outcome),
    /// A token ran out before there was a newer one.
    Expired,
}

impl History {
    /// Adds what happened at `at`.
    pub(super) fn add(&self, at: Wall, account: &AccountKey, what: What) {
        let mut inner = self.lock();
        inner.advance(at);
        inner.count += 1;
        if let Some(slice) = inner.slices.back_mut() {
            slice.add(what);
        }
        if inner.events.len() == NAMED {
            inner.events.pop_front();
        }
        inner.events.push_back(Happening {
            at,
            account: account.clone(),
            what,
        });
    }

    /// The day up to `now` in half-hours, oldest first.
    #[must_use]
    pub fn day(&self, now: Wall) -> Vec<Slice> {
        let mut inner = self.lock();
        inner.advance(now);
        let mut day = vec![Slice::default(); SLICES - inner.slices.len()];
        day.extend(inner.slices.iter().copied());
        day
    }

    /// The last `most` events, of one account or of all, newest first.
    #[must_use]
    pub fn latest(&self, of: Option<&AccountKey>, most: usize) -> Vec<Happening> {
        let inner = self.lock();
        let events = inner.events.iter().rev();
        let wanted = events.filter(|event| of.is_none_or(|key| event.account == *key));
        wanted.take(most).cloned().collect()
    }

    /// How many events there have been; another number means that there is news.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Counts that a panic has left half done are still good enough.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes the slice of `now` the newest. A clock that was set back adds to
    /// the slice that is there.
    fn advance(&mut self, now: Wall) {
        let number = now.unix_seconds() / SLICE;
        let passed = number.saturating_sub(self.newest);
        if passed >= SLICES as u64 {
            self.slices.clear();
        }
        for _ in 0..passed.min(SLICES as u64) {
            if self.slices.len() == SLICES {
                self.slices.pop_front();
            }
            self.slices.push_back(Slice::default());
        }
        self.newest = self.newest.max(number);
        if self.slices.is_empty() {
            self.slices.push_back(Slice::default());
        }
    }
}

impl Slice {
    fn add(&mut self, what: What) {
        let count = match what {
            What::Asked(_, Outcome::Success | Outcome::SameToken) => &mut self.refreshed,
            What::Asked(..) => &mut self.failed,
            What::Expired => &mut self.expired,
        };
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{History, NAMED, SLICES, What};
    use crate::base::clock::Wall;
    use crate::base::id::AccountKey;
    use crate::telemetry::refreshes::{Outcome, Trigger};
    use std::time::Duration;

    const OK: What = What::Asked(Trigger::Scheduled, Outcome::Success);
    const BAD: What = What::Asked(Trigger::Scheduled, Outcome::Transient);

    fn at(hours: u64) -> Wall {
        Wall::new(Duration::from_hours(480_000 + hours))
    }

    #[test]
    fn a_day_is_counted_in_half_hours_and_older_ones_fall_off() {
        let history = History::default();
        let key = AccountKey::new("a").unwrap();
        assert_eq!(history.day(at(0)).len(), SLICES);
        history.add(at(0), &key, OK);
        history.add(at(0), &key, BAD);
        history.add(at(1), &key, What::Expired);
        let day = history.day(at(1));
        assert_eq!(day.len(), SLICES);
        assert_eq!((day[45].refreshed, day[45].failed), (1, 1));
        assert_eq!(day[47].expired, 1);
        assert_eq!(history.day(at(24))[1].expired, 1);
        assert!(
            history.day(at(25)).iter().all(|s| s.expired == 0),
            "a day later"
        );
        history.add(at(3), &key, OK);
        assert_eq!(history.day(at(25))[47].refreshed, 1, "a clock set back");
    }

    #[test]
    fn events_are_told_newest_first_and_bounded() {
        let history = History::default();
        let (a, b) = (AccountKey::new("a").unwrap(), AccountKey::new("b").unwrap());
        for _ in 0..NAMED {
            history.add(at(0), &a, OK);
        }
        history.add(at(1), &b, BAD);
        assert_eq!(history.latest(None, 9_999).len(), NAMED);
        assert_eq!(history.latest(None, 1)[0].account, b);
        assert_eq!(history.latest(Some(&a), 1)[0].what, OK);
        assert_eq!(history.count(), NAMED as u64 + 1);
    }
}
