//! Fetching, refreshing ahead, failing and recovering, by client credentials.

use super::world::{HOUR, World, machine, rules, secs};
use crate::config::checked::GrantType;
use crate::oauth::{Failure, FailureKind};
use crate::refresh::machine::{Answer, Event, Machine, Publication};
use crate::refresh::status::AccountState;
use crate::refresh::wing::ManualOutcome;
use crate::store::StoreError;
use crate::telemetry::refreshes::{Outcome, Trigger};
use crate::token::{Unavailable, Waited};
use std::sync::Arc;
use std::time::Duration;

fn world() -> World {
    World::new(rules(GrantType::ClientCredentials))
}

#[test]
fn the_first_token_is_fetched_at_start() {
    let mut world = world();
    world.feed(Event::Start);
    let waiter = world.token();
    assert!(!world.answers.contains_key(&waiter));
    world.answer("a", Some(3_600));
    assert_eq!(world.answers[&waiter], Answer::Token(Waited::Look));
    assert_eq!(world.generation(), 1);
    assert_eq!(world.counts, [(Trigger::Initial, Outcome::Success)]);
    assert!(world.machine.first_attempt_ended());
}

#[test]
fn a_token_is_refreshed_half_an_hour_before_its_end() {
    let mut world = World::with_token(7_200);
    let passed = world.pass_until_request(2 * HOUR).as_secs();
    assert!((4_850..=5_390).contains(&passed), "{passed}");
    world.answer("b", Some(7_200));
    assert_eq!(world.generation(), 2);
    assert_eq!(
        world.last_count(),
        Some((Trigger::Scheduled, Outcome::Success))
    );
}

#[test]
fn short_lives_work_and_are_marked() {
    for life in [8, 240] {
        let mut world = World::with_token(life);
        assert!(world.machine.has_short_life());
        assert!(world.log.iter().any(|l| l.contains("less than 5 minutes")));
        for round in 0..100 {
            world.pass_until_request(secs(life));
            assert!(world.is_valid(), "refreshed in time");
            world.pass(Duration::from_millis(200));
            world.answer(&format!("t{round}"), Some(life));
        }
        assert_eq!(world.generation(), 101);
    }
}

#[test]
fn a_life_counts_from_the_sending() {
    let mut world = world();
    world.feed(Event::Start);
    world.pass(secs(20));
    world.answer("a", Some(60));
    let Publication::Token { expiry, .. } = &world.published else {
        panic!("no token")
    };
    assert_eq!(world.now.until(expiry.unwrap()), secs(60 - 6 - 20));
}

#[test]
fn a_token_that_is_dead_on_arrival_is_not_shown() {
    let mut world = world();
    world.feed(Event::Start);
    let waiter = world.token();
    world.pass(secs(4));
    world.answer("a", Some(3));
    assert!(!world.is_valid());
    assert_eq!(world.answers[&waiter], Answer::Token(Waited::Look));
    let pause = world.pass_until_request(HOUR);
    assert!(pause >= Duration::from_millis(900), "{pause:?}");
}

#[test]
fn without_a_known_life_nothing_is_refreshed_ahead() {
    let mut world = World::with_token(1);
    world.pass_until_request(HOUR);
    world.answer("b", None);
    assert!(world.machine.next_wake(world.now).is_none());
    world.pass(HOUR * 24 * 365);
    assert!(world.is_valid());
    assert!(world.flight.is_none());
}

#[test]
fn the_old_token_serves_until_its_end_while_attempts_fail() {
    let mut world = World::with_token(3_600);
    world.pass_until_request(HOUR);
    let mut pauses = Vec::new();
    while world.is_valid() {
        world.fail(FailureKind::Transient);
        assert_eq!(world.machine.state(world.now), AccountState::Connected);
        pauses.push(world.pass_until_request(secs(61)));
    }
    assert!(pauses.iter().all(|p| *p >= secs(1) && *p <= secs(60)));
    assert!(pauses.len() > 25, "goes on: {}", pauses.len());
    assert!(matches!(
        &world.published,
        Publication::Unavailable(Unavailable::Pausing { cause, .. }) if &**cause == "Transient it is"
    ));
    for _ in 0..1_000 {
        world.fail(FailureKind::Transient);
        world.pass_until_request(secs(61));
    }
    world.answer("b", Some(3_600));
    assert!(world.is_valid());
    assert!(world.machine.last_error().is_none());
}

