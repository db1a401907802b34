//! Kill -9 in the middle of rotations, at named points and at random. Each
//! process first completes one rotation, which shows what the kill before it
//! has lost; in its second it is killed.

use crate::support::conf::Conf;
use crate::support::gate::Gate;
use crate::support::rotation::{KEY, Rotating, connect};
use crate::support::sidekey::Launch;
use crate::support::{Answer, Server, Sidekey, eventually, eventually_some};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

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
/// Longer than any test.
const GRACE: Duration = Duration::from_secs(3_600);

/// What became of the kills at one point.
#[derive(Clone, Copy, Default)]
struct Tally {
    kills: usize,
    /// Kills after which a person had to connect the account again.
    lost: usize,
    /// Those of which sidekey said `rotation_answer_lost`.
    reported: usize,
}

type Tallies = BTreeMap<String, Tally>;

/// An account with a server and a store of its own.
struct Lane {
    server: Rotating,
    upstream: Server,
    folder: tempfile::TempDir,
    grace: bool,
    tallies: Tallies,
    /// Where the last kill hit.
    last: Option<String>,
}

impl Lane {
    fn new(grace: bool) -> Self {
        let lane = Self {
            server: Rotating::start(grace.then_some(GRACE)),
            upstream: Server::start(|_| Answer::ok("content")),
            folder: tempfile::tempdir().unwrap(),
            grace,
            tallies: Tallies::new(),
            last: None,
        };
        lane.reconnect();
        lane
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("sidekey.db")
    }

    fn reconnect(&self) {
        let token = self.server.consent();
        connect(&self.store(), &self.server.endpoint(), &token);
    }

    fn launch(&self, fault_point: &str) -> Sidekey {
        let store = format!("{{path: \"{}\", key: \"{KEY}\"}}", self.store().display());
        let mut conf = Conf::at(
            &self.server.endpoint(),
            &format!("{}/", self.upstream.url()),
        )
        .oauth2("authorization_endpoint: http://127.0.0.1:9/authorize")
        .store(&store);
        if self.grace {
            conf = conf.integration("refresh: {reuse_grace: 1h}");
        }
        let yaml = conf
            .yaml()
            .replace("client_credentials", "authorization_code");
        Sidekey::launch(&Launch {
            yaml,
            environment: vec![("SIDEKEY_FAULT_POINT".into(), fault_point.into())],
            own_build: true,
            ..Launch::default()
        })
    }

    /// Waits until the first rotation has ended: a process in which the account
    /// is alive. Losses that show themselves are counted for the last kill.
    fn alive(&mut self, fault_point: &str) -> Sidekey {
        loop {
            let sidekey = self.launch(fault_point);
            let lost = eventually_some("the first rotation", || {
                let logs = sidekey.logs();
                let well = logs.contains("passing after_publish:1");
                let lost = logs.contains("connect this account again");
                (well || lost).then_some(lost)
            });
            if !lost {
                self.last = None;
                return sidekey;
            }
            let last = self.last.take().expect("a loss without a kill");
            let tally = self.tallies.entry(last).or_default();
            tally.lost += 1;
            tally.reported += usize::from(sidekey.logs().contains("rotation_answer_lost"));
            drop(sidekey);
            self.reconnect();
        }
    }

    fn kill(&mut self, mut sidekey: Sidekey, point: &str) {
        sidekey.signal("KILL");
        sidekey.ended();
        self.tallies.entry(point.to_owned()).or_default().kills += 1;
        self.last = Some(point.to_owned());
    }

    fn kill_at(&mut self, point: &str) {
        if point == "request_written" {
            let sidekey = self.alive("none");
            let gate: Gate = self.server.hold();
            eventually("the request", || gate.came() > 0);
            self.kill(sidekey, point);
            self.server.let_go();
        } else {
            let sidekey = self.alive(&format!("{point}:2"));
            let held = format!("held at {point}:2");
            eventually(&held, || sidekey.logs().contains(&held));
            self.kill(sidekey, point);
        }
    }

    /// Kills within a moment of the second rotation's beginning.
    fn kill_at_random(&mut self) {
        let sidekey = self.alive("none");
        let rotations = self.server.rotations();
        eventually("the second rotation", || {
            sidekey.logs().contains("passing before_intent:2")
        });
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..25_000)));
        sidekey.signal("KILL");
        let phase = phase(&sidekey.logs(), self.server.rotations() > rotations);
        self.kill(sidekey, phase);
    }

    /// The last kill, too, is looked at.
    fn finish(mut self) -> Tallies {
        drop(self.alive("none"));
        let lost: usize = self.tallies.values().map(|t| t.lost).sum();
        assert_eq!(lost, self.server.ended(), "grants that ended");
        assert_eq!(lost, self.server.unreceived(), "answers that nobody has");
        self.tallies
    }
}

