//! Years of anything at all.

use super::world::{HOUR, World, rules, secs, token_answer};
use crate::config::checked::GrantType;
use crate::oauth::{Failure, FailureKind};
use crate::refresh::machine::Event;
use crate::refresh::status::AccountState;
use crate::store::StoreError;
use crate::token::RejectedStatus;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Pass(Duration),
    SetWall(i64),
    Suspend(u64),
    Answer {
        life: Option<u64>,
        same: bool,
    },
    Fail(FailureKind, bool, Option<u64>),
    Token,
    Manual,
    Rejected {
        back: u64,
        forbidden: bool,
    },
    Replayed {
        cured: bool,
        forbidden: bool,
    },
    Store(bool),
    /// A slow store says that it is done.
    Deliver,
    /// Another process writes the record, as it is.
    Touch,
    /// The store tells that it has changed.
    Changed,
    SecretChanged,
    Connect {
        refresh: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let life = prop_oneof![
        Just(None),
        (1_u64..20).prop_map(Some),
        (20_u64..600).prop_map(Some),
        (600_u64..100_000).prop_map(Some),
    ];
    let kind = prop_oneof![
        4 => Just(FailureKind::Transient),
        1 => Just(FailureKind::Unreadable),
        1 => Just(FailureKind::Dead),
        1 => Just(FailureKind::Misconfigured),
    ];
    let retry_after = proptest::option::of(1_u64..=3_600);
    let step = prop_oneof![
        4 => (1_u64..60_000).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        4 => (60_u64..100_000).prop_map(|s| Step::Pass(secs(s))),
        1 => (1_u64..30).prop_map(|days| Step::Pass(HOUR * 24 * days as u32)),
        1 => (-10_000_000_i64..10_000_000).prop_map(Step::SetWall),
        1 => (1_u64..1_000_000).prop_map(Step::Suspend),
        6 => (life, any::<bool>()).prop_map(|(life, same)| Step::Answer { life, same }),
        4 => (kind, any::<bool>(), retry_after).prop_map(|(k, s, r)| Step::Fail(k, s, r)),
        3 => Just(Step::Token),
        1 => Just(Step::Manual),
        4 => (0_u64..3, any::<bool>())
            .prop_map(|(back, forbidden)| Step::Rejected { back, forbidden }),
        3 => (any::<bool>(), any::<bool>())
            .prop_map(|(cured, forbidden)| Step::Replayed { cured, forbidden }),
        1 => any::<bool>().prop_map(Step::Store),
        16 => Just(Step::Deliver),
        1 => Just(Step::Touch),
        2 => Just(Step::Changed),
        1 => Just(Step::SecretChanged),
        1 => any::<bool>().prop_map(|refresh| Step::Connect { refresh }),
    ];
    proptest::collection::vec(step, 1..120)
}

fn status(forbidden: bool) -> RejectedStatus {
    if forbidden {
        RejectedStatus::Forbidden
    } else {
        RejectedStatus::Unauthorized
    }
}

fn take(world: &mut World, step: Step, n: usize, personal: bool) {
    match step {
        Step::Pass(time) => world.pass(time),
        Step::SetWall(seconds) => world.step_wall(seconds),
        Step::Suspend(seconds) => world.step_wall(seconds as i64),
        Step::Answer { life, same } if world.flight.is_some() => {
            let token = if same {
                "same".to_owned()
            } else {
                format!("t{n}")
            };
            world.answer_with(&token, life, Some(&format!("r{n}")));
        }
        Step::Fail(kind, maybe_spent, retry_after) if world.flight.is_some() => {
            let retry_after = retry_after.map(secs);
            world.end(Err(Failure {
                retry_after,
                maybe_spent,
                ..Failure::new(kind, "said no")
            }));
        }
        Step::Token => drop(world.token()),
        Step::Manual => drop(world.manual()),
        Step::Rejected { back, forbidden } => {
            let generation = world.machine.generation().saturating_sub(back);
            world.rejected(generation, status(forbidden));
        }
        Step::Replayed { cured, forbidden } => {
            let generation = world.machine.generation();
            world.replayed(generation, status(forbidden), cured);
        }
        Step::Store(works) => {
            let broken = (!works).then(|| StoreError::Unavailable("full".to_owned()));
            world.shelf.borrow_mut().broken = broken;
        }
        Step::Deliver => world.deliver(),
        Step::Touch => {
            if let Some((version, ..)) = &mut world.shelf.borrow_mut().stored {
                *version += 1;
            }
        }
        Step::Changed => world.feed(Event::Changed),
        Step::SecretChanged => world.feed(Event::SecretChanged),
        Step::Connect { refresh } if personal => {
            let refresh = refresh.then(|| format!("c{n}"));
            let answer = token_answer(&format!("t{n}"), Some(3_600), refresh.as_deref());
            world.connected(answer);
        }
        Step::Answer { .. } | Step::Fail(..) | Step::Connect { .. } => {}
    }
}