#[test]
fn a_server_down_for_20_seconds_at_start_is_waited_for() {
    let mut world = world();
    world.feed(Event::Start);
    let down_until = world.now.mono.plus(secs(20));
    while world.now.mono < down_until {
        assert!(!world.machine.first_attempt_ended());
        world.fail(FailureKind::Transient);
        world.pass_until_request(secs(61));
    }
    world.answer("a", Some(3_600));
    assert!(world.is_valid());
    assert!(world.now.mono.since(down_until) < secs(20), "soon after");
}

#[test]
fn a_request_outwaits_a_short_failure() {
    let mut world = world();
    world.feed(Event::Start);
    let waiter = world.token();
    world.fail(FailureKind::Transient);
    world.pass_until_request(secs(2));
    assert!(!world.answers.contains_key(&waiter));
    world.answer("a", Some(60));
    assert_eq!(world.answers[&waiter], Answer::Token(Waited::Look));
}

#[test]
fn a_request_waits_no_longer_than_it_may() {
    let mut world = world();
    world.feed(Event::Start);
    let waiter = world.token();
    world.pass(secs(4));
    assert!(!world.answers.contains_key(&waiter));
    world.pass(secs(1));
    assert_eq!(world.answers[&waiter], Answer::Token(Waited::Look));
    // While the next attempt is far, nobody is made to wait for it.
    for _ in 0..8 {
        world.fail(FailureKind::Transient);
        world.pass_until_request(secs(61));
    }
    world.fail(FailureKind::Transient);
    let waiter = world.token();
    assert_eq!(world.answers[&waiter], Answer::Token(Waited::Look));
}

#[test]
fn waiting_requests_are_counted() {
    let mut world = world();
    world.feed(Event::Start);
    let ids: Vec<_> = (0..1_025).map(|_| world.token()).collect();
    assert_eq!(
        world.answers.get(&ids[1_024]),
        Some(&Answer::Token(Waited::Refused))
    );
    assert_eq!(world.answers.len(), 1);
    world.machine.forget(&|id| id % 2 == 0);
    let late = world.token();
    world.answer("a", Some(60));
    assert_eq!(world.answers[&late], Answer::Token(Waited::Look));
}

#[test]
fn retry_after_is_honoured() {
    let mut world = world();
    world.feed(Event::Start);
    let mut failure = Failure::new(FailureKind::Transient, "busy");
    failure.retry_after = Some(secs(300));
    world.end(Err(failure));
    let pause = world.pass_until_request(HOUR);
    assert!(pause >= secs(300) && pause <= secs(302), "{pause:?}");
}

#[test]
fn a_refused_client_is_tried_every_five_minutes_and_when_its_secret_changes() {
    let mut world = world();
    world.feed(Event::Start);
    let waiter = world.token();
    world.fail(FailureKind::Misconfigured);
    assert_eq!(world.answers[&waiter], Answer::Token(Waited::Look));
    assert!(matches!(
        world.published,
        Publication::Unavailable(Unavailable::Misconfigured { .. })
    ));
    assert_eq!(world.machine.state(world.now), AccountState::Misconfigured);
    assert!(world.machine.first_attempt_ended());
    for _ in 0..20 {
        let pause = world.pass_until_request(HOUR).as_secs();
        assert!((269..=300).contains(&pause), "{pause}");
        world.fail(FailureKind::Misconfigured);
    }
    world.pass(secs(10));
    assert!(world.machine.awaits_secret());
    world.feed(Event::SecretChanged);
    world.answer("a", Some(3_600));
    assert_eq!(world.machine.state(world.now), AccountState::Connected);
}

#[test]
fn a_person_may_try_at_once() {
    let mut world = world();
    world.feed(Event::Start);
    world.fail(FailureKind::Misconfigured);
    let waiter = world.manual();
    world.fail(FailureKind::Misconfigured);
    let failed = ManualOutcome::Failed("Misconfigured it is".to_owned());
    assert_eq!(world.answers[&waiter], Answer::Manual(failed));
    let waiter = world.manual();
    world.answer("a", Some(3_600));
    assert_eq!(
        world.answers[&waiter],
        Answer::Manual(ManualOutcome::Refreshed)
    );
    assert_eq!(
        world.last_count(),
        Some((Trigger::Manual, Outcome::Success))
    );
    let waiter = world.manual();
    world.answer("a", Some(3_600));
    assert_eq!(
        world.answers[&waiter],
        Answer::Manual(ManualOutcome::Refreshed)
    );
    assert_eq!(
        world.last_count(),
        Some((Trigger::Manual, Outcome::SameToken))
    );
}

