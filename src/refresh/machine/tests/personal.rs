//! A person's grant: rotation, its intent and its loss, death and reconnecting.

use super::world::{HOUR, World, machine, rules, secs, token_answer};
use crate::config::checked::GrantType;
use crate::oauth::{Failure, FailureKind, Grant};
use crate::refresh::machine::{Answer, Event, Publication, Rules};
use crate::refresh::record::AccountRecord;
use crate::refresh::status::AccountState;
use crate::refresh::wing::ManualOutcome;
use crate::store::StoreError;
use crate::token::{PassOn, RejectedStatus, Unavailable, Verdict, Waited};
use std::time::Duration;

fn personal() -> Rules {
    rules(GrantType::AuthorizationCode)
}

/// Connected, with the refresh token `r1` and an hour to live.
fn connected() -> World {
    let mut world = World::new(personal());
    world.feed(Event::Start);
    connect(&mut world, "a1", Some("r1"));
    world
}

fn connect(world: &mut World, token: &str, refresh: Option<&str>) {
    let answer = token_answer(token, Some(3_600), refresh);
    world.connected(answer);
    assert!(world.is_valid());
}

fn stored(world: &World) -> AccountRecord {
    world.shelf.borrow().stored.clone().unwrap().2
}

fn stored_refresh(world: &World) -> String {
    let token = stored(world).tokens.unwrap().refresh_token.unwrap();
    token.expose().to_owned()
}

