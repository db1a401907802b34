//! 401 and 403: single flight, generations, and the budget.

use super::world::{HOUR, World, secs};
use crate::oauth::FailureKind;
use crate::refresh::machine::Answer;
use crate::telemetry::refreshes::{Outcome, Trigger};
use crate::token::{PassOn, RejectedStatus, Verdict};
use RejectedStatus::{Forbidden, Unauthorized};
use std::time::Duration;

const REPLAY: Answer = Answer::Verdict(Verdict::Replay);

fn pass_on(why: PassOn) -> Answer {
    Answer::Verdict(Verdict::PassOn(why))
}

#[test]
fn a_thousand_rejections_ask_for_one_refresh() {
    let mut world = World::with_token(3_600);
    let waiters: Vec<_> = (0..1_000)
        .map(|_| world.rejected(1, Unauthorized))
        .collect();
    assert!(world.answers.is_empty());
    world.answer("b", Some(3_600));
    assert!(waiters.iter().all(|w| world.answers[w] == REPLAY));
    assert_eq!(world.exchanges, 2);
    assert_eq!(
        world.last_count(),
        Some((Trigger::Rejected, Outcome::Success))
    );
}

#[test]
fn a_token_is_void_where_an_upstream_had_rejected_it() {
    let mut world = World::with_token(3_600);
    world.pass_until_request(HOUR);
    world.answer("b", Some(3_600));
    assert_eq!(world.machine.void_before(), 0, "refreshed in time");
    world.rejected(2, Unauthorized);
    world.answer("b", Some(3_600));
    assert_eq!(world.machine.void_before(), 0, "the same token");
    world.rejected(2, Forbidden);
    world.answer("c", Some(3_600));
    assert_eq!(world.machine.void_before(), 3);
}

#[test]
fn an_older_generation_is_replayed_at_once() {
    let mut world = World::with_token(3_600);
    world.rejected(1, Unauthorized);
    world.answer("b", Some(3_600));
    let late = world.rejected(1, Unauthorized);
    assert_eq!(world.answers[&late], REPLAY);
    assert_eq!(world.exchanges, 2);
}

#[test]
fn a_rejection_joins_a_scheduled_refresh() {
    let mut world = World::with_token(3_600);
    world.pass_until_request(HOUR);
    let waiter = world.rejected(1, Unauthorized);
    world.answer("b", Some(3_600));
    assert_eq!(world.answers[&waiter], REPLAY);
    assert_eq!(world.exchanges, 2);
}

#[test]
fn the_same_token_is_no_cure_and_costs_the_budget() {
    let mut world = World::with_token(3_600);
    let waiter = world.rejected(1, Unauthorized);
    world.answer("first", Some(3_600));
    assert_eq!(world.answers[&waiter], pass_on(PassOn::SameToken));
    let waiter = world.rejected(1, Unauthorized);
    assert_eq!(world.answers[&waiter], pass_on(PassOn::Budget));
    world.pass(secs(30));
    world.rejected(1, Unauthorized);
    assert!(world.flight.is_some());
}

#[test]
fn a_failed_refresh_passes_the_rejection_on_and_is_not_repeated_at_once() {
    let mut world = World::with_token(3_600);
    let waiter = world.rejected(1, Unauthorized);
    world.fail(FailureKind::Transient);
    assert_eq!(world.answers[&waiter], pass_on(PassOn::RefreshFailed));
    assert!(world.is_valid(), "the old token serves on");
    let waiter = world.rejected(1, Unauthorized);
    assert_eq!(world.answers[&waiter], pass_on(PassOn::RefreshFailed));
    assert!(world.flight.is_none());
}

#[test]
fn nobody_waits_for_a_verdict_for_ever() {
    let mut world = World::with_token(3_600);
    let waiter = world.rejected(1, Unauthorized);
    world.pass(secs(64));
    assert!(!world.answers.contains_key(&waiter));
    world.pass(secs(2));
    assert_eq!(world.answers[&waiter], pass_on(PassOn::RefreshFailed));
}