/// How far the second rotation had come.
fn phase(logs: &str, rotated: bool) -> &'static str {
    let passed = |point: &str| logs.contains(&format!("passing {point}:2"));
    match () {
        () if passed("after_publish") => "after_publish",
        () if passed("after_write") => "after_write",
        // The write may or may not have become durable.
        () if passed("before_write") => "writing the answer",
        () if passed("answer_received") => "answer_received",
        () if rotated => "request_written",
        () if passed("after_intent") => "after_intent",
        () => "before_intent",
    }
}

fn table(title: &str, tallies: &Tallies, order: &[&str]) -> String {
    let mut text = format!(
        "\n{title}\n| fault point | kills | lost | reported |\n| --- | --- | --- | --- |\n"
    );
    for point in order {
        let tally = tallies.get(*point).copied().unwrap_or_default();
        let Tally {
            kills,
            lost,
            reported,
        } = tally;
        writeln!(text, "| {point} | {kills} | {lost} | {reported} |").unwrap();
    }
    text
}

fn merged(all: Vec<Tallies>) -> Tallies {
    let mut merged = Tallies::new();
    for (point, tally) in all.into_iter().flatten() {
        let sum = merged.entry(point).or_default();
        sum.kills += tally.kills;
        sum.lost += tally.lost;
        sum.reported += tally.reported;
    }
    merged
}

/// Runs lanes beside each other.
fn lanes(works: Vec<impl FnOnce() -> Tallies + Send + 'static>) -> Tallies {
    let threads: Vec<_> = works.into_iter().map(std::thread::spawn).collect();
    merged(threads.into_iter().map(|t| t.join().unwrap()).collect())
}

fn at_named_points(grace: bool) -> Tallies {
    lanes(
        POINTS
            .map(|point| {
                move || {
                    let mut lane = Lane::new(grace);
                    (0..KILLS_AT_EACH).for_each(|_| lane.kill_at(point));
                    lane.finish()
                }
            })
            .into(),
    )
}

fn at_random(grace: bool) -> Tallies {
    lanes(
        (0..LANES_AT_RANDOM)
            .map(|_| {
                move || {
                    let mut lane = Lane::new(grace);
                    (0..KILLS_AT_RANDOM / LANES_AT_RANDOM).for_each(|_| lane.kill_at_random());
                    lane.finish()
                }
            })
            .collect(),
    )
}

const RANDOM_ORDER: [&str; 7] = [
    "before_intent",
    "after_intent",
    "request_written",
    "answer_received",
    "writing the answer",
    "after_write",
    "after_publish",
];

/// Between the request and the durable answer nobody can know.
const WINDOW: [&str; 3] = ["request_written", "answer_received", "writing the answer"];

fn check(title: &str, tallies: &Tallies, order: &[&str], grace: bool) {
    println!("{}", table(title, tallies, order));
    for (point, tally) in tallies {
        assert_eq!(
            tally.lost, tally.reported,
            "{point}: a loss goes unreported"
        );
        let may_lose = !grace && WINDOW.contains(&point.as_str());
        assert!(may_lose || tally.lost == 0, "{point}: {} lost", tally.lost);
    }
}

#[test]
fn kills_at_named_points_with_a_grace_for_reuse_lose_nothing() {
    let tallies = at_named_points(true);
    check("with a grace for reuse", &tallies, &POINTS, true);
    assert!(POINTS.iter().all(|p| tallies[*p].kills == KILLS_AT_EACH));
}

#[test]
fn kills_at_named_points_without_grace_lose_only_unanswered_rotations() {
    let tallies = at_named_points(false);
    check("without grace", &tallies, &POINTS, false);
    assert!(POINTS.iter().all(|p| tallies[*p].kills == KILLS_AT_EACH));
    assert_eq!(
        tallies["request_written"].lost,
        tallies["request_written"].kills
    );
}

#[test]
fn kills_at_random_with_a_grace_for_reuse_lose_nothing() {
    let tallies = at_random(true);
    check(
        "at random, with a grace for reuse",
        &tallies,
        &RANDOM_ORDER,
        true,
    );
}

#[test]
fn kills_at_random_without_grace_lose_only_unanswered_rotations() {
    let tallies = at_random(false);
    check("at random, without grace", &tallies, &RANDOM_ORDER, false);
}
