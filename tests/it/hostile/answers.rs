//! The cases of `tests/hostile/answers/` and `answers_http2/`: what upstreams
//! answer, and what may come of it.

use super::frames::Written;
use super::notation::{self, Block, expand, joined};

/// One answer of an upstream's.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// The method of the request.
    pub ask: String,
    send: String,
    frames: Vec<Written>,
    /// What comes unasked once the caller has its answer.
    pub late: Option<String>,
    /// Any of these is right.
    pub gets: Vec<Outcome>,
    /// Fields that the caller may not see.
    pub gone: Vec<String>,
    /// The upstream closes when it has sent that.
    pub closes: bool,
    /// What is sent again is answered well.
    pub once: bool,
}

/// What the caller gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer, with this body if it is the upstream's.
    Answer(u16, Option<Vec<u8>>),
    /// An answer that is seen to break off.
    Cut,
}

/// Every case of every file in that folder, in order.
pub fn read(folder: &str) -> Vec<Case> {
    notation::read(folder).into_iter().map(case).collect()
}

impl Case {
    /// What is sent in answer to a request on a stream, if there are streams.
    pub fn bytes(&self, stream: u32) -> Vec<u8> {
        let frames = self.frames.iter();
        let frames = frames.flat_map(|frame| frame.bytes("", stream));
        expand(&self.send, "").into_iter().chain(frames).collect()
    }
}

fn case(block: Block) -> Case {
    let mut case = Case {
        name: String::new(),
        ask: "GET".into(),
        send: String::new(),
        frames: Vec::new(),
        late: None,
        gets: Vec::new(),
        gone: Vec::new(),
        closes: false,
        once: false,
    };
    for (key, lines) in block {
        let value = lines[0].as_str();
        match (key.as_str(), value) {
            ("case", _) => case.name = value.to_owned(),
            ("rfc", _) => assert!(value.split(' ').count() == 2, "{}: {value}", case.name),
            ("ask", _) => case.ask = value.to_owned(),
            ("send", _) => case.send = joined(&lines),
            ("frame", _) => case.frames.push(Written::of(&lines)),
            ("late", _) => case.late = Some(joined(&lines)),
            ("gets", _) => case.gets.push(outcome(value)),
            ("gone", _) => case.gone = value.split(' ').map(str::to_owned).collect(),
            ("then", "closes") => case.closes = true,
            ("then", "once") => case.once = true,
            _ => panic!("{}: {key} {value}", case.name),
        }
    }
    case
}

fn outcome(value: &str) -> Outcome {
    if value == "cut" {
        return Outcome::Cut;
    }
    let (status, body) = value.split_once(' ').unwrap_or((value, ""));
    // The body of a refusal is sidekey's.
    let body = (status != "502").then(|| expand(body, ""));
    Outcome::Answer(status.parse().unwrap(), body)
}
