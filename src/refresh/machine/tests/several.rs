//! Several processes on one store.

use super::world::{HOUR, Shelf, World, rules, secs, start, token_answer};
use crate::config::checked::GrantType;
use crate::oauth::{FailureKind, Grant};
use crate::refresh::machine::{Answer, Event, Rules};
use crate::refresh::status::AccountState;
use crate::refresh::wing::ManualOutcome;
use crate::store::StoreError;
use crate::token::{RejectedStatus, Verdict};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

fn named(owner: &str) -> Rules {
    Rules {
        owner: owner.into(),
        ..rules(GrantType::AuthorizationCode)
    }
}

/// Two processes; the first has been connected, the second has taken it over.
fn two() -> (World, World) {
    let shelf: Rc<RefCell<Shelf>> = Rc::default();
    let mut one = World::on(named("one"), shelf.clone(), start());
    one.feed(Event::Start);
    let answer = token_answer("a1", Some(3_600), Some("r1"));
    one.connected(answer);
    let mut two = World::on(named("two"), shelf, start());
    two.feed(Event::Start);
    assert!(two.is_valid());
    (one, two)
}

#[test]
fn one_refreshes_and_the_other_takes_it_over() {
    let (mut one, mut two) = two();
    let waiter = two.rejected(1, RejectedStatus::Unauthorized);
    let second = one.rejected(1, RejectedStatus::Unauthorized);
    assert!(two.flight.is_some());
    assert!(one.flight.is_none(), "the lease is taken");
    one.pass(secs(2));
    assert!(one.flight.is_none());
    two.answer_with("a2", Some(3_600), Some("r2"));
    two.now = one.now;
    assert_eq!(two.answers[&waiter], Answer::Verdict(Verdict::Replay));
    one.pass(secs(1));
    assert_eq!(one.answers[&second], Answer::Verdict(Verdict::Replay));
    assert_eq!(one.generation(), 2);
    assert_eq!(one.exchanges + two.exchanges, 1);
}

#[test]
fn what_another_has_got_is_taken_over_without_a_request() {
    let (mut one, mut two) = two();
    two.manual();
    one.feed(Event::Changed);
    assert!(!one.is_busy(), "only its lease is there to be seen");
    assert_eq!(one.generation(), 1);
    two.answer_with("a2", Some(3_600), Some("r2"));
    one.feed(Event::Changed);
    assert_eq!(one.generation(), 2);
    assert!(one.is_valid());
    assert_eq!(one.exchanges + two.exchanges, 1);
}

#[test]
fn whoever_waits_for_another_s_refresh_hears_of_it_at_once() {
    let (mut one, mut two) = two();
    two.manual();
    let waiter = one.rejected(1, RejectedStatus::Unauthorized);
    assert!(!one.answers.contains_key(&waiter));
    two.answer_with("a2", Some(3_600), Some("r2"));
    one.feed(Event::Changed);
    assert_eq!(one.answers[&waiter], Answer::Verdict(Verdict::Replay));
    assert_eq!(one.exchanges + two.exchanges, 1);
}

#[test]
fn a_request_amid_a_look_that_brings_nothing_is_a_refresh() {
    let (mut one, _two) = two();
    one.slow_store = Some(VecDeque::new());
    one.feed(Event::Changed);
    let waiter = one.rejected(1, RejectedStatus::Unauthorized);
    for _ in 0..4 {
        one.deliver();
    }
    one.slow_store = None;
    one.answer_with("a2", Some(3_600), Some("r2"));
    assert_eq!(one.answers[&waiter], Answer::Verdict(Verdict::Replay));
}

#[test]
fn a_dead_process_is_succeeded_when_its_lease_is_over() {
    let (mut one, mut two) = two();
    two.pass_until_request(HOUR);
    // The first one's old token has been rejected, so it does not hold off.
    one.now = two.now;
    one.rejected(1, RejectedStatus::Unauthorized);
    let waited = one.pass_until_request(HOUR);
    assert!(waited >= secs(44) && waited <= secs(47), "{waited:?}");
}

#[test]
fn a_client_without_a_token_does_not_wait_for_the_dead() {
    let client = |owner: &str| Rules {
        owner: owner.into(),
        ..rules(GrantType::ClientCredentials)
    };
    let shelf: Rc<RefCell<Shelf>> = Rc::default();
    let mut dead = World::on(client("dead"), shelf.clone(), start());
    dead.feed(Event::Start);
    assert!(dead.flight.is_some());
    let mut heir = World::on(client("heir"), shelf, start());
    heir.feed(Event::Start);
    let waited = heir.pass_until_request(HOUR);
    assert!(waited >= secs(3) && waited <= secs(4), "{waited:?}");
}

#[test]
fn a_lease_from_a_clock_far_ahead_is_waited_out_by_our_own() {
    let (mut one, mut two) = two();
    two.step_wall(1_000_000);
    assert!(two.flight.is_some());
    one.rejected(1, RejectedStatus::Unauthorized);
    let waited = one.pass_until_request(HOUR);
    assert!(waited <= secs(47), "{waited:?}");
}

#[test]
fn a_death_is_looked_into_before_it_is_believed() {
    let (mut one, mut two) = two();
    one.pass_until_request(HOUR);
    // While the first one's request is under way, its lease runs out, and the
    // second rotates.
    two.now = one.now;
    two.pass(secs(60));
    two.rejected(1, RejectedStatus::Unauthorized);
    assert!(two.flight.is_some());
    two.answer_with("a2", Some(3_600), Some("r2"));
    one.now = two.now;
    one.fail(FailureKind::Dead);
    assert_eq!(one.machine.state(one.now), AccountState::Connected);
    assert_eq!(one.generation(), 2);
}

