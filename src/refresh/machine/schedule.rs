//! How long a token serves and when it is refreshed.

use crate::base::clock::{Moment, Now, Wall};
use std::time::Duration;

/// A life shorter than this works, and is warned about.
pub const SHORT_LIFE: Duration = Duration::from_mins(5);
/// Two refreshes of one account by the schedule are never closer together.
const CLOSEST: Duration = Duration::from_secs(1);
/// The most that a life is shortened by, for clocks and networks.
const LONGEST_MARGIN: Duration = Duration::from_secs(10);

/// When a token must no longer be sent, and when it is to be refreshed; `None`
/// where its life is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub expiry: Option<Moment>,
    pub due: Option<Moment>,
}

/// The times of a token whose request was sent at `sent`. `random` is 0 to 1.
pub fn of_answer(sent: Now, life: Option<Duration>, before_expiry: Duration, random: f64) -> Times {
    let Some(life) = life else {
        return Times::default();
    };
    let usable = life - LONGEST_MARGIN.min(life / 10);
    Times {
        expiry: Some(sent.after(usable)),
        due: Some(sent.after(due_in(life, usable, before_expiry, random))),
    }
}

/// The times of a stored token; `now` may be in another process than the one
/// that got it. Where the wall clock was set back meanwhile, the token serves
/// no longer than its whole life from now.
pub fn of_record(
    now: Now,
    issued_at: Wall,
    expires_at: Option<Wall>,
    before_expiry: Duration,
    random: f64,
) -> Times {
    let Some(expires_at) = expires_at else {
        return Times::default();
    };
    let usable = expires_at.since(issued_at);
    let due_at = issued_at.plus(due_in(usable, usable, before_expiry, random));
    Times {
        expiry: Some(within(now, expires_at, usable)),
        due: Some(within(now, due_at, usable)),
    }
}

fn within(now: Now, at: Wall, longest: Duration) -> Moment {
    let left = at.since(now.wall).min(longest);
    Moment {
        mono: now.mono.plus(left),
        wall: at,
    }
}

/// From the sending of the request until the refresh: when `before_expiry` is
/// left, never before half the life, and by jitter up to a tenth earlier.
fn due_in(life: Duration, usable: Duration, before_expiry: Duration, random: f64) -> Duration {
    let due = usable.saturating_sub(before_expiry).max(life / 2);
    due.mul_f64(1.0 - 0.1 * random.clamp(0.0, 1.0)).max(CLOSEST)
}

#[cfg(test)]
mod tests {
    use super::{of_answer, of_record};
    use crate::base::clock::{Mono, Now, Wall};
    use std::time::Duration;

    const BEFORE: Duration = Duration::from_mins(30);

    fn at(mono: u64, wall: u64) -> Now {
        Now {
            mono: Mono::new(Duration::from_secs(mono)),
            wall: Wall::new(Duration::from_secs(wall)),
        }
    }

    /// Seconds from sending to refresh and to expiry.
    fn seconds(life: u64, random: f64) -> (u64, u64) {
        let sent = at(0, 1_000_000);
        let times = of_answer(sent, Some(Duration::from_secs(life)), BEFORE, random);
        let until = |m| sent.until(m).as_secs();
        (until(times.due.unwrap()), until(times.expiry.unwrap()))
    }

    #[test]
    fn half_an_hour_before_expiry_but_not_before_half_the_life() {
        assert_eq!(seconds(7_200, 0.0), (7_200 - 10 - 1_800, 7_190));
        assert_eq!(seconds(3_600, 0.0), (1_800, 3_590));
        assert_eq!(seconds(1_200, 0.0), (600, 1_190));
        assert_eq!(seconds(240, 0.0), (120, 230));
        assert_eq!(seconds(8, 0.0), (4, 7));
        assert_eq!(seconds(1, 0.0), (1, 0));
    }

    #[test]
    fn jitter_makes_it_earlier_by_up_to_a_tenth() {
        assert_eq!(seconds(1_200, 1.0).0, 540);
        assert_eq!(seconds(1_200, 0.5).0, 570);
    }

    #[test]
    fn an_unknown_life_has_no_times() {
        let times = of_answer(at(0, 0), None, BEFORE, 0.5);
        assert!(times.expiry.is_none() && times.due.is_none());
    }

    #[test]
    fn a_clock_set_back_prolongs_no_stored_token() {
        let issued = Wall::new(Duration::from_secs(1_000_000));
        let expires = Wall::new(Duration::from_secs(1_003_600));
        let now = at(5, 900_000);
        let times = of_record(now, issued, Some(expires), BEFORE, 0.0);
        assert_eq!(now.until(times.expiry.unwrap()).as_secs(), 3_600);
        let later = at(5, 1_003_000);
        let times = of_record(later, issued, Some(expires), BEFORE, 0.0);
        assert_eq!(later.until(times.expiry.unwrap()).as_secs(), 600);
        assert!(later.reached(times.due.unwrap()));
    }
}
