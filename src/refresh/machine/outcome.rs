//! How a run ends, and what follows from it.

use super::standing::Standing;
use super::{Action, Held, Level, Machine, schedule};
use crate::base::clock::{Moment, Now, Wall};
use crate::oauth::{Failure, FailureKind, TokenAnswer};
use crate::refresh::record::{AccountRecord, StoredTokens};
use crate::refresh::status::LastError;
use crate::store::StoreError;
use crate::telemetry::refreshes::{Outcome, Trigger};
use std::sync::Arc;
use std::time::Duration;

/// A client that was refused is tried again after this.
const MISCONFIGURED_PAUSE: Duration = Duration::from_mins(5);
/// A grant that is dead by inference only is tried again after this.
const DOUBTFUL_PAUSE: Duration = Duration::from_hours(1);
/// How often the record is looked at for what another process has got.
const LOOK_PAUSE: Duration = Duration::from_mins(1);
/// So many unreadable 400s and 401s in a row are taken for a refusal.
const MOST_UNREADABLE: u32 = 3;
/// A new token is not refreshed sooner, however short its life.
const CLOSEST: Duration = Duration::from_secs(1);

impl Machine {
    /// Takes a token answer in. A person's is shown once it is durable; a
    /// client's at once.
    pub(super) fn succeed(&mut self, now: Now, sent: Now, answer: TokenAnswer) {
        let old = self.held.as_ref();
        let connected_at = old.and_then(|held| held.tokens.connected_at);
        self.take_answer(now, sent, answer, connected_at);
    }

    /// The same for an answer that goes back to a connection at that time.
    pub(super) fn take_answer(
        &mut self,
        now: Now,
        sent: Now,
        answer: TokenAnswer,
        connected_at: Option<Wall>,
    ) {
        let mut fresh = self.make_held(now, sent, answer);
        fresh.tokens.connected_at = connected_at;
        let outcome = if self.is_same(&fresh) {
            Outcome::SameToken
        } else {
            Outcome::Success
        };
        self.act(Action::Count(self.trigger, outcome));
        self.store.pending.intent = None;
        self.store.pending.leased_intent = None;
        self.store.dirty = true;
        self.seldom.trouble.unreadable = 0;
        self.seldom.trouble.last_error = None;
        self.seldom.standing = Standing::Fine;
        self.seldom.fresh = Some(Box::new(fresh));
        if !self.is_personal() {
            self.install_fresh(now);
        }
        self.write_outcome();
        if self.store.usable {
            return;
        }
        self.install_fresh(now);
    }

    fn make_held(&mut self, now: Now, sent: Now, answer: TokenAnswer) -> Held {
        let random = self.dice.f64();
        let times = schedule::of_answer(sent, answer.life, self.rules.before_expiry, random);
        self.short_life = answer.life.is_some_and(|life| life < schedule::SHORT_LIFE);
        let old = self.held.as_ref().map(|h| &h.tokens);
        let is_same = old.is_some_and(|old| old.access_token == answer.access_token);
        let tokens = StoredTokens {
            access_token: answer.access_token,
            // RFC 6749, 6: none in the answer means that the old one stays good.
            refresh_token: answer
                .refresh_token
                .or_else(|| old?.refresh_token.clone())
                .filter(|_| self.is_personal()),
            scope: answer.scope.or_else(|| old?.scope.clone()),
            issued_at: sent.wall,
            expires_at: times.expiry.map(|expiry| expiry.wall),
            refreshed_at: now.wall,
            connected_at: None,
        };
        Held {
            tokens,
            times,
            generation: self.generation + u64::from(!is_same),
        }
    }

    fn is_same(&self, fresh: &Held) -> bool {
        let held = self.held.as_ref().map(|h| &h.tokens.access_token);
        held == Some(&fresh.tokens.access_token)
    }

    /// Shows the new token and answers everybody.
    pub(super) fn install_fresh(&mut self, now: Now) {
        let Some(fresh) = self.seldom.fresh.take() else {
            return;
        };
        let same = self.is_same(&fresh);
        self.tell_of(&fresh);
        self.generation = self.replaced_by(fresh.generation);
        self.held = Some(*fresh);
        self.seldom.standing = Standing::Fine;
        self.plan(now);
        self.next = self.next.map(|(at, trigger)| (no_sooner(now, at), trigger));
        self.publish(now);
        self.tell_success(now, same);
    }