#[test]
fn a_client_is_never_told_to_reconnect() {
    let mut world = world();
    world.feed(Event::Start);
    for _ in 0..2 {
        world.fail(FailureKind::Unreadable);
        assert_eq!(world.machine.state(world.now), AccountState::Waiting);
        world.pass_until_request(secs(61));
    }
    world.fail(FailureKind::Unreadable);
    assert_eq!(world.machine.state(world.now), AccountState::Misconfigured);
    world.pass_until_request(HOUR);
    world.fail(FailureKind::Dead);
    assert_eq!(world.machine.state(world.now), AccountState::Misconfigured);
}

#[test]
fn a_wall_clock_set_forward_expires_and_set_back_prolongs_nothing() {
    let mut world = World::with_token(3_600);
    world.step_wall(7_200);
    assert!(!world.is_valid());
    world.answer("b", Some(3_600));
    world.step_wall(-86_400);
    assert!(world.is_valid());
    world.pass_until_request(HOUR);
    world.pass(HOUR);
    assert!(!world.is_valid(), "by the monotonic clock");
}

#[test]
fn a_suspended_machine_serves_no_dead_token() {
    let mut world = World::with_token(3_600);
    // Only the wall clock has gone on.
    world.now.wall = world.now.wall.plus(secs(8 * 3_600));
    world.feed(Event::Tick);
    assert!(!world.is_valid());
    assert!(world.flight.is_some(), "and a new one is asked for");
}

#[test]
fn the_same_token_with_a_new_life_keeps_its_generation() {
    let mut world = World::with_token(3_600);
    world.pass_until_request(HOUR);
    world.answer("first", Some(3_600));
    assert_eq!(world.generation(), 1);
    assert_eq!(
        world.last_count(),
        Some((Trigger::Scheduled, Outcome::SameToken))
    );
    let passed = world.pass_until_request(HOUR).as_secs();
    assert!(passed >= 1_600, "{passed}");
}

#[test]
fn a_server_that_hands_out_the_same_dying_token_is_not_stormed() {
    let mut world = World::with_token(3_600);
    let dies = world.now.mono.plus(HOUR);
    while world.now.mono < dies {
        world.pass_until_request(HOUR);
        let left = dies.since(world.now.mono).as_secs();
        world.answer("first", Some(left.max(1)));
    }
    assert!(world.exchanges < 30, "{}", world.exchanges);
}

#[test]
fn a_client_needs_no_store() {
    let mut world = world();
    let down = StoreError::Unavailable("no space left".to_owned());
    world.shelf.borrow_mut().broken = Some(down);
    world.feed(Event::Start);
    world.answer("a", Some(3_600));
    assert!(world.is_valid());
    world.shelf.borrow_mut().broken = None;
    world.pass_until_request(HOUR);
    world.answer("b", Some(3_600));
    assert!(world.machine.is_quiet());
    let stored = world.shelf.borrow().stored.clone().unwrap().2;
    assert_eq!(stored.tokens.unwrap().access_token.expose(), "b");
}

#[test]
fn a_stored_token_is_taken_over_at_restart() {
    let mut world = World::with_token(7_200);
    world.pass(secs(600));
    world.machine = machine(rules(GrantType::ClientCredentials), 1);
    world.feed(Event::Start);
    assert!(world.is_valid());
    assert!(world.machine.first_attempt_ended());
    assert_eq!(world.exchanges, 1);
    let passed = world.pass_until_request(2 * HOUR).as_secs();
    assert!((4_200..=4_800).contains(&passed), "{passed}");
}

#[test]
fn a_token_of_another_client_is_not() {
    let mut world = World::with_token(7_200);
    let rules = rules(GrantType::ClientCredentials);
    world.machine = Machine::new(rules.into(), Arc::new("another"), 1);
    world.feed(Event::Start);
    assert!(world.flight.is_some());
    world.answer("other", Some(60));
    let stored = world.shelf.borrow().stored.clone().unwrap().2;
    assert_eq!(stored.binding, "another");
}

#[test]
fn a_stopping_machine_starts_nothing_and_leaves_nobody_waiting() {
    let mut world = World::with_token(60);
    world.pass_until_request(HOUR);
    let joined = world.manual();
    world.feed(Event::Stop);
    assert!(!world.machine.is_quiet());
    world.answer("b", Some(60));
    assert_eq!(
        world.answers[&joined],
        Answer::Manual(ManualOutcome::Refreshed)
    );
    assert!(world.machine.is_quiet());
    world.pass(HOUR);
    assert!(world.flight.is_none());
    for waiter in [world.token(), world.manual()] {
        assert!(world.answers.contains_key(&waiter));
    }
}