/// It has a token of unknown life, or will do something by itself.
fn goes_on(world: &World) {
    let wakes = world.machine.next_wake(world.now);
    let waits = wakes.map(|moment| world.now.until(moment));
    let expires = world.machine.tokens().and_then(|t| t.expires_at);
    let holds_for_ever = world.is_valid() && expires.is_none();
    assert!(
        world.is_busy() || holds_for_ever || waits.is_some(),
        "stopped trying: {:?}",
        world.machine.state(world.now)
    );
    if !world.is_valid() && !world.is_busy() {
        assert!(waits.unwrap() <= HOUR + secs(2), "{waits:?}");
    }
}

/// Before it wants to be woken, time brings nothing: nobody need look at it then.
fn sleeps_until_it_wakes(world: &mut World) {
    let wake = world.machine.next_wake(world.now);
    let left = wake.map_or(HOUR * 24, |moment| world.now.until(moment));
    if left > Duration::ZERO {
        let early = world.now_after(left / 2);
        let actions = world.machine.handle(early, Event::Tick);
        assert!(
            actions.is_empty(),
            "{actions:?} at {early:?}, not at {wake:?}"
        );
    }
}

/// In the end everything works again: is there a token, and is everybody answered?
fn comes_to_rest(world: &mut World, personal: bool) {
    world.shelf.borrow_mut().broken = None;
    while world.slow_store.as_ref().is_some_and(|s| !s.is_empty()) {
        world.deliver();
    }
    world.slow_store = None;
    for round in 0..10 {
        if world.flight.is_some() {
            world.answer_with(&format!("end{round}"), Some(3_600), Some("end"));
        }
        world.pass(secs(600));
    }
    if world.flight.is_some() {
        world.answer_with("end", Some(3_600), Some("end"));
    }
    for waiter in 1..=world.waiters() {
        assert!(world.answers.contains_key(&waiter), "{waiter} is left");
    }
    let needs_a_person = matches!(
        world.machine.state(world.now),
        AccountState::NotConnected | AccountState::ReconnectRequired
    );
    assert!(world.is_valid() || (personal && needs_a_person));
}

fn run(steps: Vec<Step>, grant_type: GrantType, slow_store: bool) {
    let personal = grant_type == GrantType::AuthorizationCode;
    let mut world = World::new(rules(grant_type));
    world.slow_store = slow_store.then(VecDeque::new);
    world.feed(Event::Start);
    for (n, step) in steps.into_iter().enumerate() {
        take(&mut world, step, n, personal);
        goes_on(&world);
        sleeps_until_it_wakes(&mut world);
    }
    comes_to_rest(&mut world, personal);
}

/// Stopped at any time, it answers everybody as soon as nothing is under way.
fn run_and_stop(steps: Vec<Step>, after: Vec<Step>, grant_type: GrantType) {
    let personal = grant_type == GrantType::AuthorizationCode;
    let mut world = World::new(rules(grant_type));
    world.slow_store = Some(VecDeque::new());
    world.feed(Event::Start);
    for (n, step) in steps.into_iter().enumerate() {
        take(&mut world, step, n, personal);
    }
    world.feed(Event::Stop);
    for (n, step) in after.into_iter().enumerate() {
        take(&mut world, step, 1_000 + n, personal);
    }
    world.shelf.borrow_mut().broken = None;
    for _ in 0..100 {
        if world.flight.is_some() {
            world.answer_with("end", Some(3_600), Some("end"));
        }
        world.deliver();
        if !world.is_busy() {
            world.pass(secs(120));
        }
    }
    for waiter in 1..=world.waiters() {
        assert!(world.answers.contains_key(&waiter), "{waiter} is left");
    }
    assert!(world.machine.is_quiet());
}

proptest! {
    #![proptest_config(Config { cases: 64, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_client_never_serves_a_dead_token_and_never_stops(steps in steps(), slow in any::<bool>()) {
        run(steps, GrantType::ClientCredentials, slow);
    }

    #[test]
    fn a_stopped_machine_leaves_nobody_waiting(
        steps in steps(),
        after in steps(),
        personal in any::<bool>(),
    ) {
        let grant_type = match personal {
            true => GrantType::AuthorizationCode,
            false => GrantType::ClientCredentials,
        };
        run_and_stop(steps, after, grant_type);
    }

    #[test]
    fn nor_does_a_person_s_account(steps in steps(), slow in any::<bool>()) {
        run(steps, GrantType::AuthorizationCode, slow);
    }
}
