//! What the kills have cost, by where they hit.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What became of the kills at one point.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub kills: usize,
    /// Kills after which a person had to connect the account again.
    pub lost: usize,
    /// Those of which sidekey said `rotation_answer_lost`.
    pub reported: usize,
    /// Rotations in the lost grants' books whose answer no client has.
    pub unreceived: usize,
}

pub type Tallies = BTreeMap<String, Tally>;

/// Between the request and the durable answer nobody can know.
const WINDOW: [&str; 4] = [
    "sending the request",
    "request_written",
    "answer_received",
    "writing the answer",
];

pub fn merged(all: Vec<Tallies>) -> Tallies {
    let mut merged = Tallies::new();
    for (point, tally) in all.into_iter().flatten() {
        let sum = merged.entry(point).or_default();
        sum.kills += tally.kills;
        sum.lost += tally.lost;
        sum.reported += tally.reported;
        sum.unreceived += tally.unreceived;
    }
    merged
}

/// Prints the tallies and holds them against the promise: outside the window
/// nothing is lost, and a loss is reported, and is one that the server knows of.
pub fn check(title: &str, tallies: &Tallies, order: &[&str], allows_reuse: bool) {
    println!("{}", table(title, tallies, order, allows_reuse));
    for (point, tally) in tallies {
        assert_eq!(tally.lost, tally.reported, "{point}: unreported losses");
        assert_eq!(tally.lost, tally.unreceived, "{point}: the server's books");
        let may_lose = !allows_reuse && WINDOW.contains(&point.as_str());
        assert!(may_lose || tally.lost == 0, "{point}: {} lost", tally.lost);
    }
}

/// Where reuse is allowed, the answers that nobody received cost nothing, and are
/// not counted.
fn table(title: &str, tallies: &Tallies, order: &[&str], allows_reuse: bool) -> String {
    let mut text = format!(
        "\n{title}\n\
         | fault point | kills | lost | reported | rotations nobody received |\n\
         | --- | --- | --- | --- | --- |\n"
    );
    for point in order {
        let Tally {
            kills,
            lost,
            reported,
            unreceived,
        } = tallies.get(*point).copied().unwrap_or_default();
        let unreceived = match allows_reuse {
            true => "any".to_owned(),
            false => unreceived.to_string(),
        };
        writeln!(
            text,
            "| {point} | {kills} | {lost} | {reported} | {unreceived} |"
        )
        .unwrap();
    }
    text
}
