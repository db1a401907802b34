//! When not to try: after some tries in vain in a row nobody tries for a while,
//! and then one at a time.
//!
//! An origin's has to do with connecting: the first requests wait out
//! `connect_timeout`, then others are answered at once. Only waits that ran out
//! count there. A connection that is refused at once piles nothing up, and an
//! upstream that restarts is found the moment it is back.
//!
//! An address's, of a route that has several, has to do with all that goes wrong
//! with it: meanwhile requests go to the others.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Tries in vain, in a row, before others are spared theirs.
pub const TOLERATED: u32 = 3;
/// Between two tries, at first.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Between two tries to connect to an origin, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Between two tries of an address among several, at most.
const LONGEST_ABSENCE: Duration = Duration::from_secs(30);

/// One worker's experience with one origin, or one address.
pub struct Circuit {
    state: Cell<State>,
    /// Between two tries.
    longest: Duration,
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            state: Cell::default(),
            longest: LONGEST_PAUSE,
        }
    }
}

#[derive(Clone, Copy)]
enum State {
    Closed { in_vain: u32 },
    Open { next_try: Instant, pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { in_vain: 0 }
    }
}

/// The right to try to connect; says at its end how that went.
#[must_use]
#[derive(Debug)]
pub struct Attempt {
    /// While the others are answered at once.
    alone: bool,
}

impl Attempt {
    /// By a request that has nowhere else to go.
    pub fn at_any_rate() -> Self {
        Self { alone: false }
    }
}

impl Circuit {
    /// For an address among several.
    #[must_use]
    pub fn of_address() -> Self {
        Self {
            longest: LONGEST_ABSENCE,
            ..Self::default()
        }
    }

    /// False of what is left out. After so long that nobody has tried, nobody knows.
    #[must_use]
    pub fn is_well(&self, now: Instant) -> bool {
        match self.state.get() {
            State::Closed { .. } => true,
            State::Open { next_try, .. } => now >= next_try + self.longest,
        }
    }

    /// Lets a request try to connect.
    ///
    /// # Errors
    /// Nobody is to try now: the time until the next try.
    pub fn admit(&self, now: Instant) -> Result<Attempt, Duration> {
        let State::Open { next_try, pause } = self.state.get() else {
            return Ok(Attempt { alone: false });
        };
        if now < next_try {
            return Err(next_try - now);
        }
        // Should this one's client hang up, another tries after the pause.
        let next_try = now + pause;
        self.state.set(State::Open { next_try, pause });
        Ok(Attempt { alone: true })
    }

    /// The attempt failed at once, which says nothing of how long others wait.
    pub fn failed(&self, _: Attempt) {
        if let State::Closed { .. } = self.state.get() {
            self.state.take();
        }
    }

    /// The upstream took the connection, or the address answered. True when it
    /// had seemed not to.
    pub fn answered(&self, _: Attempt) -> bool {
        matches!(self.state.take(), State::Open { .. })
    }

    /// The wait for a connection ran out, or the address failed; true when others
    /// are spared that from now on.
    pub fn in_vain(&self, attempt: Attempt, now: Instant) -> bool {
        match self.state.get() {
            State::Closed { in_vain } if in_vain + 1 < TOLERATED => {
                let in_vain = in_vain + 1;
                self.state.set(State::Closed { in_vain });
                false
            }
            State::Closed { .. } => {
                self.open(FIRST_PAUSE, now);
                true
            }
            State::Open { pause, .. } => {
                // Those that were under way when it opened say nothing new.
                if attempt.alone {
                    self.open((pause * 2).min(self.longest), now);
                }
                false
            }
        }
    }

    fn open(&self, pause: Duration, now: Instant) {
        let next_try = now + pause;
        self.state.set(State::Open { next_try, pause });
    }
}

