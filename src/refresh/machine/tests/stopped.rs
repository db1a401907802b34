//! Machines that are stopped in the middle of something, and others of the same
//! process that have their account afterwards.

use super::world::{HOUR, Shelf, World, rules, secs, start, token_answer};
use crate::config::checked::GrantType;
use crate::oauth::FailureKind;
use crate::refresh::machine::{Answer, Event};
use crate::refresh::wing::ManualOutcome;
use crate::token::RejectedStatus;
use proptest::prelude::proptest;
use proptest::test_runner::Config;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

fn personal(shelf: Rc<RefCell<Shelf>>) -> World {
    World::on(rules(GrantType::AuthorizationCode), shelf, start())
}

/// Connected, with a token for an hour.
fn connected() -> World {
    let mut world = personal(Rc::default());
    world.feed(Event::Start);
    world.connected(token_answer("a1", Some(3_600), Some("r1")));
    world
}

/// The same account once more, looked after by another machine of the process.
fn put_back(gone: &World) -> World {
    let mut world = personal(gone.shelf.clone());
    world.now = gone.now;
    world.feed(Event::Start);
    world
}

fn failed(world: &World, waiter: u64) -> bool {
    matches!(
        world.answers.get(&waiter),
        Some(Answer::Manual(ManualOutcome::Failed(_)))
    )
}

#[test]
fn whoever_waits_for_a_first_reading_hears_that_it_was_stopped() {
    let shelf = connected().shelf;
    let mut world = personal(shelf);
    world.slow_store = Some(VecDeque::new());
    world.feed(Event::Start);
    world.pass(HOUR * 2);
    let (manual, token) = (world.manual(), world.token());
    world.feed(Event::Stop);
    world.deliver();
    assert!(failed(&world, manual));
    assert!(world.answers.contains_key(&token));
    assert!(world.machine.is_quiet());
    assert_eq!(world.exchanges, 0);
}

#[test]
fn whoever_came_during_a_look_hears_that_it_was_stopped() {
    let mut world = connected();
    world.slow_store = Some(VecDeque::new());
    world.feed(Event::Changed);
    let manual = world.manual();
    world.feed(Event::Stop);
    world.deliver();
    assert!(failed(&world, manual));
    assert_eq!(world.exchanges, 0);
}

#[test]
fn a_lease_that_was_not_had_is_no_reason_to_wait_for_ever() {
    let mut world = connected();
    world.slow_store = Some(VecDeque::new());
    let manual = world.manual();
    if let Some((version, ..)) = &mut world.shelf.borrow_mut().stored {
        *version += 1;
    }
    world.deliver();
    world.feed(Event::Stop);
    world.deliver();
    assert!(failed(&world, manual));
    assert!(world.machine.is_quiet());
}

#[test]
fn an_account_that_was_put_back_waits_for_the_refresh_that_is_under_way() {
    let mut gone = connected();
    gone.pass_until_request(HOUR);
    gone.feed(Event::Stop);
    let mut back = put_back(&gone);
    let verdict = back.rejected(1, RejectedStatus::Unauthorized);
    let manual = back.manual();
    back.pass(secs(10));
    assert_eq!(back.exchanges, 0, "r1 is on its way already");
    gone.now = back.now;
    gone.answer_with("a2", Some(3_600), Some("r2"));
    back.pass(secs(1));
    assert!(back.answers.contains_key(&verdict));
    if back.flight.is_some() {
        let (_, grant) = back.flight.as_ref().unwrap();
        assert!(format!("{grant:?}").contains("RefreshToken"));
        back.answer_with("a3", Some(3_600), Some("r3"));
    }
    let done = Answer::Manual(ManualOutcome::Refreshed);
    assert_eq!(back.answers[&manual], done);
}

#[test]
fn nor_does_a_lease_of_the_same_number_pass_for_its_own() {
    let mut gone = connected();
    gone.slow_store = Some(VecDeque::new());
    let mut back = put_back(&gone);
    back.slow_store = Some(VecDeque::new());
    // Both have read the same record; the first has its lease, the second not.
    gone.manual();
    back.manual();
    gone.deliver();
    back.deliver();
    gone.deliver();
    gone.feed(Event::Stop);
    assert!(gone.flight.is_some());
    back.deliver();
    back.slow_store = None;
    back.pass(secs(10));
    assert_eq!(back.exchanges, 0);
    gone.slow_store = None;
    gone.now = back.now;
    gone.answer_with("a2", Some(3_600), Some("r2"));
    back.pass(secs(2));
    assert!(back.flight.is_some() || back.machine.generation() == 2);
}

proptest! {
    #![proptest_config(Config { cases: 128, failure_persistence: None, ..Config::default() })]

    /// Removed and put back again and again, whenever it may be.
    #[test]
    fn no_refresh_token_is_under_way_twice(
        steps in proptest::collection::vec((0_u64..6, 1_u64..4_000), 1..100),
    ) {
        let mut gone: Vec<World> = Vec::new();
        let mut world = connected();
        world.slow_store = Some(VecDeque::new());
        for (n, (step, ms)) in steps.into_iter().enumerate() {
            match step {
                0 => {
                    world.feed(Event::Stop);
                    let mut next = put_back(&world);
                    next.slow_store = Some(VecDeque::new());
                    gone.push(std::mem::replace(&mut world, next));
                }
                1 => drop(world.manual()),
                2 => drop(world.token()),
                3 => {
                    // No request takes longer than its limit; leases count on that.
                    let late = gone.iter_mut().chain(std::iter::once(&mut world));
                    let late = late.filter(|w| w.flight.as_ref().is_some_and(|(sent, _)| {
                        w.now.mono.since(sent.mono) > secs(25)
                    }));
                    late.for_each(|w| w.fail(FailureKind::Transient));
                    world.pass(Duration::from_millis(ms));
                    gone.iter_mut().for_each(|g| g.now = world.now);
                }
                4 => {
                    let all = gone.iter_mut().chain(std::iter::once(&mut world));
                    all.for_each(World::deliver);
                }
                _ => {
                    let mut all = gone.iter_mut().chain(std::iter::once(&mut world));
                    if let Some(busy) = all.find(|w| w.flight.is_some()) {
                        busy.answer_with(&format!("t{n}"), Some(3_600), Some(&format!("n{n}")));
                    }
                }
            }
            let all = gone.iter().chain(std::iter::once(&world));
            let flights = all.filter(|w| w.flight.is_some()).count();
            assert!(flights <= 1, "{flights} at once");
        }
        for old in &mut gone {
            while old.is_busy() {
                if old.flight.is_some() {
                    old.answer_with("end", Some(3_600), Some("end"));
                }
                old.deliver();
            }
            for waiter in 1..=old.waiters() {
                assert!(old.answers.contains_key(&waiter), "{waiter} is left");
            }
            assert!(old.machine.is_quiet());
        }
    }
}
