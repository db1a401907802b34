//! How often rejections may lead to a refresh: one budget per account and status.

use crate::base::backoff::Backoff;
use crate::base::clock::{Moment, Now};
use std::time::Duration;

/// The pause after the first replay that was rejected again.
const FIRST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_mins(10);

/// Closed for a while after each refresh that cured nothing.
#[derive(Debug, PartialEq)]
pub struct Budget {
    pauses: Backoff,
    closed_until: Option<Moment>,
    /// The last generation whose replays were rejected: a thousand of them are
    /// one step.
    rejected: Option<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            pauses: Backoff::new(FIRST, LONGEST),
            closed_until: None,
            rejected: None,
        }
    }
}

impl Budget {
    /// True when a rejection may start a refresh now.
    pub fn is_open(&self, now: Now) -> bool {
        self.closed_until.is_none_or(|until| now.reached(until))
    }

    /// A rejection led to a refresh. Until its replays are heard of, no
    /// other rejection starts one: they may all be of requests that no token
    /// can cure. A report that never comes costs one pause, without doubling.
    pub fn refreshed(&mut self, now: Now) {
        let closed_longer = |until: &Moment| now.until(*until) > FIRST;
        if !self.closed_until.as_ref().is_some_and(closed_longer) {
            self.closed_until = Some(now.after(FIRST));
        }
    }

    /// The refresh brought the token that was rejected: nothing to replay.
    pub fn same_token(&mut self, now: Now) {
        self.closed_until = Some(now.after(self.pauses.step()));
    }

    /// A replay under this generation was rejected again.
    pub fn replay_rejected(&mut self, now: Now, generation: u64) {
        if self.rejected.is_none_or(|counted| counted < generation) {
            self.rejected = Some(generation);
            self.closed_until = Some(now.after(self.pauses.step()));
        }
    }

    /// A replay under this generation succeeded. Where others under the same one
    /// were rejected, the first pause stays, in whichever order they are heard of.
    pub fn replay_cured(&mut self, now: Now, generation: u64) {
        if self.rejected.is_some_and(|counted| counted > generation) {
            return;
        }
        self.pauses.reset();
        self.closed_until =
            (self.rejected == Some(generation)).then(|| now.after(self.pauses.step()));
    }

    /// A person connected the account again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use crate::base::clock::{Mono, Now, Wall};
    use std::time::Duration;

    fn at(seconds: u64) -> Now {
        Now {
            mono: Mono::new(Duration::from_secs(seconds)),
            wall: Wall::new(Duration::from_secs(1_000 + seconds)),
        }
    }

    /// Seconds until it opens again.
    fn pause(budget: &Budget, from: u64) -> u64 {
        (0..).find(|s| budget.is_open(at(from + s))).unwrap()
    }

    #[test]
    fn pauses_double_once_per_generation() {
        let mut budget = Budget::default();
        let mut now = 0;
        for (generation, expected) in (2..).zip([30, 60, 120, 240, 480, 600, 600]) {
            assert!(budget.is_open(at(now)));
            budget.refreshed(at(now));
            for _ in 0..1_000 {
                budget.replay_rejected(at(now), generation);
            }
            assert_eq!(pause(&budget, now), expected);
            now += expected;
        }
        budget.replay_cured(at(now), 20);
        assert!(budget.is_open(at(now)));
    }

    #[test]
    fn cured_and_rejected_under_one_generation_is_the_first_pause_in_any_order() {
        for cured_first in [true, false] {
            let mut budget = Budget::default();
            (1..5).for_each(|generation| budget.replay_rejected(at(0), generation));
            for turn in [cured_first, !cured_first] {
                match turn {
                    true => budget.replay_cured(at(0), 5),
                    false => budget.replay_rejected(at(0), 5),
                }
            }
            assert_eq!(pause(&budget, 0), 30, "{cured_first}");
        }
    }

    #[test]
    fn a_late_report_of_an_older_generation_changes_nothing() {
        let mut budget = Budget::default();
        budget.replay_rejected(at(0), 5);
        budget.replay_rejected(at(0), 4);
        budget.replay_cured(at(0), 4);
        assert_eq!(pause(&budget, 0), 30);
    }

    #[test]
    fn joining_another_status_s_refresh_shortens_no_pause() {
        let mut budget = Budget::default();
        (1..5).for_each(|generation| budget.replay_rejected(at(0), generation));
        budget.refreshed(at(10));
        assert_eq!(pause(&budget, 0), 240);
    }

    #[test]
    fn a_refresh_without_a_report_costs_one_pause() {
        let mut budget = Budget::default();
        for now in [0, 100, 200] {
            budget.refreshed(at(now));
            assert_eq!(pause(&budget, now), 30);
        }
    }
}
