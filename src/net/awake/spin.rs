//! When a worker stays awake for an answer, and for how long: adaptive spinning,
//! without a clock of its own.

use std::time::{Duration, Instant};

/// How long a worker stays awake for nothing: some sleeps' cost.
pub const LIMIT: Duration = Duration::from_micros(50);

/// How soon answers must come on the average, in ns. As a worker sees them that sleeps:
/// that it sends, and is woken, takes up to 30 µs of it. Over a network it takes longer.
const SOON: u32 = 80_000;
/// No answer counts for more than this, in ns: one that is late is forgotten after few.
const MOST: u32 = 200_000;
/// Requests that are not tried after a failure, at most.
const MOST_SKIPPED: u16 = 1024;
/// Parts of a request, in which they are counted.
const PART: u16 = 16;

/// One thread's decisions.
#[derive(Debug)]
pub struct Spin {
    /// Of the times that answers took, each new one by an eighth, in ns.
    average: u32,
    /// Requests that are still not tried.
    skip: u16,
    /// How many are not after the next failure: one for which an answer did not come.
    /// In parts.
    penalty: u16,
    limit: Duration,
    /// Of the current try; 0 is none's.
    number: u32,
    /// Answers that the current try waits for; 0: there is none.
    awaited: u32,
    /// One has come since the end was set.
    has_come: bool,
    /// Set when the thread has nothing else to do.
    until: Option<Instant>,
}

/// Of a request that nobody stays awake for.
pub const UNTRIED: u32 = 0;

