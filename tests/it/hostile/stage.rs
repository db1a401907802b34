//! The program with a recording server behind, at once or behind nginx, and
//! the cases played on it.

use super::caller::{Caller, Got};
use super::corpus::{Case, End, Expected, Then};
use super::recorder::{self, Mark, Recorder};
use super::strict::Message;
use super::{readings, request};
use crate::support::real::Nginx;
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey};
use std::collections::BTreeSet;

/// Small, so that a case reaches them in no time.
const LIMITS: &str =
    "limits: {header_bytes: 8KiB, header_count: 50, uri_bytes: 2KiB, header_timeout: 3s}";
const TIMEOUT: &str = "timeout: 3s";
/// Enough to learn from; each may have taken as long as a limit allows.
const MOST_FAULTS: usize = 60;

pub struct Stage {
    sidekey: Sidekey,
    recorder: Recorder,
    nginx: Option<(Nginx, Server)>,
    _auth: AuthServer,
}

/// What went wrong.
#[derive(Default)]
pub struct Faults {
    pub lines: Vec<String>,
    /// Cases of which something reached the upstream that must not.
    pub reached: BTreeSet<String>,
}

impl Faults {
    fn say(&mut self, case: &str, what: &str) {
        self.lines.push(format!("{case}: {what}"));
    }

    fn reached(&mut self, case: &str, what: &str) {
        self.reached.insert(case.to_owned());
        self.say(case, what);
    }
}

/// What may come to the upstream of one case.
#[derive(Default)]
struct Allowed<'c> {
    requests: Vec<Expected>,
    gone: &'c [String],
}

impl Stage {
    pub fn start(with_nginx: bool) -> Self {
        let auth = AuthServer::start();
        let recorder = Recorder::start();
        let nginx = with_nginx.then(|| {
            let checker = Server::start(|_| Answer::new(204));
            (Nginx::start(checker.address, recorder.address), checker)
        });
        let upstream = nginx.as_ref().map_or(recorder.address, |(n, _)| n.address);
        let conf = Conf::at(&auth.endpoint(), &format!("http://{upstream}/"));
        let conf = conf.top(LIMITS).top("workers: {count: 1}").route(TIMEOUT);
        let sidekey = Sidekey::run(&conf.log("{level: warn, access: false}"));
        Self {
            sidekey,
            recorder,
            nginx,
            _auth: auth,
        }
    }

    /// Plays all cases; those that wait for a limit all at once.
    pub fn play(&self, cases: &[Case]) -> Faults {
        let (waiting, others): (Vec<_>, Vec<_>) =
            cases.iter().partition(|case| case.then == Then::Waits);
        let mut faults = Faults::default();
        self.play_waiting(&waiting, &mut faults);
        for (number, case) in others.into_iter().enumerate() {
            self.play_one(case, number + 1, &mut faults);
            if faults.lines.len() > MOST_FAULTS {
                break;
            }
        }
        let everything = self.recorder.since(&Mark::default());
        let smuggled = |bytes: &Vec<u8>| bytes.windows(13).any(|w| w == b"GET /smuggled");
        if everything.iter().any(smuggled) {
            faults.reached("at last", "a smuggled request came through");
        }
        faults
    }

    fn play_waiting(&self, cases: &[&Case], faults: &mut Faults) {
        let mark = self.recorder.mark();
        let callers: Vec<_> = cases.iter().map(|case| self.call(case, 0)).collect();
        for (case, mut caller) in cases.iter().zip(callers) {
            self.check_answers(case, 0, &mut caller, faults);
        }
        self.check_fresh("those that wait", 0, faults);
        let allowed = Allowed {
            requests: vec![Expected::get("/fresh/0")],
            ..Allowed::default()
        };
        self.check_arrivals("those that wait", &mark, &allowed, faults);
    }

    fn play_one(&self, case: &Case, number: usize, faults: &mut Faults) {
        let mark = self.recorder.mark();
        let mut caller = self.call(case, number);
        self.check_answers(case, number, &mut caller, faults);
        drop(caller);
        self.check_fresh(&case.name, number, faults);
        let mut requests = case.reach.clone();
        if case.end != End::Close {
            requests.push(Expected::get(&format!("/behind/{number}")));
        }
        requests.push(Expected::get(&format!("/fresh/{number}")));
        let gone = &case.gone;
        self.check_arrivals(&case.name, &mark, &Allowed { requests, gone }, faults);
    }

