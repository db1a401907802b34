//! What a request does when its upstream takes no connections: the first ones
//! wait out `connect_timeout`; after some of them in a row the others are
//! answered at once, while now and then one tries.
//!
//! Only waits that ran out count. A connection that is refused at once piles
//! nothing up, and an upstream that restarts is found the moment it is back.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Waits in a row that ran out before others are spared theirs.
pub const TOLERATED: u32 = 3;
/// Between two tries, at first.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Between two tries, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// One worker's experience with one origin.
#[derive(Default)]
pub struct Circuit(Cell<State>);

#[derive(Clone, Copy)]
enum State {
    Closed { ran_out: u32 },
    Open { next_try: Instant, pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { ran_out: 0 }
    }
}

/// The right to try to connect; says at its end how that went.
#[must_use]
#[derive(Debug)]
pub struct Attempt {
    /// While the others are answered at once.
    alone: bool,
}

impl Circuit {
    /// Lets a request try to connect.
    ///
    /// # Errors
    /// Nobody is to try now: the time until the next try.
    pub fn admit(&self, now: Instant) -> Result<Attempt, Duration> {
        let State::Open { next_try, pause } = self.0.get() else {
            return Ok(Attempt { alone: false });
        };
        if now < next_try {
            return Err(next_try - now);
        }
        // Should this one's client hang up, another tries after the pause.
        let next_try = now + pause;
        self.0.set(State::Open { next_try, pause });
        Ok(Attempt { alone: true })
    }

    /// The attempt failed at once, which says nothing of how long others wait.
    pub fn failed(&self, _: Attempt) {
        if let State::Closed { .. } = self.0.get() {
            self.0.take();
        }
    }

    /// The upstream took the connection. True when it had seemed not to.
    pub fn answered(&self, _: Attempt) -> bool {
        matches!(self.0.take(), State::Open { .. })
    }

    /// The wait for a connection ran out; true when others are spared theirs
    /// from now on.
    pub fn ran_out(&self, attempt: Attempt, now: Instant) -> bool {
        match self.0.get() {
            State::Closed { ran_out } if ran_out + 1 < TOLERATED => {
                let ran_out = ran_out + 1;
                self.0.set(State::Closed { ran_out });
                false
            }
            State::Closed { .. } => {
                self.open(FIRST_PAUSE, now);
                true
            }
            State::Open { pause, .. } => {
                // Those that were under way when it opened say nothing new.
                if attempt.alone {
                    self.open((pause * 2).min(LONGEST_PAUSE), now);
                }
                false
            }
        }
    }

    fn open(&self, pause: Duration, now: Instant) {
        let next_try = now + pause;
        self.0.set(State::Open { next_try, pause });
    }
}

#[cfg(test)]
mod tests {
    use super::{Circuit, TOLERATED};
    use std::time::{Duration, Instant};

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Circuit {
        let circuit = Circuit::default();
        for nth in 1..=TOLERATED {
            let attempt = circuit.admit(now).expect("closed so far");
            assert_eq!(circuit.ran_out(attempt, now), nth == TOLERATED);
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
            assert!(!circuit.ran_out(attempt, now), "it was open already");
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
            .map(|attempt| circuit.ran_out(attempt, now));
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
                assert!(!circuit.ran_out(attempt, now));
            }
            let attempt = circuit.admit(now).expect("closed");
            assert!(!circuit.answered(attempt));
        }
    }
}
