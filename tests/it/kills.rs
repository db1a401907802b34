//! Kill -9 in the middle of rotations, at named points and at random: against a
//! server in this process that allows reuse or doesn't, and against oidc-provider.

mod issuers;
mod lane;
mod tally;

use crate::support::real::Oidc;
use issuers::{Issuer, Own, Shared};
use lane::Lane;
use std::sync::Arc;
use tally::{Tallies, check, merged};

/// In the order in which a rotation passes them.
const POINTS: [&str; 6] = [
    "before_intent",
    "after_intent",
    "request_written",
    "answer_received",
    "after_write",
    "after_publish",
];
const KILLS_AT_EACH: usize = 20;

const KILLS_AT_RANDOM: usize = 200;
const LANES_AT_RANDOM: usize = 10;
/// How far a rotation can have come when a kill hits at random.
const PHASES: [&str; 7] = [
    "before_intent",
    "sending the request",
    "request_written",
    "answer_received",
    "writing the answer",
    "after_write",
    "after_publish",
];

/// The kills of one lane, on a thread of its own.
type Work = Box<dyn FnOnce() -> Tallies + Send>;

fn at(point: &'static str, kills: usize, server: impl Issuer + 'static) -> Work {
    Box::new(move || {
        let mut lane = Lane::new(server);
        (0..kills).for_each(|_| lane.kill_at(point));
        lane.finish()
    })
}

fn at_random(kills: usize, server: impl Issuer + 'static) -> Work {
    Box::new(move || {
        let mut lane = Lane::new(server);
        (0..kills).for_each(|_| lane.kill_at_random());
        lane.finish()
    })
}

/// Runs lanes beside each other.
fn run(lanes: impl IntoIterator<Item = Work>) -> Tallies {
    let threads: Vec<_> = lanes.into_iter().map(std::thread::spawn).collect();
    merged(threads.into_iter().map(|t| t.join().unwrap()).collect())
}

fn named(allows_reuse: bool) -> Tallies {
    let lane = |point| at(point, KILLS_AT_EACH, Own::start(allows_reuse));
    run(POINTS.map(lane))
}

fn random(allows_reuse: bool) -> Tallies {
    let kills = KILLS_AT_RANDOM / LANES_AT_RANDOM;
    run((0..LANES_AT_RANDOM).map(|_| at_random(kills, Own::start(allows_reuse))))
}

/// Whoever dies here has spent a refresh token for nothing.
fn every_kill_in_the_window_loses(tallies: &Tallies) {
    for point in ["request_written", "answer_received"] {
        assert_eq!(tallies[point].lost, tallies[point].kills, "{point}");
    }
}

#[test]
fn kills_at_named_points_with_a_grace_for_reuse_lose_nothing() {
    let tallies = named(true);
    check("with a grace for reuse", &tallies, &POINTS, true);
    assert!(POINTS.iter().all(|p| tallies[*p].kills == KILLS_AT_EACH));
}

#[test]
fn kills_at_named_points_without_grace_lose_only_unanswered_rotations() {
    let tallies = named(false);
    check("without grace", &tallies, &POINTS, false);
    assert!(POINTS.iter().all(|p| tallies[*p].kills == KILLS_AT_EACH));
    every_kill_in_the_window_loses(&tallies);
}

#[test]
fn kills_at_random_with_a_grace_for_reuse_lose_nothing() {
    let title = "at random, with a grace for reuse";
    check(title, &random(true), &PHASES, true);
}

#[test]
fn kills_at_random_without_grace_lose_only_unanswered_rotations() {
    check("at random, without grace", &random(false), &PHASES, false);
}

/// All lanes at once against one process of the real server.
#[test]
fn kills_against_oidc_provider_lose_only_unanswered_rotations() {
    const LANES_AT_EACH: usize = 2;
    const RANDOM_LANES: usize = 10;
    const KILLS_EACH: usize = 12;
    let oidc = Arc::new(Oidc::start());
    let server = || Shared::of(&oidc);
    let kills = KILLS_AT_EACH / LANES_AT_EACH;
    let at_points = POINTS.map(|point| (0..LANES_AT_EACH).map(move |_| point));
    let at_points = at_points.into_iter().flatten();
    let at_points: Vec<Work> = at_points.map(|p| at(p, kills, server())).collect();
    let at_random: Vec<Work> = (0..RANDOM_LANES)
        .map(|_| at_random(KILLS_EACH, server()))
        .collect();
    let at_random = std::thread::spawn(move || run(at_random));
    let named = run(at_points);
    let random = at_random.join().unwrap();
    check("oidc-provider", &named, &POINTS, false);
    check("oidc-provider, at random", &random, &PHASES, false);
    assert!(POINTS.iter().all(|p| named[*p].kills == KILLS_AT_EACH));
    every_kill_in_the_window_loses(&named);
}