#[test]
fn whoever_has_rotated_wins_over_whoever_has_not() {
    let (mut one, mut two) = two();
    one.pass_until_request(HOUR);
    two.now = one.now;
    two.pass(secs(60));
    two.rejected(1, RejectedStatus::Unauthorized);
    assert!(two.flight.is_some(), "the lease was over");
    one.now = two.now;
    one.answer_with("a2", Some(3_600), Some("r2"));
    assert_eq!(one.generation(), 2);
    two.fail(FailureKind::Dead);
    assert_eq!(two.machine.state(two.now), AccountState::Connected);
    let stored = two.shelf.borrow().stored.clone().unwrap().2.tokens.unwrap();
    assert_eq!(stored.refresh_token.unwrap().expose(), "r2");
}

#[test]
fn what_one_connects_the_other_notices() {
    let shelf: Rc<RefCell<Shelf>> = Rc::default();
    let mut one = World::on(named("one"), shelf.clone(), start());
    let mut two = World::on(named("two"), shelf, start());
    one.feed(Event::Start);
    two.feed(Event::Start);
    let answer = token_answer("a1", Some(3_600), Some("r1"));
    one.connected(answer);
    assert_eq!(two.machine.state(two.now), AccountState::NotConnected);
    two.pass(secs(61));
    assert_eq!(two.machine.state(two.now), AccountState::Connected);
}

#[test]
fn five_tools_on_one_store_refresh_once_each_time() {
    let shelf: Rc<RefCell<Shelf>> = Rc::default();
    let mut tools: Vec<World> = (0..5)
        .map(|n| World::on(named(&n.to_string()), shelf.clone(), start()))
        .collect();
    tools.iter_mut().for_each(|tool| tool.feed(Event::Start));
    let answer = token_answer("a0", Some(3_600), Some("r0"));
    tools[0].connected(answer);
    let mut rotations = 0;
    for _ in 0..24 * 60 * 10 {
        for tool in &mut tools {
            tool.pass(secs(6));
            if tool.flight.is_some() {
                rotations += 1;
                let refresh = format!("r{rotations}");
                tool.answer_with(&format!("a{rotations}"), Some(3_600), Some(&refresh));
            }
        }
    }
    // A day, and every refresh about 29 minutes after the last.
    assert!((45..=56).contains(&rotations), "{rotations}");
    let generations: Vec<u64> = tools.iter().map(World::generation).collect();
    assert!(generations.iter().all(|g| *g >= 45), "{generations:?}");
}

#[test]
fn one_disconnects_and_the_other_lets_go_at_its_next_look() {
    let (mut one, mut two) = two();
    one.disconnect();
    two.now = one.now;
    two.manual();
    assert!(two.flight.is_none(), "the refresh token is not sent");
    assert_eq!(two.machine.state(two.now), AccountState::NotConnected);
    assert!(!two.is_valid());
}

/// The refresh token that is stored.
fn stored_refresh_token(world: &World) -> String {
    let shelf = world.shelf.borrow();
    let (_, _, record) = shelf.stored.as_ref().unwrap();
    let tokens = record.tokens.as_ref().unwrap();
    tokens.refresh_token.as_ref().unwrap().expose().to_owned()
}

#[test]
fn an_old_refresh_does_not_undo_a_new_connection() {
    let (mut one, mut two) = two();
    one.manual();
    assert!(one.flight.is_some());
    two.now = one.now_after(secs(5));
    two.connected(token_answer("a9", Some(3_600), Some("r9")));
    one.now = two.now_after(secs(5));
    one.answer_with("a2", Some(3_600), Some("r2"));
    assert_eq!(stored_refresh_token(&one), "r9");
    assert_eq!(one.machine.state(one.now), AccountState::Connected);
    // It goes on with the new one.
    one.manual();
    let (_, grant) = one.flight.as_ref().unwrap();
    assert!(matches!(grant, Grant::RefreshToken(token) if token.expose() == "r9"));
}

#[test]
fn of_two_connections_the_later_stays() {
    let (mut one, mut two) = two();
    // The first one's cannot be stored for a while.
    one.shelf.borrow_mut().broken = Some(StoreError::Unavailable("full".into()));
    one.connected(token_answer("a8", Some(3_600), Some("r8")));
    one.shelf.borrow_mut().broken = None;
    two.now = one.now_after(secs(1));
    two.connected(token_answer("a9", Some(3_600), Some("r9")));
    assert_eq!(one.generation(), 2);
    one.pass(secs(61));
    assert_eq!(stored_refresh_token(&one), "r9");
    assert_eq!(one.generation(), 3, "it is what one goes on with too");
}

#[test]
fn an_old_refresh_does_not_undo_a_disconnection() {
    let (mut one, mut two) = two();
    let waiter = one.manual();
    two.now = one.now_after(secs(5));
    two.disconnect();
    one.now = two.now_after(secs(5));
    one.answer_with("a2", Some(3_600), Some("r2"));
    assert_eq!(one.machine.state(one.now), AccountState::NotConnected);
    assert!(!one.is_valid());
    assert!(matches!(
        &one.answers[&waiter],
        Answer::Manual(ManualOutcome::Failed(_))
    ));
    assert!(
        one.shelf
            .borrow()
            .stored
            .as_ref()
            .unwrap()
            .2
            .tokens
            .is_none()
    );
}
