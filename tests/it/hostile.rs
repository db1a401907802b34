//! Hostile and broken input, as `tests/hostile/` has it: at the listener with a
//! recording server behind, with nginx between the two, and, to show what that
//! is good for, at the recording server itself.

mod answers;
mod arrivals;
mod caller;
mod callers;
mod corpus;
mod frames;
mod http2;
mod notation;
mod play_answers;
mod readings;
mod recorder;
mod stage;
#[path = "../../fuzz/src/strict.rs"]
mod strict;
mod upstreams;

use arrivals::Faults;
use caller::{Caller, Got};
use corpus::Then;
use notation::Expected;
use recorder::Recorder;
use stage::Stage;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use strict::Message;

fn request(what: &str, number: usize, host: &str) -> Vec<u8> {
    format!("GET /api/{what}/{number} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// What may come of a case.
#[derive(Clone, Copy)]
struct May<'c> {
    reach: &'c [Expected],
    gone: &'c [String],
}

/// True when a server that reads leniently would have served what must not be
/// served, or would have seen what it must not see.
fn gets_through_alone(recorder: &Recorder, bytes: &[u8], is_head: bool, may: May<'_>) -> bool {
    let host = recorder.address.to_string();
    let mark = recorder.mark();
    let mut caller = Caller::to(recorder.address);
    let behind = request("behind", 0, &host);
    caller.send(&[bytes, &behind].concat());
    caller.end();
    while let Got::Answer(_) = caller.next(is_head) {}
    let came = recorder.since(&mark).concat();
    let unwelcome = |message: &Message| {
        let mut message = message.clone();
        message.target = message.target.replacen("/api/", "/", 1);
        let expected = may.reach.iter().any(|e| e.is(&message, &host));
        let is_behind = message.target == "/behind/0" && message.body.is_empty();
        let has_gone = may.gone.iter().any(|name| !message.all(name).is_empty());
        has_gone || !expected && !is_behind
    };
    readings::ALL
        .iter()
        .any(|reading| reading.read(&came).iter().any(unwelcome))
}

/// Nothing went wrong, and docs/limits.md has these figures.
fn conclude(file: &str, figures: &str, faults: &[(&str, &Faults)]) {
    println!("{figures}");
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    fs::write(results, format!("{figures}\n")).unwrap();
    let lines = faults.iter().flat_map(|(with, faults)| {
        let lines = faults.lines.iter();
        lines.map(move |line| format!("{with}: {line}"))
    });
    let lines: Vec<_> = lines.collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md");
    let docs = fs::read_to_string(docs).unwrap();
    assert!(docs.contains(figures), "docs/limits.md: {figures}");
}

#[test]
fn nothing_hostile_comes_through() {
    let cases = corpus::read();
    let alone = Recorder::start();
    let host = alone.address.to_string();
    let shown = cases.iter().filter(|case| case.then == Then::GoesOn);
    let shown = shown.filter(|case| {
        let may = May {
            reach: &case.reach,
            gone: &case.gone,
        };
        gets_through_alone(&alone, &case.bytes(&host), case.is_head(), may)
    });
    let shown = shown.count();
    let (plain, nginx) = std::thread::scope(|scope| {
        let nginx = scope.spawn(|| Stage::start(true).play(&cases));
        (Stage::start(false).play(&cases), nginx.join().unwrap())
    });
    let reached = plain.reached.union(&nginx.reached).count();
    let figures = format!(
        "{} cases; {reached} came through that must not; \
         {shown} get through to a lenient server without sidekey",
        cases.len()
    );
    let faults = [("alone", &plain), ("with nginx", &nginx)];
    conclude("hostile.txt", &figures, &faults);
}

#[test]
fn nothing_hostile_comes_through_from_http2() {
    let cases = http2::read();
    let alone = Recorder::start();
    let host = alone.address.to_string();
    let shown = cases.iter().filter(|case| {
        let may = May {
            reach: &case.reach,
            gone: &case.gone,
        };
        let translated = frames::translated(&case.frames, &host);
        translated.is_some_and(|bytes| gets_through_alone(&alone, &bytes, false, may))
    });
    let shown = shown.count();
    let (plain, nginx) = std::thread::scope(|scope| {
        let nginx = scope.spawn(|| http2::play(&Stage::start(true), &cases));
        (
            http2::play(&Stage::start(false), &cases),
            nginx.join().unwrap(),
        )
    });
    let reached = plain.reached.union(&nginx.reached).count();
    let figures = format!(
        "{} cases over HTTP/2; {reached} came through that must not; \
         {shown} get through to a lenient server where they are translated word for word",
        cases.len()
    );
    let faults = [("alone", &plain), ("with nginx", &nginx)];
    conclude("hostile-http2.txt", &figures, &faults);
}

#[test]
fn nothing_hostile_comes_through_from_upstreams() {
    let cases = |folder| -> Vec<Arc<answers::Case>> {
        answers::read(folder).into_iter().map(Arc::new).collect()
    };
    let (http1, http2) = (cases("answers"), cases("answers_http2"));
    let (of_http1, of_http2) = std::thread::scope(|scope| {
        let http2 = scope.spawn(|| play_answers::play(&http2, true));
        (play_answers::play(&http1, false), http2.join().unwrap())
    });
    let figures = format!(
        "{} answers over HTTP/1.1 and {} over HTTP/2; {} reached the next request",
        http1.len(),
        http2.len(),
        of_http1.reached.len() + of_http2.reached.len()
    );
    let faults = [("HTTP/1.1", &of_http1), ("HTTP/2", &of_http2)];
    conclude("hostile-answers.txt", &figures, &faults);
}
