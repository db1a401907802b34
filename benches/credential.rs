//! How reading an account's credential scales over threads, while a refresh
//! publishes a new one every millisecond and while none does.
//!
//! `cargo bench --bench credential`; judge the ratios.

use http::{HeaderValue, header};
use sidekey::base::secret::Secret;
use sidekey::token::{Announced, Attach, Granted, Publisher, Shared, TokenPlace, Way, slot};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(100);
const PUBLISHED_EVERY: Duration = Duration::from_millis(1);
/// Reads between two looks at the clock.
const BATCH: u64 = 1_000;

fn main() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let counts = [1, 2, 4, 8].into_iter().filter(|n| *n <= cores);
    println!(
        "credential reads, medians of {ROUNDS} rounds of {ROUND:?}; every reader has a thread"
    );
    let mut one = [0.0; 2];
    for readers in counts {
        // In turn, so that a slow moment of the machine meets both.
        let mut found = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            found[0].push(round(readers, false));
            found[1].push(round(readers, true));
        }
        let [calm, busy] = found.map(median);
        if readers == 1 {
            one = [calm, busy];
        }
        println!(
            "{readers} threads: {:7.1} M reads per thread and CPU second, × 1 thread {:.2};  \
             with a publication every ms {:7.1} M, × 1 thread {:.2}, × calm {:.3}",
            calm / 1e6,
            calm / one[0],
            busy / 1e6,
            busy / one[1],
            busy / calm
        );
    }
}

/// Reads of all threads per second of processor time that they got: on a
/// machine with other work, time on the wall says little.
fn round(readers: usize, publishing: bool) -> f64 {
    let (publisher, shared) = slot();
    publisher.publish(credential(0));
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..readers).map(|_| read(&shared, &over)).collect();
    let end = Instant::now() + ROUND;
    keep_publishing(&publisher, publishing, end);
    over.store(true, Ordering::Relaxed);
    let found = threads
        .into_iter()
        .map(|thread| thread.join().expect("a reader"));
    let (reads, seconds) = found.fold((0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    reads as f64 / seconds
}

fn read(shared: &Shared, over: &Arc<AtomicBool>) -> thread::JoinHandle<(u64, f64)> {
    let (shared, over) = (shared.clone(), over.clone());
    thread::spawn(move || {
        let reader = shared.reader();
        let mut reads = 0;
        let before = processor_time();
        while !over.load(Ordering::Relaxed) {
            for _ in 0..BATCH {
                // As a request does it: a reference of its own to what is current.
                black_box(reader.get());
            }
            reads += BATCH;
        }
        (reads, (processor_time() - before).as_secs_f64())
    })
}

fn keep_publishing(publisher: &Publisher, publishing: bool, end: Instant) {
    let mut generation = 0;
    while Instant::now() < end {
        thread::sleep(PUBLISHED_EVERY);
        if publishing {
            generation += 1;
            publisher.publish(credential(generation));
        }
    }
}

fn credential(generation: u64) -> Announced {
    Announced::Valid(Granted {
        generation,
        expiry: None,
        void_before: 0,
        token: Secret::new("t".repeat(900)),
        way: Arc::new(Bearer),
    })
}

struct Bearer;

impl Way for Bearer {
    fn attach(&self, token: &Secret) -> Result<Attach, String> {
        let text = format!("Bearer {}", token.expose());
        Ok(Attach {
            token: TokenPlace::Header {
                name: header::AUTHORIZATION,
                value: HeaderValue::try_from(text).map_err(|why| why.to_string())?,
            },
            headers: Vec::new(),
            query: Vec::new(),
        })
    }
}

/// Of the calling thread, as the scheduler counts it.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(first.expect("Linux, with the scheduler's statistics"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