    /// Streams that run on a token which an upstream has rejected learn that
    /// it is void once there is another.
    pub(super) fn replaced_by(&mut self, generation: u64) -> u64 {
        let held = self.generation;
        let mut rejected = self.seldom.waiters.verdicts.iter().map(|w| w.generation);
        if generation > held && rejected.any(|generation| generation == held) {
            self.void_before = generation;
        }
        generation
    }

    fn tell_of(&mut self, fresh: &Held) {
        if self.held.is_none() {
            self.log(Level::Info, "has its first token");
            if self.short_life {
                self.log(
                    Level::Warn,
                    "its tokens live less than 5 minutes: that works, but a slow authorization server will be noticed; ask for longer ones if you can",
                );
            }
        } else if self.last_failed() {
            self.log(Level::Info, "has a new token again");
        }
        if self.is_personal() && fresh.tokens.refresh_token.is_none() {
            self.log(
                Level::Warn,
                "the authorization server gave no refresh token: this account will need reconnecting when its token expires; usually a scope such as offline_access or a parameter such as access_type=offline brings one",
            );
        }
    }

    /// Takes a failure in: what it means, when the next attempt is, who is told.
    pub(super) fn fail(&mut self, now: Now, failure: Failure) {
        let outcome = self.judge(now, &failure);
        self.act(Action::Count(self.trigger, outcome));
        let what = match &self.seldom.standing {
            Standing::Dead { cause, .. } if outcome == Outcome::Dead => cause.to_string(),
            _ => failure.what,
        };
        let level = match outcome {
            Outcome::Dead => Level::Error,
            _ => Level::Warn,
        };
        self.log(level, what.clone());
        self.seldom.trouble.last_error = Some(LastError { at: now.wall, what });
        self.first_attempt_ended |= outcome != Outcome::Transient;
        self.publish(now);
        let what = self
            .seldom
            .trouble
            .last_error
            .as_ref()
            .map_or(String::new(), |e| e.what.clone());
        let pause = (outcome == Outcome::Transient)
            .then(|| self.next.map(|(at, _)| now.until(at)))
            .flatten();
        self.tell_failure(now, &what, pause);
    }

    fn judge(&mut self, now: Now, failure: &Failure) -> Outcome {
        match failure.kind {
            FailureKind::Unreadable => {
                self.seldom.trouble.unreadable = self.seldom.trouble.unreadable.saturating_add(1)
            }
            FailureKind::Dead | FailureKind::Misconfigured => self.seldom.trouble.unreadable = 0,
            // Says nothing about the grant, neither way.
            FailureKind::Transient => {}
        }
        let refused = self.seldom.trouble.unreadable >= MOST_UNREADABLE;
        let what = failure.what.as_str();
        match failure.kind {
            FailureKind::Dead if self.is_personal() => {
                let cause = self.death(now, what);
                self.die(now, cause, true)
            }
            FailureKind::Unreadable if refused && self.is_personal() => {
                let cause = format!(
                    "{what}; so it went {} times in a row: connect this account again",
                    self.seldom.trouble.unreadable
                );
                self.die(now, cause, false)
            }
            FailureKind::Unreadable if refused => self.misconfigured(now, what),
            FailureKind::Misconfigured | FailureKind::Dead => self.misconfigured(now, what),
            FailureKind::Transient | FailureKind::Unreadable => {
                self.pause(now, what, failure.retry_after)
            }
        }
    }

    fn pause(&mut self, now: Now, what: &str, retry_after: Option<Duration>) -> Outcome {
        if matches!(self.seldom.standing, Standing::Dead { .. }) {
            self.look_again(now);
            return Outcome::Transient;
        }
        let pause = self.seldom.trouble.pauses.next(self.dice.f64());
        let pause = retry_after.map_or(pause, |asked| {
            // A fleet that was sent away together should not come back together.
            asked.max(pause) + Duration::from_secs(1).mul_f64(self.dice.f64())
        });
        let retry_at = now.after(pause);
        self.seldom.standing = Standing::Pausing {
            cause: Arc::from(what),
            retry_at: retry_at.wall,
        };
        self.next = Some((retry_at, self.follow_up()));
        Outcome::Transient
    }

    fn misconfigured(&mut self, now: Now, what: &str) -> Outcome {
        let retry_at = now.after(self.earlier(MISCONFIGURED_PAUSE));
        self.seldom.standing = Standing::Misconfigured {
            cause: Arc::from(what),
            retry_at: retry_at.wall,
        };
        self.next = Some((retry_at, self.follow_up()));
        Outcome::Misconfigured
    }

    fn die(&mut self, now: Now, cause: String, certain: bool) -> Outcome {
        self.seldom.standing = Standing::Dead {
            cause: Arc::from(cause),
            certain,
        };
        self.look_again(now);
        Outcome::Dead
    }