fn sent_token(world: &World) -> String {
    match &world.flight.as_ref().expect("nothing in flight").1 {
        Grant::RefreshToken(token) => token.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn ambiguous() -> Failure {
    Failure {
        maybe_spent: true,
        ..Failure::new(FailureKind::Transient, "no answer in time")
    }
}

/// The process dies and comes back.
fn restart(world: &mut World, rules: Rules) {
    world.machine = machine(rules, 3);
    world.flight = None;
    world.published = Publication::Unavailable(Unavailable::Waiting);
    world.feed(Event::Start);
}

#[test]
fn an_account_that_nobody_connected_asks_for_nothing() {
    let mut world = World::new(personal());
    world.feed(Event::Start);
    let not_connected = Publication::Unavailable(Unavailable::NotConnected);
    assert_eq!(world.published, not_connected);
    assert!(world.machine.first_attempt_ended());
    let waiter = world.token();
    assert_eq!(world.answers[&waiter], Answer::Token(Waited::Look));
    let waiter = world.rejected(0, RejectedStatus::Unauthorized);
    let refused = Answer::Verdict(Verdict::PassOn(PassOn::Refused));
    assert_eq!(world.answers[&waiter], refused);
    let waiter = world.manual();
    assert!(matches!(
        world.answers[&waiter],
        Answer::Manual(ManualOutcome::Failed(_))
    ));
    world.pass(HOUR * 100);
    assert_eq!(world.exchanges, 0);
    assert_eq!(world.machine.state(world.now), AccountState::NotConnected);
}

#[test]
fn the_intent_is_durable_before_the_refresh_token_is_sent() {
    let mut world = connected();
    assert!(stored(&world).intent.is_none());
    world.pass_until_request(HOUR);
    assert_eq!(sent_token(&world), "r1");
    let intent = stored(&world).intent.expect("an intent");
    assert_eq!(intent.started_at, world.now.wall);
    world.answer_with("a2", Some(3_600), Some("r2"));
    assert!(stored(&world).intent.is_none());
    assert_eq!(stored_refresh(&world), "r2");
    let lease = world.shelf.borrow().stored.clone().unwrap().1.unwrap();
    assert_eq!(lease.deadline.passed(), Duration::ZERO, "given back");
}

#[test]
fn the_answer_is_durable_before_it_is_shown() {
    let mut world = connected();
    world.pass_until_request(HOUR);
    world.slow_store = Some(std::collections::VecDeque::new());
    world.answer_with("a2", Some(3_600), Some("r2"));
    assert_eq!(stored_refresh(&world), "r2");
    assert_eq!(world.generation(), 1, "not shown yet");
    let waiter = world.rejected(1, RejectedStatus::Unauthorized);
    let written = world.slow_store.take().unwrap().pop_front().unwrap();
    world.feed(written);
    assert_eq!(world.generation(), 2);
    assert_eq!(world.answers[&waiter], Answer::Verdict(Verdict::Replay));
}

#[test]
fn no_new_refresh_token_means_that_the_old_one_stays() {
    let mut world = connected();
    for round in 0..5 {
        world.pass_until_request(HOUR);
        assert_eq!(sent_token(&world), "r1");
        world.answer(&format!("a{round}"), Some(3_600));
    }
    assert_eq!(stored_refresh(&world), "r1");
}

#[test]
fn a_write_that_fails_after_the_rotation_loses_nothing() {
    let mut world = connected();
    world.pass_until_request(HOUR);
    let full = StoreError::Unavailable("no space left on device".to_owned());
    world.shelf.borrow_mut().broken = Some(full);
    world.answer_with("a2", Some(3_600), Some("r2"));
    assert_eq!(world.generation(), 2, "shown from memory");
    assert_eq!(world.write_failures, 1);
    assert!(world.log.iter().any(|l| l.contains("only in memory")));
    let shown = world.machine.last_error().unwrap();
    assert!(shown.what.contains("only in memory"), "{}", shown.what);
    world.pass(secs(600));
    assert!(
        world.write_failures > 8,
        "goes on: {}",
        world.write_failures
    );
    world.feed(Event::Stop);
    assert!(!world.machine.is_quiet(), "a shutdown waits for it");
    world.shelf.borrow_mut().broken = None;
    world.pass(secs(61));
    assert_eq!(stored_refresh(&world), "r2");
    assert!(world.machine.is_quiet());
    assert!(world.machine.last_error().is_none());
}

#[test]
fn a_refresh_token_is_not_sent_while_the_store_is_down() {
    let mut world = connected();
    let down = StoreError::Unavailable("I/O error".to_owned());
    world.shelf.borrow_mut().broken = Some(down);
    world.pass(HOUR);
    assert_eq!(world.exchanges, 0);
    assert!(!world.is_valid());
    assert_eq!(world.machine.state(world.now), AccountState::Waiting);
    world.shelf.borrow_mut().broken = None;
    world.pass_until_request(secs(61));
    assert_eq!(sent_token(&world), "r1");
}

#[test]
fn a_dead_grant_says_reconnect_and_tries_no_more() {
    let mut world = connected();
    world.pass_until_request(HOUR);
    world.fail(FailureKind::Dead);
    assert_eq!(
        world.machine.state(world.now),
        AccountState::ReconnectRequired
    );
    assert!(world.is_valid(), "the old token serves to its end");
    world.pass(HOUR * 1_000);
    assert_eq!(world.exchanges, 1);
    assert!(matches!(
        world.published,
        Publication::Unavailable(Unavailable::ReconnectRequired { .. })
    ));
    let waiter = world.token();
    assert_eq!(world.answers[&waiter], Answer::Token(Waited::Look));
    restart(&mut world, personal());
    assert_eq!(
        world.machine.state(world.now),
        AccountState::ReconnectRequired
    );
    connect(&mut world, "b1", Some("s1"));
    assert_eq!(world.machine.state(world.now), AccountState::Connected);
    assert!(stored(&world).dead.is_none());
    world.pass_until_request(HOUR);
    assert_eq!(sent_token(&world), "s1");
}

#[test]
fn three_unreadable_refusals_count_as_death_with_a_try_an_hour() {
    let mut world = connected();
    world.pass_until_request(HOUR);
    for _ in 0..2 {
        world.fail(FailureKind::Unreadable);
        world.pass_until_request(secs(61));
    }
    world.fail(FailureKind::Unreadable);
    for _ in 0..20 {
        assert_eq!(
            world.machine.state(world.now),
            AccountState::ReconnectRequired
        );
        let pause = world.pass_until_request(HOUR).as_secs();
        assert!((3_239..=3_600).contains(&pause), "{pause}");
        world.fail(FailureKind::Unreadable);
    }
    world.pass_until_request(HOUR);
    world.answer("a2", Some(3_600));
    assert_eq!(world.machine.state(world.now), AccountState::Connected);
}

#[test]
fn without_a_refresh_token_the_end_is_announced() {
    let mut world = World::new(personal());
    world.feed(Event::Start);
    connect(&mut world, "a1", None);
    assert!(world.log.iter().any(|l| l.contains("no refresh token")));
    let waiter = world.rejected(1, RejectedStatus::Unauthorized);
    let refused = Answer::Verdict(Verdict::PassOn(PassOn::Refused));
    assert_eq!(world.answers[&waiter], refused);
    world.pass(HOUR);
    assert_eq!(world.exchanges, 0);
    assert_eq!(
        world.machine.state(world.now),
        AccountState::ReconnectRequired
    );
}

#[test]
fn a_lost_answer_is_not_risked_again_while_the_old_token_lives() {
    let mut world = connected();
    world.pass_until_request(HOUR);
    let begun = world.now.wall;
    restart(&mut world, personal());
    // The dead process's lease is waited out first.
    assert!(world.is_valid());
    world.pass(secs(120));
    assert!(world.flight.is_none(), "nothing is sent");
    let passed = world.pass_until_request(HOUR);
    assert!(!world.is_valid(), "only after its end: {passed:?}");
    assert_eq!(sent_token(&world), "r1");
    world.fail(FailureKind::Dead);
    let cause = world.machine.last_error().unwrap().what.clone();
    assert!(cause.starts_with("rotation_answer_lost"), "{cause}");
    let begun = jiff::Timestamp::from_second(begun.unix_seconds() as i64).unwrap();
    assert!(cause.contains(&begun.to_string()), "{cause}");
}

#[test]
fn a_lost_answer_is_risked_when_the_old_token_is_rejected() {
    let mut world = connected();
    world.pass_until_request(HOUR);
    restart(&mut world, personal());
    world.pass(secs(120));
    let generation = world.generation();
    world.rejected(generation, RejectedStatus::Unauthorized);
    assert_eq!(sent_token(&world), "r1");
    world.answer_with("a2", Some(3_600), Some("r2"));
    assert!(stored(&world).intent.is_none());
}

#[test]
fn within_the_grace_the_old_token_is_sent_once_more() {
    let mut grace = personal();
    grace.reuse_grace = secs(300);
    let mut world = connected();
    world.pass_until_request(HOUR);
    restart(&mut world, grace.clone());
    world.pass_until_request(secs(60));
    assert!(world.is_valid(), "while the old token lives");
    assert!(stored(&world).intent.unwrap().again);
    // Killed once more: that was the one time.
    restart(&mut world, grace);
    world.pass(secs(120));
    assert!(world.flight.is_none());
}

#[test]
fn past_the_grace_it_is_not() {
    let mut grace = personal();
    grace.reuse_grace = secs(60);
    let mut world = connected();
    world.pass_until_request(HOUR);
    world.pass(secs(100));
    restart(&mut world, grace);
    world.pass(secs(120));
    assert!(world.flight.is_none());
}

#[test]
fn an_answer_lost_on_the_network_is_said_when_the_grant_turns_out_dead() {
    let mut world = connected();
    world.pass_until_request(HOUR);
    world.end(Err(ambiguous()));
    assert!(stored(&world).intent.is_some(), "a restart would know");
    world.pass_until_request(secs(61));
    world.fail(FailureKind::Dead);
    let cause = &world.machine.last_error().unwrap().what;
    assert!(cause.starts_with("rotation_answer_lost"), "{cause}");
}

#[test]
fn a_definite_failure_leaves_no_intent() {
    let mut world = connected();
    world.pass_until_request(HOUR);
    world.fail(FailureKind::Transient);
    assert!(stored(&world).intent.is_none());
}
