//! The cases of `tests/hostile/http2/`, and how they are played.

use super::arrivals::Faults;
use super::frames::{Written, code};
use super::notation::{self, Block, Expected};
use super::stage::Stage;
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PREFACE, RST_STREAM, fields, frame,
    get, settings,
};

/// Enough to learn from.
const MOST_FAULTS: usize = 60;
/// SETTINGS_HEADER_TABLE_SIZE: answers come without indices of a table.
const TABLE_SIZE: u16 = 1;

/// One connection of a caller's.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub frames: Vec<Written>,
    /// What may reach the upstream.
    pub reach: Vec<Expected>,
    /// Fields that may not reach it.
    pub gone: Vec<String>,
    gets: Gets,
    /// On this stream.
    on: u32,
    /// The first frame is not SETTINGS.
    is_bare: bool,
    /// Nothing comes but what a limit brings.
    waits: bool,
}

/// What the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    /// An answer with this status; the connection goes on.
    Answer(u16),
    /// RST_STREAM; the connection goes on.
    Reset(u32),
    /// The end of the connection, said so.
    GoAway(u32),
    /// The end, said so or not.
    End,
}

/// Every case of every file, in order.
pub fn read() -> Vec<Case> {
    notation::read("http2").into_iter().map(case).collect()
}

fn case(block: Block) -> Case {
    let mut case = Case {
        name: String::new(),
        frames: Vec::new(),
        reach: Vec::new(),
        gone: Vec::new(),
        gets: Gets::End,
        on: 1,
        is_bare: false,
        waits: false,
    };
    for (key, lines) in block {
        let value = lines[0].as_str();
        match (key.as_str(), value) {
            ("case", _) => case.name = value.to_owned(),
            ("rfc", _) => assert!(value.split(' ').count() == 2, "{}: {value}", case.name),
            ("send", _) => case.frames.push(Written::of(&lines)),
            ("reach", "nothing") => {}
            ("reach", _) => case.reach.push(notation::request(value)),
            ("gone", _) => case.gone = value.split(' ').map(str::to_owned).collect(),
            ("gets", _) => case.gets = gets(value),
            ("on", _) => case.on = value.parse().unwrap(),
            ("begins", "bare") => case.is_bare = true,
            ("then", "waits") => case.waits = true,
            _ => panic!("{}: {key} {value}", case.name),
        }
    }
    case
}

fn gets(value: &str) -> Gets {
    match value.split_once(' ') {
        Some(("reset", name)) => Gets::Reset(code(name)),
        Some(("goaway", name)) => Gets::GoAway(code(name)),
        None if value == "close" => Gets::End,
        _ => Gets::Answer(value.parse().unwrap()),
    }
}

impl Case {
    /// One that no request may use: above all others, and odd.
    fn next_stream(&self) -> u32 {
        let streams = self.frames.iter().map(Written::stream);
        ((streams.max().unwrap_or(0) & 0x7fff_ffff) + 1) | 1
    }
}

/// Says which case it was if the test dies in it.
struct Playing<'c>(&'c str);

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the case {:?}", self.0);
        }
    }
}

/// Plays all cases; those that wait for a limit all at once.
pub fn play(stage: &Stage, cases: &[Case]) -> Faults {
    let mut faults = Faults::default();
    let mark = stage.recorder.mark();
    let waiting: Vec<_> = cases.iter().filter(|case| case.waits).collect();
    let callers: Vec<_> = waiting.iter().map(|case| call(stage, case)).collect();
    let mut requests: Vec<_> = waiting.iter().flat_map(|case| case.reach.clone()).collect();
    for (number, (case, mut caller)) in waiting.iter().zip(callers).enumerate() {
        let number = format!("w{number}");
        check_answers(stage, case, &number, &mut caller, &mut faults);
        requests.push(Expected::get(&format!("/behind/{number}")));
    }
    let allowed = stage.allowed(requests, &[]);
    faults.check_arrivals("those that wait", &stage.recorder, &mark, &allowed);
    let others = cases.iter().filter(|case| !case.waits);
    for (number, case) in others.enumerate() {
        play_one(stage, case, &number.to_string(), &mut faults);
        if faults.lines.len() > MOST_FAULTS {
            break;
        }
    }
    faults.check_smuggled(&stage.recorder);
    faults
}

