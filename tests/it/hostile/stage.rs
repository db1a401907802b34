//! The program with a recording server behind, at once or behind nginx, and
//! the cases played on it.

use super::arrivals::{Allowed, Faults};
use super::caller::{Caller, Got};
use super::corpus::{Case, End, Then};
use super::notation::Expected;
use super::recorder::Recorder;
use super::request;
use crate::support::real::Nginx;
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey};

/// Small, so that a case reaches them in no time.
const LIMITS: &str = "limits: {header_bytes: 8KiB, header_count: 50, uri_bytes: 2KiB, header_timeout: 3s, \
     idle_timeout: 30s}";
const TIMEOUT: &str = "timeout: 3s";
/// Enough to learn from; each may have taken as long as a limit allows.
const MOST_FAULTS: usize = 60;

pub struct Stage {
    pub sidekey: Sidekey,
    pub recorder: Recorder,
    nginx: Option<(Nginx, Server)>,
    _auth: AuthServer,
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
        faults.check_smuggled(&self.recorder);
        faults
    }

    fn play_waiting(&self, cases: &[&Case], faults: &mut Faults) {
        let mark = self.recorder.mark();
        let callers: Vec<_> = cases.iter().map(|case| self.call(case, 0)).collect();
        for (case, mut caller) in cases.iter().zip(callers) {
            self.check_answers(case, 0, &mut caller, faults);
        }
        self.check_fresh("those that wait", 0, faults);
        let requests = vec![Expected::get("/fresh/0")];
        let allowed = self.allowed(requests, &[]);
        faults.check_arrivals("those that wait", &self.recorder, &mark, &allowed);
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
        let allowed = self.allowed(requests, &case.gone);
        faults.check_arrivals(&case.name, &self.recorder, &mark, &allowed);
    }

    pub fn allowed<'c>(&self, requests: Vec<Expected>, gone: &'c [String]) -> Allowed<'c> {
        Allowed {
            requests,
            // nginx says `Connection: close` of its own.
            gone: if self.nginx.is_some() { &[] } else { gone },
            host: self.host(),
        }
    }

    pub fn has_nginx(&self) -> bool {
        self.nginx.is_some()
    }

    pub fn host(&self) -> String {
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
}
