//! The cases of `tests/hostile/`, whose README says how they are written.

use super::notation::{self, Block, Expected, expand, joined, request};

/// One connection of a caller's.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    send: String,
    /// What may reach the upstream.
    pub reach: Vec<Expected>,
    /// Fields that may not reach it.
    pub gone: Vec<String>,
    pub status: Option<u16>,
    pub end: End,
    pub then: Then,
}

/// Whether the next request on the connection is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Open,
    Close,
    Any,
}

/// What the caller does when it has sent that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Sends a well-formed request.
    GoesOn,
    /// Sends no more, and waits.
    Waits,
    /// Sends no more, and says so.
    Ends,
}

impl Case {
    /// What is sent to a server at this address.
    pub fn bytes(&self, host: &str) -> Vec<u8> {
        expand(&self.send, host)
    }

    pub fn is_head(&self) -> bool {
        self.send.starts_with("HEAD ")
    }
}

/// Every case of every file, in order.
pub fn read() -> Vec<Case> {
    notation::read("").into_iter().map(case).collect()
}

fn case(block: Block) -> Case {
    let mut case = Case {
        name: String::new(),
        send: String::new(),
        reach: Vec::new(),
        gone: Vec::new(),
        status: None,
        end: End::Close,
        then: Then::GoesOn,
    };
    for (key, lines) in block {
        let value = lines[0].as_str();
        match (key.as_str(), value) {
            ("case", _) => case.name = value.to_owned(),
            ("rfc", _) => assert!(value.split(' ').count() == 2, "{}: {value}", case.name),
            ("send", _) => case.send = joined(&lines),
            ("reach", "nothing") | ("gets", "close") => {}
            ("reach", _) => case.reach.push(request(value)),
            ("gone", _) => case.gone = value.split(' ').map(str::to_owned).collect(),
            ("gets", _) => (case.status, case.end) = gets(value),
            ("then", "waits") => case.then = Then::Waits,
            ("then", "ends") => case.then = Then::Ends,
            _ => panic!("{}: {key} {value}", case.name),
        }
    }
    case
}

fn gets(value: &str) -> (Option<u16>, End) {
    let (status, end) = value.split_once(' ').expect("STATUS open|close|any");
    let end = match end {
        "open" => End::Open,
        "close" => End::Close,
        "any" => End::Any,
        _ => panic!("{value}"),
    };
    (Some(status.parse().unwrap()), end)
}
