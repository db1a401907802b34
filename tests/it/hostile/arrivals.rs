//! What came to the upstream: plain, with our token, and no more than may come.

use super::notation::Expected;
use super::readings;
use super::recorder::{self, Mark, Recorder};
use super::strict::Message;
use std::collections::BTreeSet;

/// What went wrong.
#[derive(Default)]
pub struct Faults {
    pub lines: Vec<String>,
    /// Cases of which something reached the upstream that must not.
    pub reached: BTreeSet<String>,
}

impl Faults {
    pub fn say(&mut self, case: &str, what: &str) {
        self.lines.push(format!("{case}: {what}"));
    }

    pub fn reached(&mut self, case: &str, what: &str) {
        self.reached.insert(case.to_owned());
        self.say(case, what);
    }

    /// What came to the upstream is plain, and no more than may come.
    pub fn check_arrivals(
        &mut self,
        name: &str,
        recorder: &Recorder,
        mark: &Mark,
        allowed: &Allowed<'_>,
    ) {
        for bytes in recorder.since(mark) {
            let messages = match recorder::read_all(&bytes) {
                Ok((messages, _)) => messages,
                Err(fault) => {
                    self.reached(name, &fault);
                    continue;
                }
            };
            for reading in readings::ALL {
                let others = reading.read(&bytes);
                if !others.iter().map(essence).eq(messages.iter().map(essence)) {
                    self.reached(name, &format!("two readings: {messages:?}, {others:?}"));
                }
            }
            for message in messages {
                self.check_arrival(name, &message, allowed);
            }
        }
    }

    /// Nothing of it came at any time.
    pub fn check_smuggled(&mut self, recorder: &Recorder) {
        let everything = recorder.since(&Mark::default());
        let smuggled = |bytes: &Vec<u8>| bytes.windows(13).any(|w| w == b"GET /smuggled");
        if everything.iter().any(smuggled) {
            self.reached("at last", "a smuggled request came through");
        }
    }

    fn check_arrival(&mut self, name: &str, message: &Message, allowed: &Allowed<'_>) {
        if !allowed
            .requests
            .iter()
            .any(|e| e.is(message, &allowed.host))
        {
            self.reached(name, &format!("{message:?} came through"));
        }
        for field in allowed
            .gone
            .iter()
            .filter(|field| !message.all(field).is_empty())
        {
            self.reached(name, &format!("{field} came through"));
        }
        let tokens = message.all("authorization");
        if tokens.len() != 1 || !tokens[0].starts_with(b"Bearer ") || tokens[0].len() < 10 {
            self.reached(name, &format!("{message:?} has not our token alone"));
        }
    }
}

/// What may come to the upstream of one case.
pub struct Allowed<'c> {
    pub requests: Vec<Expected>,
    /// Fields that may not.
    pub gone: &'c [String],
    /// The `Host` that it sees.
    pub host: String,
}

/// What two readings must agree on.
fn essence(message: &Message) -> (&str, &str, &[u8]) {
    (&message.method, &message.target, &message.body)
}
