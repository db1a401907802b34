//! An authorization server under full control.

use super::gate::Gate;
use super::http::Request;
use super::server::{Answer, Server};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub struct AuthServer {
    pub server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    issued: Vec<Issued>,
    life: Option<u64>,
    /// Answers for the next requests.
    script: VecDeque<Answer>,
    /// The answer for all others, instead of a token.
    standing: Option<Answer>,
    held: Option<Gate>,
    same_token: bool,
}

struct Issued {
    token: String,
    until: Option<Instant>,
    revoked: bool,
}

impl AuthServer {
    /// Gives tokens that live for an hour.
    pub fn start() -> Self {
        Self::on_port(0)
    }

    pub fn on_port(port: u16) -> Self {
        let state = Arc::new(Mutex::new(State {
            issued: Vec::new(),
            life: Some(3600),
            script: VecDeque::new(),
            standing: None,
            held: None,
            same_token: false,
        }));
        let shared = state.clone();
        let server = Server::on_port(port, |_| None, move |_| lock(&shared).answer());
        Self { server, state }
    }

    pub fn endpoint(&self) -> String {
        format!("{}/token", self.server.url())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// `expires_in` of tokens from now on; `None` leaves it out.
    pub fn life(&self, seconds: Option<u64>) {
        self.state().life = seconds;
    }

    /// The next request gets this.
    pub fn next(&self, answer: Answer) {
        self.state().script.push_back(answer);
    }

    /// Every request gets this, until `recover`.
    pub fn fail(&self, answer: Answer) {
        self.state().standing = Some(answer);
    }

    pub fn recover(&self) {
        self.state().standing = None;
    }

    /// Answers wait here from now on.
    pub fn hold(&self) -> Gate {
        let gate = Gate::closed();
        self.state().held = Some(gate.clone());
        gate
    }

    /// Gives the last token again and again.
    pub fn repeat_token(&self) {
        self.state().same_token = true;
    }

    /// Token requests so far.
    pub fn count(&self) -> usize {
        self.server.count()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    pub fn tokens(&self) -> Vec<String> {
        let state = self.state();
        state.issued.iter().map(|i| i.token.clone()).collect()
    }

    pub fn token(&self) -> String {
        self.tokens().pop().expect("a token was issued")
    }

    /// From now on the upstream rejects what was issued up to here.
    pub fn revoke(&self) {
        for issued in &mut self.state().issued {
            issued.revoked = true;
        }
    }

    /// True for a token that is neither expired nor revoked.
    pub fn accepts(&self, token: &str) -> bool {
        self.state().accepts(token)
    }

    /// A check that outlives the borrow, for an upstream's closure.
    pub fn checker(&self) -> impl Fn(&Request) -> bool + Send + Sync + use<> {
        let state = self.state.clone();
        move |request| {
            let bearer = request.bearer();
            bearer.is_some_and(|token| lock(&state).accepts(token))
        }
    }

    /// An upstream that gives 200 for a live token and 401 for any other.
    pub fn upstream(&self) -> Server {
        let live = self.checker();
        Server::start(move |request| {
            if live(request) {
                Answer::ok("content")
            } else {
                Answer::rejected()
            }
        })
    }

    /// An upstream that tells what came, to whoever has a live token.
    pub fn echo(&self) -> Server {
        let live = self.checker();
        Server::start(move |request| {
            let said = format!("{} {} ", request.method, request.target);
            match live(request) {
                true => Answer::ok([said.as_bytes(), &request.body].concat()),
                false => Answer::rejected(),
            }
        })
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

impl State {
    fn accepts(&self, token: &str) -> bool {
        let now = Instant::now();
        let live = |i: &Issued| !i.revoked && i.until.is_none_or(|until| now < until);
        self.issued.iter().any(|i| i.token == token && live(i))
    }

    fn answer(&mut self) -> Answer {
        let scripted = self.script.pop_front().or_else(|| self.standing.clone());
        let answer = scripted.unwrap_or_else(|| self.issue());
        match &self.held {
            Some(gate) => answer.after(gate),
            None => answer,
        }
    }

    fn issue(&mut self) -> Answer {
        let repeated = self.issued.last().map(|i| i.token.clone());
        let token = match repeated {
            Some(token) if self.same_token => token,
            _ => new_token(self.issued.len() + 1),
        };
        let life = self.life;
        self.issued.push(Issued {
            token: token.clone(),
            until: life.map(|l| Instant::now() + Duration::from_secs(l)),
            revoked: false,
        });
        let life = life.map_or(String::new(), |l| format!(",\"expires_in\":{l}"));
        let body = format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\"{life}}}");
        Answer::json(200, &body)
    }
}

/// Holds every character that RFC 6750 allows besides letters and digits, so
/// that a slip in escaping shows.
fn new_token(number: usize) -> String {
    format!("tk{number}-._~+/{:016x}{:016x}==", random(), random())
}

fn random() -> u64 {
    fastrand::u64(..)
}