#[cfg(test)]
mod tests {
    use super::{Attempt, Circuit, LONGEST_ABSENCE, TOLERATED};
    use proptest::prelude::{any, proptest};
    use std::time::{Duration, Instant};

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Circuit {
        let circuit = Circuit::default();
        for nth in 1..=TOLERATED {
            let attempt = circuit.admit(now).expect("closed so far");
            assert_eq!(circuit.in_vain(attempt, now), nth == TOLERATED);
        }
        circuit
    }

    #[test]
    fn one_at_a_time_tries_while_it_is_open() {
        let now = Instant::now();
        let circuit = opened(now);
        assert_eq!(circuit.admit(now).expect_err("open"), SECOND);
        let attempt = circuit.admit(now + SECOND).expect("one may try");
        assert!(circuit.admit(now + SECOND).is_err(), "a second one may not");
        assert!(circuit.answered(attempt), "it is back");
        assert!(circuit.admit(now + SECOND).is_ok());
    }

    #[test]
    fn the_pause_doubles_up_to_a_limit() {
        let mut now = Instant::now();
        let circuit = opened(now);
        let pauses = (0..6).map(|_| {
            let pause = circuit.admit(now).expect_err("open");
            now += pause;
            let attempt = circuit.admit(now).expect("one may try");
            assert!(!circuit.in_vain(attempt, now), "it was open already");
            pause.as_secs()
        });
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn those_under_way_when_it_opens_change_nothing() {
        let now = Instant::now();
        let circuit = Circuit::default();
        let attempts: Vec<_> = (0..50)
            .map(|_| circuit.admit(now).expect("closed"))
            .collect();
        let opened = attempts
            .into_iter()
            .map(|attempt| circuit.in_vain(attempt, now));
        assert_eq!(opened.filter(|opened| *opened).count(), 1);
        assert_eq!(circuit.admit(now).expect_err("open"), SECOND);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let now = Instant::now();
        let circuit = Circuit::default();
        for _ in 0..10 {
            for _ in 1..TOLERATED {
                let attempt = circuit.admit(now).expect("closed");
                assert!(!circuit.in_vain(attempt, now));
            }
            let attempt = circuit.admit(now).expect("closed");
            assert!(!circuit.answered(attempt));
        }
    }

    proptest! {
        /// Held against what the words say: unwell after three failures in a row,
        /// well after any success, and tried by one at a time after pauses that double.
        #[test]
        fn an_address_is_left_out_and_tried_again_as_it_should(steps in proptest::collection::vec((0_u64..40_000, any::<[bool; 3]>()), 0..200)) {
            let (circuit, start) = (Circuit::of_address(), Instant::now());
            let (mut now, mut in_a_row) = (start, 0);
            // Of an unwell one: when it is tried next, and the pause after that.
            let mut unwell: Option<(Instant, Duration)> = None;
            for (wait, [succeeds, insists, gives_up]) in steps {
                now += Duration::from_millis(wait);
                let admitted = circuit.admit(now);
                let due = unwell.is_none_or(|(next, _)| now >= next);
                assert_eq!(admitted.is_ok(), due);
                if let (Some((next, pause)), true) = (&mut unwell, due) {
                    *next = now + *pause;
                }
                let attempt = match admitted {
                    Ok(attempt) => attempt,
                    Err(_) if insists => Attempt::at_any_rate(),
                    Err(_) => continue,
                };
                if gives_up {
                    continue;
                }
                if succeeds {
                    assert_eq!(circuit.answered(attempt), unwell.is_some());
                    (in_a_row, unwell) = (0, None);
                    continue;
                }
                in_a_row += 1;
                let turned = circuit.in_vain(attempt, now);
                assert_eq!(turned, unwell.is_none() && in_a_row == TOLERATED);
                match &mut unwell {
                    None if turned => unwell = Some((now + SECOND, SECOND)),
                    Some((next, pause)) if due => {
                        *pause = (*pause * 2).min(LONGEST_ABSENCE);
                        *next = now + *pause;
                    }
                    _ => {}
                }
                assert_eq!(circuit.is_well(now), unwell.is_none());
            }
        }
    }
}
