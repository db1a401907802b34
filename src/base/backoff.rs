//! Pauses that double: short after the first failure, bounded for ever after.

use std::time::Duration;

/// Counts failures in a row and says how long to pause after each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses from `first`, doubling, to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// The pause after one more failure, spread over its upper half by `random`
    /// (0 to 1) so that a fleet does not come back in step.
    pub fn next(&mut self, random: f64) -> Duration {
        let full = self.step();
        (full / 2 + full.mul_f64(random.clamp(0.0, 1.0) / 2.0)).max(self.first)
    }

    /// The pause after one more failure, exactly.
    pub fn step(&mut self) -> Duration {
        let doubled = 1_u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.first.saturating_mul(doubled).min(self.longest)
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last reset.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn doubles_up_to_the_longest() {
        let mut backoff = Backoff::new(seconds(1), seconds(60));
        let steps: Vec<u64> = (0..9).map(|_| backoff.step().as_secs()).collect();
        assert_eq!(steps, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        for _ in 0..100 {
            assert_eq!(backoff.step(), seconds(60));
        }
        backoff.reset();
        assert_eq!(backoff.step(), seconds(1));
    }

    #[test]
    fn jitter_stays_between_the_first_and_the_full_pause() {
        for random in [0.0, 0.3, 1.0, -5.0, 7.0] {
            let mut backoff = Backoff::new(seconds(1), seconds(60));
            for full in [1, 2, 4, 8, 16, 32, 60, 60] {
                let pause = backoff.next(random);
                assert!(pause >= seconds(1) && pause <= seconds(full), "{pause:?}");
                assert!(pause >= seconds(full) / 2);
            }
        }
    }
}
