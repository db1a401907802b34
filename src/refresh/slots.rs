//! Turns at the token endpoints: so many requests at once, the most pressing first.

use std::collections::HashMap;

/// Who waits for a turn at which endpoint, and how many have theirs.
pub struct Slots {
    most: usize,
    endpoints: HashMap<String, Endpoint>,
}

#[derive(Default)]
struct Endpoint {
    busy: usize,
    queue: Vec<usize>,
}

impl Slots {
    /// `most` requests at once per endpoint; at least one.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            endpoints: HashMap::new(),
        }
    }

    /// An account wants a turn.
    pub fn wait(&mut self, endpoint: &str, account: usize) {
        self.endpoint(endpoint).queue.push(account);
    }

    /// An account's turn has ended.
    pub fn release(&mut self, endpoint: &str) {
        let endpoint = self.endpoint(endpoint);
        endpoint.busy = endpoint.busy.saturating_sub(1);
    }

    /// The account whose turn it is, if there is room and somebody waits:
    /// the one with the smallest `rank`; those without one wait no more.
    pub fn next<R: Ord>(
        &mut self,
        endpoint: &str,
        rank: impl Fn(usize) -> Option<R>,
    ) -> Option<usize> {
        let most = self.most;
        let endpoint = self.endpoint(endpoint);
        if endpoint.busy >= most {
            return None;
        }
        endpoint.queue.retain(|account| rank(*account).is_some());
        let places = 0..endpoint.queue.len();
        let first = places.min_by_key(|place| rank(endpoint.queue[*place]))?;
        endpoint.busy += 1;
        Some(endpoint.queue.remove(first))
    }

    fn endpoint(&mut self, endpoint: &str) -> &mut Endpoint {
        // The endpoints are those of the configuration: no more can come.
        self.endpoints.entry(endpoint.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn so_many_at_once_and_the_most_pressing_first() {
        let ranks = [5, 1, 3, 2, 4];
        let mut slots = Slots::new(2);
        (0..5).for_each(|account| slots.wait("a", account));
        slots.wait("b", 0);
        let rank = |account: usize| Some(ranks[account]);
        assert_eq!(slots.next("a", rank), Some(1));
        assert_eq!(slots.next("a", rank), Some(3));
        assert_eq!(slots.next("a", rank), None);
        assert_eq!(slots.next("b", rank), Some(0), "endpoints don't share");
        slots.release("a");
        assert_eq!(slots.next("a", rank), Some(2));
    }

    #[test]
    fn who_wants_none_any_more_is_passed_over() {
        let mut slots = Slots::new(1);
        (0..3).for_each(|account| slots.wait("a", account));
        let rank = |account: usize| (account != 0).then_some(account);
        assert_eq!(slots.next("a", rank), Some(1));
    }
}