#[test]
fn each_status_has_its_own_budget() {
    let mut world = World::with_token(3_600);
    world.rejected(1, Forbidden);
    world.answer("b", Some(3_600));
    world.replayed(2, Forbidden, false);
    let waiter = world.rejected(2, Forbidden);
    assert_eq!(world.answers[&waiter], pass_on(PassOn::Budget));
    let waiter = world.rejected(2, Unauthorized);
    world.answer("c", Some(3_600));
    assert_eq!(world.answers[&waiter], REPLAY);
}

#[test]
fn a_cured_replay_opens_the_budget_again() {
    let mut world = World::with_token(3_600);
    for generation in 1..50 {
        let waiter = world.rejected(generation, Unauthorized);
        world.answer(&format!("t{generation}"), Some(3_600));
        assert_eq!(world.answers[&waiter], REPLAY);
        world.replayed(generation + 1, Unauthorized, true);
    }
}

/// An upstream and its users: half of the requests may not have what they ask
/// for; each request ends before the next begins.
struct Traffic {
    world: World,
    refreshes: usize,
    /// Tokens before this generation are revoked, and rejected with this.
    revoked: Option<(u64, RejectedStatus)>,
    cured_at: Option<u64>,
}

impl Traffic {
    fn new() -> Self {
        Self {
            world: World::with_token(86_400),
            refreshes: 0,
            revoked: None,
            cured_at: None,
        }
    }

    fn rejects(&self, generation: u64, may: bool) -> Option<RejectedStatus> {
        match self.revoked {
            Some((before, status)) if generation < before => Some(status),
            _ if may => None,
            _ => Some(Forbidden),
        }
    }

    /// One request, with its replay where there is one.
    fn request(&mut self, may: bool, milli: u64) {
        let generation = self.world.generation();
        let Some(status) = self.rejects(generation, may) else {
            return self.served(milli);
        };
        let waiter = self.world.rejected(generation, status);
        if self.world.flight.is_some() {
            self.refreshes += 1;
            self.world
                .answer(&format!("t{}", self.refreshes), Some(86_400));
        }
        if self.world.answers[&waiter] == REPLAY {
            let generation = self.world.generation();
            let cured = self.rejects(generation, may).is_none();
            if cured {
                self.served(milli);
            }
            self.world.replayed(generation, status, cured);
        }
    }

    fn served(&mut self, milli: u64) {
        if self.revoked.is_some() {
            self.cured_at.get_or_insert(milli);
        }
    }

    /// Ten minutes at a thousand a second.
    fn run(&mut self, mut at: impl FnMut(&mut Self, u64)) {
        for milli in 0..600_000 {
            at(self, milli);
            self.request(milli % 2 == 0, milli);
            if milli % 1_000 == 0 {
                // A year of this must not remember every answer.
                self.world.answers.clear();
            }
            self.world.pass(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_user_without_a_right_costs_few_refreshes_in_mixed_traffic() {
    let mut traffic = Traffic::new();
    traffic.run(|_, _| {});
    assert!(traffic.refreshes <= 8, "{}", traffic.refreshes);
    assert!(traffic.refreshes >= 5, "{}", traffic.refreshes);
}

#[test]
fn a_revocation_amid_mixed_traffic_is_cured() {
    for status in [Unauthorized, Forbidden] {
        let mut traffic = Traffic::new();
        traffic.run(|traffic, milli| {
            if milli == 300_000 {
                let after = traffic.world.generation() + 1;
                traffic.revoked = Some((after, status));
            }
        });
        let took = traffic.cured_at.expect("cured") - 300_000;
        // Refreshes of the 403s came at 0, 30, 90 and 210 s: the next is at 450.
        let step = if status == Unauthorized { 100 } else { 240_000 };
        assert!(took <= step, "{status:?}: {took} ms");
        assert!(traffic.refreshes <= 8, "{status:?}: {}", traffic.refreshes);
    }
}
