//! An upstream with several addresses: requests go to them in turn, past those
//! that have failed lately, and on to the next where that is safe.
//!
//! What leads to each address is a route of its own, with its own pool. A route
//! with one address has none of this: its requests see one branch.

use super::attach::Outbound;
use super::circuit::{Attempt, Circuit};
use super::forward::{Way, sent};
use super::observe::Seen;
use super::refusal::{Fault, Refusal};
use super::replay::Upload;
use super::route::WorkerRoute;
use super::upstream::Answered;
use super::worker::Worker;
use crate::config::checked::{Route, Upstream};
use crate::token::Credential;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The addresses of a route's upstream, as one worker knows them.
pub struct Several {
    members: Box<[Member]>,
    /// Whose turn it is.
    next: Cell<usize>,
}

struct Member {
    route: Rc<WorkerRoute>,
    health: Rc<Circuit>,
}

/// Addresses by their places: a configuration has up to 16.
type Places = u16;

impl Several {
    /// Of a route; an address keeps its health through a reload. `lead` makes
    /// what leads to one.
    pub fn new(
        route: &Arc<Route>,
        before: Option<&Self>,
        mut lead: impl FnMut(Arc<Route>) -> Rc<WorkerRoute>,
    ) -> Self {
        let health = |upstream: &Upstream| {
            let mut known = before.into_iter().flat_map(|before| &before.members);
            let known = known.find(|member| member.route.route.upstream == *upstream);
            known.map(|member| member.health.clone())
        };
        let members = route.upstreams().map(|upstream| Member {
            route: lead(Arc::new(of_address(route, upstream))),
            health: health(upstream).unwrap_or_else(|| Rc::new(Circuit::of_address())),
        });
        Self {
            members: members.collect(),
            next: Cell::new(0),
        }
    }

    /// What leads to each.
    pub fn routes(&self) -> impl Iterator<Item = &Rc<WorkerRoute>> {
        self.members.iter().map(|member| &member.route)
    }

    /// Which of them are well, by route and address.
    pub fn health(&self, now: Instant) -> impl Iterator<Item = ((Arc<str>, Arc<str>), bool)> {
        self.members.iter().map(move |member| {
            let WorkerRoute { name, route, .. } = &*member.route;
            let address = Arc::from(route.upstream.authority.as_str());
            ((name.clone(), address), member.health.is_well(now))
        })
    }

    /// The next in turn that was not tried and is well, or due for a try; else
    /// the next that was not tried. `None` when all were.
    fn pick(&self, tried: Places, now: Instant) -> Option<(usize, Attempt)> {
        let (count, first) = (self.members.len(), self.next.get());
        let in_turn = (first..first + count).map(|at| at % count);
        let mut left = in_turn.filter(|at| tried & (1 << at) == 0);
        let well = left.clone().find_map(|at| {
            let attempt = self.members[at].health.admit(now).ok()?;
            Some((at, attempt))
        });
        let picked = well.or_else(|| Some((left.next()?, Attempt::at_any_rate())))?;
        self.next.set((picked.0 + 1) % count);
        Some(picked)
    }
}

/// The route as it is to one of its addresses.
fn of_address(route: &Route, upstream: &Upstream) -> Route {
    let mut one = route.clone();
    one.upstream = upstream.clone();
    let others = route.upstreams().filter(|other| *other != upstream);
    one.reach.others = others.cloned().collect();
    one
}

/// Where a request goes.
pub struct Choice<'a> {
    /// What leads there; the route itself, where it has one address.
    pub route: &'a Rc<WorkerRoute>,
    /// Elsewhere: most routes have one address.
    among: Option<Box<Tries<'a>>>,
}

/// The tries of one request.
struct Tries<'a> {
    several: &'a Several,
    at: usize,
    tried: Places,
    attempt: Option<Attempt>,
    /// A connection has ended without an answer: once is enough.
    lost: bool,
}

