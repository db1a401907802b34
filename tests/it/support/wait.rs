//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// More than any condition needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Returns once the condition holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(what, || condition().then_some(()));
}

/// Returns what the condition gives as soon as it gives something.
pub fn eventually_some<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
