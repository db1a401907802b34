//! Turns at the token endpoints: so many requests at once, the most pressing first.

use std::collections::{BTreeSet, HashMap};

/// Names an endpoint.
pub type EndpointId = usize;

/// A place among those who wait: the smallest rank first, then who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place<R> {
    rank: R,
    came: u64,
    account: usize,
}

/// Who waits for a turn at which endpoint, and how many have theirs.
pub struct Slots<R> {
    most: usize,
    ids: HashMap<String, EndpointId>,
    endpoints: Vec<Endpoint<R>>,
    came: u64,
}

struct Endpoint<R> {
    busy: usize,
    queue: BTreeSet<Place<R>>,
}

impl<R: Ord + Copy> Slots<R> {
    /// `most` requests at once per endpoint; at least one.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            ids: HashMap::new(),
            endpoints: Vec::new(),
            came: 0,
        }
    }

    /// An endpoint by its address. They are those of the accounts: no more can come.
    pub fn endpoint(&mut self, address: &str) -> EndpointId {
        if let Some(id) = self.ids.get(address) {
            return *id;
        }
        let id = self.endpoints.len();
        self.ids.insert(address.to_owned(), id);
        self.endpoints.push(Endpoint {
            busy: 0,
            queue: BTreeSet::new(),
        });
        id
    }

    /// An account has this rank now, or (`None`) waits for no turn; `old` is
    /// its place so far. Gives its place from now on.
    pub fn place(
        &mut self,
        endpoint: EndpointId,
        account: usize,
        old: Option<Place<R>>,
        rank: Option<R>,
    ) -> Option<Place<R>> {
        if old.map(|old| old.rank) == rank {
            return old;
        }
        let queue = &mut self.endpoints[endpoint].queue;
        if let Some(old) = &old {
            queue.remove(old);
        }
        self.came += u64::from(old.is_none());
        let came = old.map_or(self.came, |old| old.came);
        let place = rank.map(|rank| Place {
            rank,
            came,
            account,
        });
        queue.extend(place);
        place
    }

    /// An account's turn has ended.
    pub fn release(&mut self, endpoint: EndpointId) {
        let endpoint = &mut self.endpoints[endpoint];
        endpoint.busy = endpoint.busy.saturating_sub(1);
    }

    /// The account whose turn it is, if there is room and somebody waits; it
    /// has no place any more.
    pub fn next(&mut self, endpoint: EndpointId) -> Option<usize> {
        let endpoint = &mut self.endpoints[endpoint];
        if endpoint.busy >= self.most {
            return None;
        }
        let first = endpoint.queue.pop_first()?;
        endpoint.busy += 1;
        Some(first.account)
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn so_many_at_once_and_the_most_pressing_first() {
        let mut slots = Slots::new(2);
        let (a, b) = (slots.endpoint("a"), slots.endpoint("b"));
        for (account, rank) in [5, 1, 3, 2, 4].into_iter().enumerate() {
            slots.place(a, account, None, Some(rank));
        }
        slots.place(b, 0, None, Some(5));
        assert_eq!(slots.next(a), Some(1));
        assert_eq!(slots.next(a), Some(3));
        assert_eq!(slots.next(a), None);
        assert_eq!(slots.next(b), Some(0), "endpoints don't share");
        slots.release(a);
        assert_eq!(slots.next(a), Some(2));
    }

    #[test]
    fn a_rank_may_change_and_among_equals_who_came_first_goes_first() {
        let mut slots = Slots::new(9);
        let at = slots.endpoint("a");
        let places: Vec<_> = [2, 0, 1]
            .map(|account| slots.place(at, account, None, Some(7)))
            .into();
        slots.place(at, 1, places[2], Some(6));
        assert_eq!(slots.next(at), Some(1));
        assert_eq!(slots.next(at), Some(2));
        assert_eq!(slots.next(at), Some(0));
    }

    #[test]
    fn who_wants_none_any_more_is_passed_over() {
        let mut slots = Slots::new(1);
        let at = slots.endpoint("a");
        let place = slots.place(at, 0, None, Some(1));
        slots.place(at, 1, None, Some(2));
        assert_eq!(slots.place(at, 0, place, None), None);
        assert_eq!(slots.next(at), Some(1));
        assert_eq!(slots.endpoint("a"), at, "known already");
    }
}
