//! What the demonstration's two servers know: every token that was given, and
//! what the API saw. Success is judged by this and by nothing that sidekey says.

use super::Fault;
use super::person::Person;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Rejected requests whose second coming is watched for.
const WATCHED: usize = 64;

/// Shared by both servers.
pub struct Ledger {
    life: Duration,
    fault: Option<Fault>,
    /// The person who can connect an account, and what was given to sidekey for it.
    pub person: Person,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    tokens: Vec<Token>,
    rejected: VecDeque<Rejected>,
    counts: Counts,
}

struct Token {
    text: String,
    expires: Instant,
    revoked: bool,
}

struct Rejected {
    request: String,
    token: usize,
}

/// What was counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tokens given; the newest bears this number.
    pub issued: usize,
    /// Requests answered with a live token.
    pub accepted: u64,
    /// Requests turned away.
    pub rejected: u64,
    /// Tokens given while the one before was still good.
    pub ahead: u64,
    /// How long the one before would have lived on, for the latest of those.
    pub ahead_by: Duration,
    /// Requests turned away with a token and accepted when they came again.
    pub cured: u64,
    /// Token of the latest of those, the first time and the second.
    pub cured_from_to: (usize, usize),
}

/// What the API decides on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// With the number of its token.
    Accepted(usize),
    NoToken,
    /// Unknown, expired or revoked.
    DeadToken,
}

impl Ledger {
    pub fn new(life: Duration, fault: Option<Fault>) -> Self {
        Self {
            life,
            fault,
            person: Person::default(),
            book: Mutex::default(),
        }
    }

    /// Gives a token and its life in seconds, unless the fault says no.
    pub fn issue(&self) -> Option<(String, u64)> {
        let mut book = self.book();
        if self.fault == Some(Fault::Refresh) && book.counts.issued > 0 {
            return None;
        }
        let now = Instant::now();
        if let Some(left) = book.left_of_newest(now) {
            book.counts.ahead += 1;
            book.counts.ahead_by = left;
        }
        book.counts.issued += 1;
        let text = format!("demo-{}-{:032x}", book.counts.issued, fastrand::u128(..));
        book.tokens.push(Token {
            text: text.clone(),
            expires: now + self.life,
            revoked: false,
        });
        Some((text, self.life.as_secs()))
    }

    /// Judges a request by its `Authorization` field.
    pub fn judge(&self, request: &str, authorization: Option<&str>) -> Judgement {
        let mut book = self.book();
        let Some(text) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
            book.counts.rejected += 1;
            return Judgement::NoToken;
        };
        let number = book
            .tokens
            .iter()
            .position(|token| token.text == text)
            .map_or(0, |at| at + 1);
        if self.fault != Some(Fault::Api) && book.is_live(number) {
            book.accept(request, number);
            return Judgement::Accepted(number);
        }
        book.reject(request, number);
        Judgement::DeadToken
    }

    /// Revokes every token, without telling anybody; gives the newest's number.
    pub fn revoke_all(&self) -> usize {
        let mut book = self.book();
        for token in &mut book.tokens {
            token.revoked = true;
        }
        book.counts.issued
    }

    /// The newest token, for calling the API directly.
    pub fn newest(&self) -> Option<String> {
        self.book().tokens.last().map(|token| token.text.clone())
    }

    pub fn counts(&self) -> Counts {
        self.book().counts.clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn left_of_newest(&self, now: Instant) -> Option<Duration> {
        let newest = self.tokens.last().filter(|token| !token.revoked)?;
        newest
            .expires
            .checked_duration_since(now)
            .filter(|left| !left.is_zero())
    }

    /// `number` counts from 1.
    fn is_live(&self, number: usize) -> bool {
        let token = number.checked_sub(1).and_then(|at| self.tokens.get(at));
        token.is_some_and(|token| !token.revoked && Instant::now() < token.expires)
    }

    fn accept(&mut self, request: &str, number: usize) {
        self.counts.accepted += 1;
        let before = self
            .rejected
            .iter()
            .position(|rejected| rejected.request == request);
        if let Some(first) = before.and_then(|at| self.rejected.remove(at)) {
            self.counts.cured += 1;
            self.counts.cured_from_to = (first.token, number);
        }
    }

    fn reject(&mut self, request: &str, token: usize) {
        self.counts.rejected += 1;
        if self.rejected.len() == WATCHED {
            self.rejected.pop_front();
        }
        let request = request.to_owned();
        self.rejected.push_back(Rejected { request, token });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::{Judgement, Ledger};
    use std::time::Duration;

    fn bearer(token: &str) -> String {
        format!("Bearer {token}")
    }

    #[test]
    fn a_replay_counts_only_for_the_same_request_with_another_token() {
        let ledger = Ledger::new(Duration::from_secs(60), None);
        let first = bearer(&ledger.issue().unwrap().0);
        assert_eq!(ledger.judge("/1", Some(&first)), Judgement::Accepted(1));
        assert_eq!(ledger.revoke_all(), 1);
        assert_eq!(ledger.judge("/2", Some(&first)), Judgement::DeadToken);
        let second = bearer(&ledger.issue().unwrap().0);
        assert_eq!(ledger.counts().ahead, 0, "the one before was revoked");
        assert_eq!(ledger.judge("/3", Some(&second)), Judgement::Accepted(2));
        assert_eq!(ledger.counts().cured, 0);
        assert_eq!(ledger.judge("/2", Some(&second)), Judgement::Accepted(2));
        let counts = ledger.counts();
        assert_eq!((counts.cured, counts.cured_from_to), (1, (1, 2)));
    }

    #[test]
    fn a_token_given_in_time_counts_as_ahead() {
        let ledger = Ledger::new(Duration::from_secs(60), None);
        ledger.issue();
        assert_eq!(ledger.counts().ahead, 0);
        ledger.issue();
        assert_eq!(ledger.counts().ahead, 1);
        let late = Ledger::new(Duration::ZERO, None);
        late.issue();
        late.issue();
        assert_eq!(late.counts().ahead, 0);
    }

    #[test]
    fn faults_do_what_they_say() {
        let ledger = Ledger::new(Duration::from_secs(60), Some(Fault::Refresh));
        assert!(ledger.issue().is_some() && ledger.issue().is_none());
        let ledger = Ledger::new(Duration::from_secs(60), Some(Fault::Api));
        let token = bearer(&ledger.issue().unwrap().0);
        assert_eq!(ledger.judge("/", Some(&token)), Judgement::DeadToken);
    }

    #[test]
    fn expired_and_foreign_tokens_are_dead() {
        let ledger = Ledger::new(Duration::ZERO, None);
        let token = bearer(&ledger.issue().unwrap().0);
        assert_eq!(ledger.judge("/", Some(&token)), Judgement::DeadToken);
        assert_eq!(ledger.judge("/", Some("Bearer x")), Judgement::DeadToken);
        assert_eq!(ledger.judge("/", None), Judgement::NoToken);
    }
}
