//! People disconnect accounts, and connect them anew.

use super::world::{World, rules, token_answer};
use crate::config::checked::GrantType;
use crate::refresh::machine::{Answer, Event, Publication};
use crate::refresh::record::StoredTokens;
use crate::refresh::status::AccountState;
use crate::refresh::wing::ManualOutcome;
use crate::token::Unavailable;

fn connected() -> World {
    let mut world = World::new(rules(GrantType::AuthorizationCode));
    world.feed(Event::Start);
    connect(&mut world, "a1", Some("r1"));
    world
}

fn connect(world: &mut World, token: &str, refresh: Option<&str>) -> u64 {
    world.connected(token_answer(token, Some(3_600), refresh))
}

fn forgotten(world: &World, waiter: u64) -> StoredTokens {
    match &world.answers[&waiter] {
        Answer::Disconnected(Ok(Some(tokens))) => tokens.clone(),
        other => panic!("{other:?}"),
    }
}

fn stored_tokens(world: &World) -> Option<StoredTokens> {
    world.shelf.borrow().stored.clone().unwrap().2.tokens
}

#[test]
fn whoever_connects_hears_that_it_is_durable() {
    let mut world = connected();
    let waiter = connect(&mut world, "a2", Some("r2"));
    let done = Answer::Manual(ManualOutcome::Refreshed);
    assert_eq!(world.answers[&waiter], done);
    assert!(stored_tokens(&world).is_some());
}

#[test]
fn disconnecting_forgets_the_tokens_here_and_in_the_store() {
    let mut world = connected();
    let waiter = world.disconnect();
    let tokens = forgotten(&world, waiter);
    assert_eq!(tokens.access_token.expose(), "a1");
    assert_eq!(tokens.refresh_token.unwrap().expose(), "r1");
    assert_eq!(stored_tokens(&world), None);
    let not_connected = Publication::Unavailable(Unavailable::NotConnected);
    assert_eq!(world.published, not_connected);
    assert_eq!(world.machine.state(world.now), AccountState::NotConnected);
    connect(&mut world, "a2", Some("r2"));
    assert!(world.is_valid());
    assert_eq!(world.generation(), 2);
}

#[test]
fn a_refresh_under_way_ends_first_and_its_tokens_are_forgotten_too() {
    let mut world = connected();
    world.manual();
    assert!(world.is_busy());
    let waiter = world.disconnect();
    world.answer_with("a2", Some(3_600), Some("r2"));
    assert_eq!(
        forgotten(&world, waiter).refresh_token.unwrap().expose(),
        "r2"
    );
    assert_eq!(stored_tokens(&world), None);
    assert_eq!(world.machine.state(world.now), AccountState::NotConnected);
}

#[test]
fn a_new_connection_takes_nothing_over_from_the_old_one() {
    let mut world = connected();
    connect(&mut world, "b1", None);
    let tokens = stored_tokens(&world).unwrap();
    assert_eq!(tokens.access_token.expose(), "b1");
    assert_eq!(
        tokens.refresh_token, None,
        "another person may have signed in"
    );
}