/// What a sending needs.
type Sending<'s, 'a> = (&'s Worker, Way<'a>, &'s mut Outbound<'a>, &'s Credential);

impl<'a> Choice<'a> {
    /// For a new request.
    #[must_use]
    pub fn of(lead: &'a Rc<WorkerRoute>, now: Instant) -> Self {
        let (mut route, mut among) = (lead, None);
        if let Some(several) = &lead.several
            && let Some((at, attempt)) = several.pick(0, now)
        {
            route = &several.members[at].route;
            among = Some(Box::new(Tries {
                several,
                at,
                tried: 1 << at,
                attempt: Some(attempt),
                lost: false,
            }));
        }
        Self { route, among }
    }

    #[must_use]
    pub fn is_one_of_several(&self) -> bool {
        self.among.is_some()
    }

    /// What has become of a sending, after others to other addresses where these
    /// are safe: nothing was sent, or the request may be repeated (RFC 9110, 9.2.2).
    pub async fn settled(
        &mut self,
        (worker, mut way, outbound, credential): Sending<'_, 'a>,
        seen: &mut Seen,
        mut answered: Result<Answered, Refusal>,
    ) -> Result<Answered, Refusal> {
        let Some(tries) = &mut self.among else {
            return answered;
        };
        loop {
            let now = Instant::now();
            tries.note(&answered, now);
            let Err(refusal) = &answered else {
                return answered;
            };
            if !tries.may_go_on(refusal.fault, outbound.method.is_idempotent(), way.upload) {
                return answered;
            }
            if outbound.patience.is_over(now) {
                return answered;
            }
            let Some((next, is_last)) = tries.next(now) else {
                return answered;
            };
            tracing::debug!(
                "goes on to {}: {}",
                next.route.upstream.authority,
                refusal.detail()
            );
            self.route = next;
            way.route = next;
            outbound.lead_to(next, is_last);
            answered = sent(worker, way, outbound, credential, seen).await;
        }
    }

    /// The address that answered was sent a replay.
    pub fn replayed(&mut self, answered: &Result<Answered, Refusal>) {
        if let Some(tries) = &mut self.among {
            tries.attempt = Some(Attempt::at_any_rate());
            tries.note(answered, Instant::now());
        }
    }
}

impl<'a> Tries<'a> {
    /// Notes how the address has done.
    fn note(&mut self, answered: &Result<Answered, Refusal>, now: Instant) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        let is_failure = match answered {
            Ok(answered) => matches!(answered.response.status().as_u16(), 502..=504),
            Err(refusal) => match refusal.fault {
                Fault::NotTheirs | Fault::Spared => return,
                Fault::Unsent | Fault::Lost => true,
            },
        };
        let Member { route, health } = &self.several.members[self.at];
        let (name, address) = (&route.name, &route.route.upstream.authority);
        if !is_failure {
            if health.answered(attempt) {
                tracing::info!("upstream {address} of route {name} is well again");
            }
        } else if health.in_vain(attempt, now) {
            tracing::warn!(
                "upstream {address} of route {name} has failed three times in a row: for now \
                 requests go to the others, and now and then one tries"
            );
        }
    }

    fn may_go_on(&mut self, fault: Fault, idempotent: bool, upload: Option<&Upload>) -> bool {
        let may_be_sent = match fault {
            Fault::NotTheirs => false,
            Fault::Spared | Fault::Unsent => true,
            Fault::Lost => idempotent && !std::mem::replace(&mut self.lost, true),
        };
        may_be_sent && upload.is_none_or(Upload::at_hand)
    }

    /// Another address, and whether it is the last.
    fn next(&mut self, now: Instant) -> Option<(&'a Rc<WorkerRoute>, bool)> {
        let (at, attempt) = self.several.pick(self.tried, now)?;
        self.at = at;
        self.tried |= 1 << at;
        self.attempt = Some(attempt);
        let is_last = self.tried.count_ones() as usize == self.several.members.len();
        Some((&self.several.members[at].route, is_last))
    }
}

#[cfg(test)]
mod tests {
    use super::{Circuit, Member, Several};
    use crate::config::checked::{PathMatch, RouteMatch};
    use crate::proxy::sample;
    use proptest::prelude::{any, proptest};
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    fn several(count: usize) -> Several {
        let matcher = || RouteMatch {
            host: None,
            path: PathMatch::Prefix(String::new()),
            methods: Vec::new(),
            headers: Vec::new(),
        };
        let member = |_| Member {
            route: sample::route("sample", matcher()),
            health: Rc::new(Circuit::of_address()),
        };
        Several {
            members: (0..count).map(member).collect(),
            next: Cell::new(0),
        }
    }

    fn fail(several: &Several, at: usize, now: Instant) {
        for _ in 0..3 {
            let attempt = several.members[at].health.admit(now).unwrap();
            several.members[at].health.in_vain(attempt, now);
        }
    }

    #[test]
    fn turns_pass_by_who_is_left_out_until_a_try_is_due() {
        let (several, now) = (several(3), Instant::now());
        let turns = |now| {
            let picked = (0..4).map(|_| several.pick(0, now).unwrap().0);
            picked.collect::<Vec<_>>()
        };
        assert_eq!(turns(now), [0, 1, 2, 0]);
        fail(&several, 2, now);
        assert_eq!(turns(now), [1, 0, 1, 0]);
        let later = now + Duration::from_secs(1);
        assert_eq!(turns(later), [1, 2, 0, 1], "one tries");
        assert_eq!(turns(later), [0, 1, 0, 1]);
        fail(&several, 0, later);
        fail(&several, 1, later);
        assert_eq!(turns(later), [2, 0, 1, 2], "there is none that is well");
    }

    proptest! {
        #[test]
        fn a_request_tries_each_once(count in 2_usize..=16, unwell in any::<u16>(), turn in 0_usize..16) {
            let (several, now) = (several(count), Instant::now());
            several.next.set(turn % count);
            for at in (0..count).filter(|at| unwell & (1 << at) != 0) {
                fail(&several, at, now);
            }
            let mut tried = 0;
            let mut order = Vec::new();
            while let Some((at, _)) = several.pick(tried, now) {
                assert_eq!(tried & (1 << at), 0);
                tried |= 1 << at;
                order.push(unwell & (1 << at) != 0);
            }
            assert_eq!(order.len(), count);
            assert!(order.is_sorted(), "those that are well come first");
        }
    }
}
