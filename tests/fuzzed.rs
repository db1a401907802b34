//! The fuzz targets of `fuzz/`, over their kept seeds and what mutation makes
//! of them for a moment: `cargo fuzz` goes on from there.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// For each target, seeds not counted.
const MUTATING: Duration = Duration::from_secs(3);

/// Runs a target over its seeds, and over mutated ones until the time is up.
fn fuzz(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(name);
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let seeds: Vec<Vec<u8>> = files.map(|file| fs::read(file).unwrap()).collect();
    assert!(!seeds.is_empty(), "{name} has no seed");
    for seed in &seeds {
        target(seed);
    }
    let start = Instant::now();
    let mut runs = 0_u32;
    let mut random = fastrand::Rng::new();
    while start.elapsed() < MUTATING {
        let input = mutated(&seeds, &mut random);
        let shown = Shown(&input);
        target(&input);
        std::mem::forget(shown);
        runs += 1;
    }
    println!("{name}: {} seeds, {runs} mutations", seeds.len());
}

/// Says on a panic which input it was.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        eprintln!("the input: \"{}\"", self.0.escape_ascii());
    }
}

/// A seed with a few of its stretches exchanged, repeated, or put in from another.
fn mutated(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(1..6) {
        let start = random.usize(..=input.len());
        let end = (start + random.usize(..12)).min(input.len());
        let other = &seeds[random.usize(..seeds.len())];
        let from = random.usize(..=other.len());
        let to = (from + random.usize(..12)).min(other.len());
        let put: Vec<u8> = match random.u8(..5) {
            0 => Vec::new(),
            1 => vec![random.u8(..)],
            2 => input[start..end].repeat(2),
            3 => SPECIAL[random.usize(..SPECIAL.len())].to_vec(),
            _ => other[from..to].to_vec(),
        };
        input.splice(start..end, put);
    }
    input
}

/// What decides how something is read.
const SPECIAL: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\0",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b";",
    b"/",
    b"..",
    b"%2e",
    b"%2f",
    b"{",
    b"}",
    b"&",
    b"=",
    b"?",
    b"#",
    b",",
    b"\"",
    b"0",
    b"-1",
    b"\xff",
    b"\xc0\xae",
    b"__sidekey-",
    b"chunked",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Connection: ",
    b"Host: localhost\r\n",
];

macro_rules! targets {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            fuzz(stringify!($name), targets::$name::run);
        }
    )*};
}

targets! { configuration connection edits routes templates token_answers }