    /// Why the grant is dead, where it matters with the times of a lost answer.
    fn death(&self, now: Now, what: &str) -> String {
        match self.store.pending.lost_since {
            Some(since) => format!(
                "rotation_answer_lost: the answer to the refresh begun at {} was lost, and at {} the old refresh token was refused: connect this account again",
                rfc3339(since),
                rfc3339(now.wall)
            ),
            None => what.to_owned(),
        }
    }

    /// What an attempt after this one is called.
    fn follow_up(&self) -> Trigger {
        match self.held {
            None => Trigger::Initial,
            Some(_) => Trigger::Scheduled,
        }
    }

    /// Nothing is under way and nothing is wrong: what comes next?
    pub(super) fn plan(&mut self, now: Now) {
        self.seldom.trouble.pauses.reset();
        let held = self.held.as_ref();
        let due = held.and_then(|h| h.times.due);
        let is_valid = held.is_some_and(|h| h.is_valid(now));
        self.first_attempt_ended |= is_valid;
        self.next = None;
        if self.is_certainly_dead() {
            self.first_attempt_ended = true;
            self.look_again(now);
        } else if self.can_refresh() {
            self.next = if is_valid {
                due.map(|due| (due, Trigger::Scheduled))
            } else {
                Some((now.after(Duration::ZERO), self.follow_up()))
            };
        } else if !is_valid {
            self.first_attempt_ended = true;
            self.cannot_refresh(now);
        }
    }

    /// No valid token, and none can be had without a person.
    pub(super) fn cannot_refresh(&mut self, now: Now) {
        self.seldom.standing = match self.held {
            None => Standing::NotConnected,
            Some(_) => Standing::Dead {
                cause: Arc::from(
                    "the token has expired, and the authorization server gave no refresh token: connect this account again",
                ),
                certain: true,
            },
        };
        self.look_again(now);
    }

    /// Nothing can be asked of the server (or not for long): look for what
    /// another process may have got.
    fn look_again(&mut self, now: Now) {
        let pause = match self.seldom.standing {
            Standing::Dead { certain: false, .. } => DOUBTFUL_PAUSE,
            _ => LOOK_PAUSE,
        };
        self.next = Some((now.after(self.earlier(pause)), Trigger::Scheduled));
    }

    /// The pause, or up to a tenth less.
    fn earlier(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(1.0 - 0.1 * self.dice.f64())
    }

    pub(super) fn adopt_standing(&mut self, record: &AccountRecord) {
        self.seldom.standing = match &record.dead {
            Some(cause) => Standing::Dead {
                cause: Arc::from(cause.as_str()),
                certain: true,
            },
            None => Standing::Fine,
        };
        let error = record.last_error.clone();
        self.seldom.trouble.last_error = error.map(|(at, what)| LastError { at, what });
    }

    pub(super) fn is_certainly_dead(&self) -> bool {
        matches!(self.seldom.standing, Standing::Dead { certain: true, .. })
    }

    pub(super) fn certain_death(&self) -> Option<String> {
        match &self.seldom.standing {
            Standing::Dead {
                cause,
                certain: true,
            } => Some(cause.to_string()),
            _ => None,
        }
    }

    /// Why no token can be fetched, in words.
    pub(super) fn why_not(&self) -> String {
        match &self.seldom.standing {
            Standing::Dead { cause, .. } | Standing::Misconfigured { cause, .. } => {
                cause.to_string()
            }
            Standing::NotConnected => {
                "nobody has connected this account yet: connect it first".to_owned()
            }
            Standing::Fine | Standing::Pausing { .. } => {
                "the authorization server gave no refresh token".to_owned()
            }
        }
    }

    fn last_failed(&self) -> bool {
        !matches!(self.seldom.standing, Standing::Fine)
    }
}

/// A store that can't be used, as a failed refresh.
pub(super) fn store_failure(error: &StoreError) -> Failure {
    let kind = match error {
        StoreError::Unreadable(_) => FailureKind::Misconfigured,
        StoreError::Conflict | StoreError::Unavailable(_) => FailureKind::Transient,
    };
    let what = format!("{error}; without it a refresh token may be lost, so none is sent");
    Failure::new(kind, what)
}

fn no_sooner(now: Now, at: Moment) -> Moment {
    if now.until(at) < CLOSEST {
        now.after(CLOSEST)
    } else {
        at
    }
}

fn rfc3339(at: Wall) -> String {
    let seconds = i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("{seconds} s after 1970"), |t| t.to_string())
}
