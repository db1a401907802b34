//! What a configuration that is read anew brings: accounts removed in the middle of
//! something, and other rules for those that stay.

use super::world::{HOUR, World, rules, secs};
use crate::config::checked::GrantType;
use crate::oauth::FailureKind;
use crate::refresh::machine::{Event, Rules};
use crate::store::StoreError;
use crate::token::RejectedStatus;
use std::collections::VecDeque;
use std::sync::Arc;

/// A lease that could not be written was held for ever by a machine that was stopped meanwhile.
#[test]
fn a_store_that_fails_under_a_stopping_machine_leaves_it_quiet() {
    let down = || Some(StoreError::Unavailable("no space left".to_owned()));
    for step in 0..4 {
        let mut world = World::with_token(60);
        world.slow_store = Some(VecDeque::new());
        world.shelf.borrow_mut().broken = down().filter(|_| step == 0);
        let waiter = world.manual();
        (1..step).for_each(|_| world.deliver());
        world.shelf.borrow_mut().broken = down();
        world.feed(Event::Stop);
        (0..10).for_each(|_| world.deliver());
        if world.flight.is_some() {
            continue;
        }
        assert!(world.machine.is_quiet() && !world.machine.holds_slot());
        assert!(world.answers.contains_key(&waiter));
    }
}

/// The pause after a failure was forgotten where the token has no end of its own.
#[test]
fn other_rules_leave_the_next_attempt_after_a_failure() {
    let mut world = World::new(rules(GrantType::ClientCredentials));
    world.feed(Event::Start);
    world.answer("first", None);
    world.rejected(1, RejectedStatus::Unauthorized);
    world.fail(FailureKind::Transient);
    let rules = Rules {
        before_expiry: secs(60),
        ..rules(GrantType::ClientCredentials)
    };
    world.feed(Event::Described {
        rules: Arc::new(rules),
        renew: false,
    });
    world.pass_until_request(HOUR);
    world.answer("second", None);
    assert_eq!(world.generation(), 2);
}
