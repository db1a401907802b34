//! Hostile and broken input, as `tests/hostile/` has it: at the listener with a
//! recording server behind, with nginx between the two, and, to show what that
//! is good for, at the recording server itself.

mod caller;
mod corpus;
mod readings;
mod recorder;
mod stage;
#[path = "../../fuzz/src/strict.rs"]
mod strict;

use caller::{Caller, Got};
use corpus::{Case, Then};
use recorder::Recorder;
use stage::Stage;
use std::fs;
use std::path::Path;
use strict::Message;

fn request(what: &str, number: usize, host: &str) -> Vec<u8> {
    format!("GET /api/{what}/{number} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// True when a server that reads leniently would have served what must not be
/// served, or would have seen what it must not see.
fn gets_through_alone(recorder: &Recorder, case: &Case) -> bool {
    let host = recorder.address.to_string();
    let mark = recorder.mark();
    let mut caller = Caller::to(recorder.address);
    let behind = request("behind", 0, &host);
    caller.send(&[case.bytes(&host), behind].concat());
    caller.end();
    while let Got::Answer(_) = caller.next(case.is_head()) {}
    let came = recorder.since(&mark).concat();
    let unwelcome = |message: &Message| {
        let mut message = message.clone();
        message.target = message.target.replacen("/api/", "/", 1);
        let expected = case.reach.iter().any(|e| e.is(&message, &host));
        let is_behind = message.target == "/behind/0" && message.body.is_empty();
        let has_gone = case.gone.iter().any(|name| !message.all(name).is_empty());
        has_gone || !expected && !is_behind
    };
    readings::ALL
        .iter()
        .any(|reading| reading.read(&came).iter().any(unwelcome))
}

#[test]
fn nothing_hostile_comes_through() {
    let cases = corpus::read();
    let alone = Recorder::start();
    let shown = cases.iter().filter(|case| case.then == Then::GoesOn);
    let shown = shown
        .filter(|case| gets_through_alone(&alone, case))
        .count();
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
    println!("{figures}");
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile.txt");
    fs::write(results, format!("{figures}\n")).unwrap();
    let (plain, nginx) = (plain.lines.join("\n"), nginx.lines.join("\n"));
    assert!(
        plain.is_empty() && nginx.is_empty(),
        "\n{plain}\nwith nginx:\n{nginx}"
    );
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md");
    let docs = fs::read_to_string(docs).unwrap();
    assert!(docs.contains(&figures), "docs/limits.md: {figures}");
}
