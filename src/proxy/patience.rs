//! How long a request waits for connections: `connect_timeout` in all, from when it
//! first needs one. Of several addresses another one is to have some of it.

use super::route::WorkerRoute;
use std::time::{Duration, Instant};

/// A request's time for connections. No clock is read before one is needed.
pub struct Patience {
    whole: Duration,
    until: Option<Instant>,
    /// Of the sending under way.
    share: Option<Share>,
    /// Another address may follow.
    shares: bool,
}

/// What one sending may have of it, however many waits that comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub until: Instant,
    pub length: Duration,
}

impl Share {
    /// True where most of it was gone before.
    #[must_use]
    pub fn is_a_rest(&self, now: Instant) -> bool {
        self.until.saturating_duration_since(now) < self.length / 2
    }
}

impl Patience {
    /// Of a request to this route.
    #[must_use]
    pub fn of(route: &WorkerRoute) -> Self {
        Self {
            whole: route.route.connect_timeout,
            until: None,
            share: None,
            shares: !route.route.reach.others.is_empty(),
        }
    }

    /// The share of the sending under way, which begins when this is first asked.
    pub fn share(&mut self) -> Share {
        self.share_at(Instant::now)
    }

    fn share_at(&mut self, now: impl FnOnce() -> Instant) -> Share {
        if let Some(share) = self.share {
            return share;
        }
        let now = now();
        let until = *self.until.get_or_insert(now + self.whole);
        let left = until.saturating_duration_since(now);
        let length = if self.shares { left / 2 } else { left };
        let until = now + length;
        *self.share.insert(Share { until, length })
    }

    /// Whether nothing is left for another address.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// The next sending goes to another address.
    pub fn go_on(&mut self, is_last: bool) {
        self.share = None;
        self.shares = !is_last;
    }

    /// The next sending is a replay, to the address that has answered.
    pub fn begin_anew(&mut self) {
        self.until = None;
        self.go_on(true);
    }
}

#[cfg(test)]
mod tests {
    use super::Patience;
    use std::time::{Duration, Instant};

    const SECOND: Duration = Duration::from_secs(1);

    fn patience(shares: bool) -> Patience {
        Patience {
            whole: 8 * SECOND,
            until: None,
            share: None,
            shares,
        }
    }

    #[test]
    fn all_waits_of_a_sending_end_at_one_time() {
        let (mut patience, now) = (patience(false), Instant::now());
        let first = patience.share_at(|| now);
        assert_eq!((first.until, first.length), (now + 8 * SECOND, 8 * SECOND));
        let later = patience.share_at(|| panic!("no clock is read"));
        assert_eq!(later, first);
        assert!(!first.is_a_rest(now) && first.is_a_rest(now + 5 * SECOND));
        patience.begin_anew();
        let replay = patience.share_at(|| now + 9 * SECOND);
        assert_eq!(replay.length, 8 * SECOND);
    }

    #[test]
    fn each_address_but_the_last_gets_half_of_what_is_left() {
        let (mut patience, now) = (patience(true), Instant::now());
        assert!(!patience.is_over(now));
        assert_eq!(patience.share_at(|| now).length, 4 * SECOND);
        patience.go_on(false);
        // The first was given up early.
        let second = patience.share_at(|| now + 2 * SECOND);
        assert_eq!(
            (second.until, second.length),
            (now + 5 * SECOND, 3 * SECOND)
        );
        patience.go_on(true);
        let last = patience.share_at(|| now + 5 * SECOND);
        assert_eq!((last.until, last.length), (now + 8 * SECOND, 3 * SECOND));
        assert!(!patience.is_over(now + 7 * SECOND));
        assert!(patience.is_over(now + 8 * SECOND));
    }
}