    fn host(&self) -> String {
        self.sidekey.proxy.to_string()
    }

    fn call(&self, case: &Case, number: usize) -> Caller {
        let host = self.host();
        let mut caller = Caller::to(self.sidekey.proxy);
        let mut bytes = case.bytes(&host);
        if case.then == Then::GoesOn {
            bytes.extend(request("behind", number, &host));
        }
        caller.send(&bytes);
        if case.then == Then::Ends {
            caller.end();
        }
        caller
    }

    fn check_answers(&self, case: &Case, number: usize, caller: &mut Caller, faults: &mut Faults) {
        let first = caller.next(case.is_head());
        if !self.is_right_answer(case, &first) {
            faults.say(&case.name, &format!("{first:?} and not {:?}", case.status));
        }
        if matches!(first, Got::End) {
            return;
        }
        let second = caller.next(false);
        let answered = second.is_answer_to(&format!("GET /behind/{number}"));
        let ended = matches!(second, Got::End);
        let fits = match case.end {
            End::Open => answered,
            End::Close => ended,
            End::Any => answered || ended,
        };
        if !fits {
            faults.say(&case.name, &format!("after the answer: {second:?}"));
        }
    }

    fn is_right_answer(&self, case: &Case, got: &Got) -> bool {
        let passes = !case.reach.is_empty() || case.then != Then::GoesOn;
        match (case.status, case.reach.first()) {
            // nginx has its own opinion of what may pass.
            (Some(_), _) if self.nginx.is_some() && passes => got.status().is_some(),
            (Some(200), Some(reach)) if !case.is_head() => {
                got.is_answer_to(&format!("{} {}", reach.method, reach.target))
            }
            (Some(status), _) => got.status() == Some(status),
            (None, _) => got.status().is_none_or(|status| status >= 400),
        }
    }

    /// A request on a new connection gets its own answer.
    fn check_fresh(&self, name: &str, number: usize, faults: &mut Faults) {
        let mut caller = Caller::to(self.sidekey.proxy);
        caller.send(&request("fresh", number, &self.host()));
        let got = caller.next(false);
        if !got.is_answer_to(&format!("GET /fresh/{number}")) {
            faults.say(name, &format!("the next request: {got:?}"));
        }
    }

    /// What came to the upstream is plain, and no more than may come.
    fn check_arrivals(&self, name: &str, mark: &Mark, allowed: &Allowed<'_>, faults: &mut Faults) {
        for bytes in self.recorder.since(mark) {
            let messages = match recorder::read_all(&bytes) {
                Ok((messages, _)) => messages,
                Err(fault) => {
                    faults.reached(name, &fault);
                    continue;
                }
            };
            for reading in readings::ALL {
                let others = reading.read(&bytes);
                if !others.iter().map(essence).eq(messages.iter().map(essence)) {
                    faults.reached(name, &format!("two readings: {messages:?}, {others:?}"));
                }
            }
            for message in messages {
                self.check_arrival(name, &message, allowed, faults);
            }
        }
    }

    fn check_arrival(
        &self,
        name: &str,
        message: &Message,
        allowed: &Allowed<'_>,
        faults: &mut Faults,
    ) {
        let host = self.host();
        if !allowed.requests.iter().any(|e| e.is(message, &host)) {
            faults.reached(name, &format!("{message:?} came through"));
        }
        // nginx says `Connection: close` of its own.
        let gone = allowed.gone.iter().filter(|_| self.nginx.is_none());
        for field in gone.filter(|field| !message.all(field).is_empty()) {
            faults.reached(name, &format!("{field} came through"));
        }
        let tokens = message.all("authorization");
        if tokens.len() != 1 || !tokens[0].starts_with(b"Bearer ") || tokens[0].len() < 10 {
            faults.reached(name, &format!("{message:?} has not our token alone"));
        }
    }
}

/// What two readings must agree on.
fn essence(message: &Message) -> (&str, &str, &[u8]) {
    (&message.method, &message.target, &message.body)
}