impl Spin {
    /// Nothing is known yet: so nothing is tried before an answer came soon. A failed
    /// try ends after `limit`.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self {
            average: SOON,
            skip: 0,
            penalty: PART,
            limit,
            number: UNTRIED,
            awaited: 0,
            has_come: false,
            until: None,
        }
    }

    /// An answer is awaited from now on: gives the number of the try that it belongs
    /// to, or [`UNTRIED`].
    pub fn sent(&mut self) -> u32 {
        if self.average >= SOON {
            return UNTRIED;
        }
        if self.awaited == 0 {
            if self.skip > 0 {
                self.skip -= 1;
                return UNTRIED;
            }
            self.number = self.number.wrapping_add(1).max(UNTRIED + 1);
            self.has_come = false;
            self.until = None;
        } else if std::mem::take(&mut self.has_come) {
            // Only an answer pays for more time: else requests that nobody answers
            // would keep it awake for ever.
            self.until = None;
        }
        self.awaited += 1;
        self.number
    }

    /// The answer to a request of this try `has_come`, or nobody awaits it any more.
    pub fn ended(&mut self, number: u32, has_come: bool) {
        if number != self.number || self.awaited == 0 {
            return;
        }
        self.awaited -= 1;
        if has_come {
            self.has_come = true;
            // So where three in ten don't come, it ends up with the highest.
            self.penalty = (self.penalty - self.penalty / 4).max(PART);
        }
    }

    /// An answer took so long, tried or not.
    pub fn took(&mut self, time: Duration) {
        let nanos = match time.as_secs() {
            0 => time.subsec_nanos().min(MOST),
            _ => MOST,
        };
        self.average = self.average - self.average / 8 + nanos / 8;
    }

    /// Whether an answer is awaited that is worth staying awake for.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.awaited > 0
    }

    /// The thread has nothing else to do: whether it stays awake.
    pub fn goes_on(&mut self, now: Instant) -> bool {
        if self.awaited == 0 {
            return false;
        }
        let until = *self.until.get_or_insert_with(|| now + self.limit);
        if now < until {
            return true;
        }
        self.awaited = 0;
        self.skip = self.penalty / PART;
        self.penalty = (2 * self.penalty).min(MOST_SKIPPED * PART);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, MOST_SKIPPED, Spin, UNTRIED};
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    const QUICK: Duration = Duration::from_micros(20);
    const LATE: Duration = Duration::from_micros(500);

    fn quick() -> Spin {
        let mut spin = Spin::new(LIMIT);
        spin.took(QUICK);
        spin
    }

    /// Sends one request that gets no answer in time; true when it was tried.
    fn fails(spin: &mut Spin, now: &mut Instant) -> bool {
        let number = spin.sent();
        while spin.goes_on(*now) {
            *now += LIMIT / 4;
        }
        spin.ended(number, true);
        number != UNTRIED
    }

    #[test]
    fn nothing_is_tried_before_answers_came_soon_nor_after_they_are_late() {
        let mut spin = Spin::new(LIMIT);
        assert_eq!(spin.sent(), UNTRIED);
        spin.took(LATE);
        assert_eq!(spin.sent(), UNTRIED);
        for _ in 0..12 {
            spin.took(QUICK);
        }
        let number = spin.sent();
        assert_ne!(number, UNTRIED);
        spin.ended(number, true);
        for _ in 0..5 {
            spin.took(Duration::from_secs(9));
        }
        assert_eq!(spin.sent(), UNTRIED);
    }

    #[test]
    fn it_ends_with_the_answer_and_with_the_request_that_is_given_up() {
        for has_come in [true, false] {
            let (mut spin, now) = (quick(), Instant::now());
            let (first, second) = (spin.sent(), spin.sent());
            assert_eq!(first, second);
            assert!(spin.goes_on(now));
            spin.ended(first, has_come);
            assert!(spin.goes_on(now));
            spin.ended(second, has_come);
            assert!(!spin.is_on() && !spin.goes_on(now));
            assert_ne!(spin.sent(), UNTRIED, "that was no failure");
        }
    }

    #[test]
    fn an_answer_of_a_try_that_is_over_changes_nothing() {
        let (mut spin, mut now) = (quick(), Instant::now());
        let late = spin.sent();
        while spin.goes_on(now) {
            now += LIMIT;
        }
        assert_eq!(spin.sent(), UNTRIED);
        let next = spin.sent();
        assert!(next != UNTRIED && next != late);
        spin.ended(late, true);
        assert!(spin.goes_on(now), "the next is awaited still");
        spin.ended(next, true);
        assert!(!spin.is_on());
    }

    #[test]
    fn after_failures_requests_are_skipped_and_successes_forgive() {
        let (mut spin, mut now) = (quick(), Instant::now());
        let tried = (0..20_000).filter(|_| fails(&mut spin, &mut now)).count();
        // Eleven until 1 + 2 + … + 1024 are skipped, then one in 1025.
        assert_eq!(tried, 11 + (20_000 - 11 - 2047_usize).div_ceil(1025));
        while !spin.is_on() {
            spin.sent();
        }
        for _ in 0..24 {
            spin.ended(spin.number, true);
            assert_ne!(spin.sent(), UNTRIED);
        }
        spin.ended(spin.number, true);
        assert!(fails(&mut spin, &mut now));
        assert!(!fails(&mut spin, &mut now));
        assert!(fails(&mut spin, &mut now));
    }

    #[test]
    fn where_an_answer_of_each_pair_is_late_few_are_tried() {
        let (mut spin, mut now) = (quick(), Instant::now());
        let mut tried = 0;
        for _ in 0..5_000 {
            let (soon, late) = (spin.sent(), spin.sent());
            tried += u32::from(soon != UNTRIED);
            spin.ended(soon, true);
            while spin.goes_on(now) {
                now += LIMIT / 4;
            }
            spin.ended(late, true);
        }
        assert!(tried < 50, "{tried}");
    }

    #[test]
    fn requests_without_answers_do_not_keep_it_awake() {
        let (mut spin, start) = (quick(), Instant::now());
        let mut now = start;
        spin.sent();
        while spin.goes_on(now) {
            spin.sent();
            now += LIMIT / 10;
        }
        assert_eq!(now - start, LIMIT);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Sent,
        Ended { which: usize, has_come: bool },
        Took(u64),
        Idle(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Sent),
            4 => (any::<usize>(), any::<bool>())
                .prop_map(|(which, has_come)| Event::Ended { which, has_come }),
            2 => (0..120_u64).prop_map(Event::Took),
            6 => (1..60_u64).prop_map(Event::Idle),
        ]
    }

    proptest! {
        /// Time awake is paid for by tries and by answers that came to them; with
        /// nothing awaited there is none; of requests that all fail, few are tried.
        #[test]
        fn it_costs_no_more_than_it_may(events in prop::collection::vec(event(), 1..200)) {
            let (mut spin, mut now) = (quick(), Instant::now());
            let mut open = Vec::new();
            let (mut awake, mut paid) = (Duration::ZERO, 0_u32);
            for event in events {
                match event {
                    Event::Sent => {
                        let was_on = spin.is_on();
                        let number = spin.sent();
                        prop_assert!(spin.is_on() == (number != UNTRIED) || was_on);
                        paid += u32::from(!was_on && spin.is_on());
                        open.push(number);
                    }
                    Event::Ended { which, has_come } if !open.is_empty() => {
                        let number = open.swap_remove(which % open.len());
                        paid += u32::from(has_come && number != UNTRIED);
                        spin.ended(number, has_come);
                    }
                    Event::Ended { .. } => {}
                    Event::Took(micros) => spin.took(Duration::from_micros(micros)),
                    Event::Idle(micros) => {
                        // In rounds of a microsecond, as long as it stays awake.
                        for _ in 0..micros {
                            let goes_on = spin.goes_on(now);
                            prop_assert!(!goes_on || open.contains(&spin.number));
                            awake += Duration::from_micros(u64::from(goes_on));
                            now += Duration::from_micros(1);
                        }
                    }
                }
                prop_assert!(!spin.is_on() || open.contains(&spin.number));
                prop_assert!(awake <= LIMIT * paid, "{awake:?} for {paid}");
            }
        }

        #[test]
        fn of_failures_few_are_tried_and_it_recovers(count in 1..5_000_usize, soon in 1..49_u64) {
            let (mut spin, mut now) = (quick(), Instant::now());
            let tried = (0..count).filter(|_| fails(&mut spin, &mut now)).count();
            let most = 1 + count.ilog2() as usize + count / usize::from(MOST_SKIPPED);
            prop_assert!(tried <= most, "{tried} of {count}");
            let again = (0..=MOST_SKIPPED).position(|_| {
                spin.took(Duration::from_micros(soon));
                spin.sent() != UNTRIED
            });
            prop_assert!(again.is_some());
            spin.ended(spin.number, true);
            for _ in 0..10 {
                let number = spin.sent();
                prop_assert_ne!(number, UNTRIED);
                prop_assert!(spin.goes_on(now));
                spin.ended(number, true);
            }
        }
    }
}