fn play_one(stage: &Stage, case: &Case, number: &str, faults: &mut Faults) {
    let _playing = Playing(&case.name);
    let mark = stage.recorder.mark();
    let mut caller = call(stage, case);
    check_answers(stage, case, number, &mut caller, faults);
    drop(caller);
    let mut fresh = Frames::silent(stage.sidekey.proxy);
    fresh.send([PREFACE, &settings(&[(TABLE_SIZE, 0)])].concat());
    check_next(
        stage,
        &case.name,
        &mut fresh,
        1,
        &format!("fresh/{number}"),
        faults,
    );
    let mut requests = case.reach.clone();
    requests.extend(["behind", "fresh"].map(|what| Expected::get(&format!("/{what}/{number}"))));
    let allowed = stage.allowed(requests, &case.gone);
    faults.check_arrivals(&case.name, &stage.recorder, &mark, &allowed);
}

/// Sends all there is of a case; the proxy may have closed already.
fn call(stage: &Stage, case: &Case) -> Frames {
    let host = stage.host();
    let mut caller = Frames::silent(stage.sidekey.proxy);
    let mut bytes = PREFACE.to_vec();
    if !case.is_bare {
        bytes.extend(settings(&[(TABLE_SIZE, 0)]));
    }
    let frames = case.frames.iter();
    bytes.extend(frames.flat_map(|frame| frame.bytes(&host, 0)));
    caller.try_send(bytes);
    caller
}

fn check_answers(
    stage: &Stage,
    case: &Case,
    number: &str,
    caller: &mut Frames,
    faults: &mut Faults,
) {
    let _playing = Playing(&case.name);
    let lives = matches!(case.gets, Gets::Answer(_) | Gets::Reset(_));
    let got = verdict(caller, case.on, lives);
    let fits = match (case.gets, got) {
        (Gets::End, Gets::GoAway(_) | Gets::End) => true,
        // nginx has its own opinion of what may pass.
        (Gets::Answer(_), Gets::Answer(_)) if stage.has_nginx() && !case.reach.is_empty() => true,
        (wanted, got) => wanted == got,
    };
    if !fits {
        faults.say(&case.name, &format!("{got:?} and not {:?}", case.gets));
    } else if lives {
        let what = format!("behind/{number}");
        check_next(stage, &case.name, caller, case.next_stream(), &what, faults);
    }
}

/// What came of a stream, or of a connection that is not to live on.
fn verdict(caller: &mut Frames, on: u32, lives: bool) -> Gets {
    let mut status = 0;
    while let Some(frame) = caller.next() {
        match frame.kind {
            GOAWAY => return Gets::GoAway(frame.code()),
            _ if !lives || frame.stream != on => {}
            RST_STREAM if status == 0 => return Gets::Reset(frame.code()),
            HEADERS if status == 0 => status = frame.status(),
            _ => {}
        }
        let ends = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
        if lives && frame.stream == on && ends {
            return Gets::Answer(status);
        }
    }
    Gets::End
}

/// A plain request gets its own answer.
fn check_next(
    stage: &Stage,
    case: &str,
    caller: &mut Frames,
    stream: u32,
    what: &str,
    faults: &mut Faults,
) {
    let host = stage.host();
    let head = fields(&get(&host, &format!("/api/{what}")));
    caller.try_send(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head));
    let mut body = Vec::new();
    while let Some(frame) = caller.next() {
        if frame.stream == stream && frame.kind == DATA {
            body.extend(&frame.payload);
        }
        let ends = frame.kind == RST_STREAM || frame.flags & END_STREAM != 0;
        if frame.stream == stream && ends || frame.kind == GOAWAY {
            break;
        }
    }
    if body != format!("GET /{what}").as_bytes() {
        let body = String::from_utf8_lossy(&body);
        faults.say(case, &format!("the next request ({what}): {body:?}"));
    }
}
