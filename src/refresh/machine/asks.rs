//! What workers and people ask for, how they are answered, and what time brings.

use super::standing::Standing;
use super::waiters::{TokenWaiter, VerdictWaiter};
use super::{Answer, Machine, Phase, WaiterId};
use crate::base::clock::Now;
use crate::refresh::wing::ManualOutcome;
use crate::telemetry::refreshes::Trigger;
use crate::token::{PassOn, RejectedStatus, Verdict, Waited};
use std::time::Duration;

/// A verdict is waited for no longer than two token requests and this.
const VERDICT_MARGIN: Duration = Duration::from_secs(5);

/// A machine is stopped with its process, or with its account.
pub(super) const STOPPED: &str = "sidekey is stopping, or looks after this account no more";

impl Machine {
    pub(super) fn token_wanted(&mut self, now: Now, id: WaiterId) {
        let refuse = self.seldom.waiters.tokens.len() >= self.rules.token_waiters;
        let waits = match &self.seldom.standing {
            _ if self.has_valid(now) => false,
            _ if self.is_joinable() => true,
            _ if self.stopping => false,
            Standing::Fine => true,
            Standing::Pausing { .. } => self
                .next
                .is_some_and(|(at, _)| now.until(at) < self.rules.token_wait),
            Standing::NotConnected | Standing::Dead { .. } | Standing::Misconfigured { .. } => {
                false
            }
        };
        if !waits || refuse {
            let answer = if waits { Waited::Refused } else { Waited::Look };
            return self.tell(vec![id], Answer::Token(answer));
        }
        let until = now.after(self.rules.token_wait);
        self.seldom
            .waiters
            .tokens
            .push_back(TokenWaiter { id, until });
        if !self.is_joinable() && matches!(self.seldom.standing, Standing::Fine) {
            self.request(Trigger::Demand);
        }
    }

    pub(super) fn rejected(
        &mut self,
        now: Now,
        id: WaiterId,
        generation: u64,
        status: RejectedStatus,
    ) {
        if let Some(verdict) = self.verdict_at_once(now, generation, status) {
            return self.tell(vec![id], Answer::Verdict(verdict));
        }
        let longest = self.rules.timeout.saturating_mul(2);
        self.seldom.waiters.verdicts.push_back(VerdictWaiter {
            id,
            generation,
            status,
            until: now.after(longest.saturating_add(VERDICT_MARGIN)),
        });
        if !self.is_joinable() {
            self.request(Trigger::Rejected);
        }
    }

    /// The verdict where no refresh has to be waited for.
    fn verdict_at_once(
        &mut self,
        now: Now,
        generation: u64,
        status: RejectedStatus,
    ) -> Option<Verdict> {
        if generation < self.generation && self.has_valid(now) {
            return Some(Verdict::Replay);
        }
        let why = if self.seldom.waiters.verdicts_full() {
            PassOn::Refused
        } else if self.is_joinable() {
            return None;
        } else if self.stopping || !self.can_refresh() {
            PassOn::Refused
        } else {
            let is_open = self.budget(status).is_open(now);
            match self.seldom.standing {
                Standing::NotConnected | Standing::Dead { .. } => PassOn::Refused,
                Standing::Misconfigured { .. } | Standing::Pausing { .. } => PassOn::RefreshFailed,
                Standing::Fine if !is_open => PassOn::Budget,
                Standing::Fine => return None,
            }
        };
        Some(Verdict::PassOn(why))
    }

    pub(super) fn replay_ended(
        &mut self,
        now: Now,
        generation: u64,
        status: RejectedStatus,
        cured: bool,
    ) {
        let budget = self.budget(status);
        if cured {
            budget.replay_cured(now, generation);
        } else {
            budget.replay_rejected(now, generation);
        }
    }

    pub(super) fn manual(&mut self, now: Now, id: WaiterId) {
        let refusal = if self.seldom.waiters.manual_full() {
            Some("too many are waiting for a refresh already".to_owned())
        } else if self.is_joinable() {
            None
        } else if self.stopping {
            Some(STOPPED.to_owned())
        } else if !self.can_refresh() || self.is_certainly_dead() {
            if !self.has_valid(now) && !self.is_certainly_dead() {
                self.cannot_refresh(now);
            }
            Some(self.why_not())
        } else {
            None
        };
        if let Some(why) = refusal {
            return self.tell(vec![id], Answer::Manual(ManualOutcome::Failed(why)));
        }
        self.seldom.waiters.manual.push(id);
        if !self.is_joinable() {
            self.request(Trigger::Manual);
        }
    }

    pub(super) fn secret_changed(&mut self) {
        if matches!(self.seldom.standing, Standing::Misconfigured { .. }) && !self.is_joinable() {
            self.request(Trigger::Scheduled);
        }
    }

    /// Begins a run now, or as soon as the outcome of the last one is stored.
    fn request(&mut self, trigger: Trigger) {
        if matches!(self.phase, Phase::Idle) {
            self.begin(trigger);
        } else {
            self.again = Some(trigger);
        }
    }

    pub(super) fn stop(&mut self, now: Now) {
        self.stopping = true;
        self.again = None;
        if matches!(self.phase, Phase::Idle | Phase::Queued) {
            self.phase = Phase::Idle;
            self.yielded = false;
            self.tell_failure(now, STOPPED, None);
            if self.store.pending.unsaved.is_some() {
                self.save();
            }
        }
    }

    /// What has come due by now.
    pub(super) fn pass_time(&mut self, now: Now) {
        let late = self.seldom.waiters.late_tokens(now);
        self.tell(late, Answer::Token(Waited::Look));
        let late = self.seldom.waiters.late_verdicts(now);
        let failed = Verdict::PassOn(PassOn::RefreshFailed);
        self.tell(late, Answer::Verdict(failed));
        if matches!(self.phase, Phase::Idle) {
            self.go_on(now);
        }
        self.let_go(now);
        let nothing_planned = matches!(self.phase, Phase::Idle) && self.next.is_none();
        if nothing_planned
            && self.first_attempt_ended
            && !self.can_refresh()
            && !self.has_valid(now)
        {
            self.cannot_refresh(now);
        }
        self.publish(now);
    }

    /// Stopped, and what was under way has ended: nothing more will come of it,
    /// whatever it was that somebody waited for.
    fn let_go(&mut self, now: Now) {
        if !self.stopping || !matches!(self.phase, Phase::Idle) {
            return;
        }
        self.yielded = false;
        if !self.seldom.waiters.is_empty() {
            self.tell_failure(now, STOPPED, None);
        }
    }

    /// Idle: begins what is to be begun.
    fn go_on(&mut self, now: Now) {
        let due = self.next.filter(|(at, _)| now.reached(*at));
        if self.seldom.disconnecting.is_wanted() {
            self.take_disconnection(now);
        } else if let Some(connected) = self.seldom.connected.take() {
            let (waiter, sent, answer) = *connected;
            self.take_connection(now, waiter, sent, answer);
        } else if let (Some(trigger), false) = (self.again.take(), self.stopping) {
            self.begin(trigger);
        } else if self.store.pending.save_at.is_some_and(|at| now.reached(at)) {
            self.save();
        } else if let (Some((_, trigger)), false) = (due, self.stopping) {
            self.begin(trigger);
        } else if self.look_wanted && !self.stopping {
            self.begin_look();
        }
    }

    /// A token has come, or was taken over: everybody is answered.
    pub(super) fn tell_success(&mut self, now: Now, same: bool) {
        let tokens = std::mem::take(&mut self.seldom.waiters.tokens);
        let ids = tokens.into_iter().map(|w| w.id).collect();
        self.tell(ids, Answer::Token(Waited::Look));
        let verdicts = std::mem::take(&mut self.seldom.waiters.verdicts);
        let is_valid = self.has_valid(now);
        let (replays, rest): (Vec<_>, Vec<_>) = verdicts
            .into_iter()
            .partition(|w| is_valid && w.generation < self.generation);
        let why = if same {
            PassOn::SameToken
        } else {
            PassOn::RefreshFailed
        };
        self.spend_budgets(now, &replays, if same { &rest } else { &[] });
        let ids = replays.into_iter().map(|w| w.id).collect();
        self.tell(ids, Answer::Verdict(Verdict::Replay));
        let ids = rest.into_iter().map(|w| w.id).collect();
        self.tell(ids, Answer::Verdict(Verdict::PassOn(why)));
        let manual = std::mem::take(&mut self.seldom.waiters.manual);
        self.tell(manual, Answer::Manual(ManualOutcome::Refreshed));
    }

    fn spend_budgets(&mut self, now: Now, replays: &[VerdictWaiter], same: &[VerdictWaiter]) {
        for status in [RejectedStatus::Unauthorized, RejectedStatus::Forbidden] {
            if same.iter().any(|w| w.status == status) {
                self.budget(status).same_token(now);
            } else if replays.iter().any(|w| w.status == status) {
                self.budget(status).refreshed(now);
            }
        }
    }

    /// No token has come. Requests that can wait for the next attempt, which
    /// begins after `pause`, go on waiting; `None`: nobody need wait.
    pub(super) fn tell_failure(&mut self, now: Now, what: &str, pause: Option<Duration>) {
        let ids = match pause {
            Some(pause) => self.seldom.waiters.tokens_gone_by(now, pause),
            None => {
                let tokens = std::mem::take(&mut self.seldom.waiters.tokens);
                tokens.into_iter().map(|w| w.id).collect()
            }
        };
        self.tell(ids, Answer::Token(Waited::Look));
        let verdicts = std::mem::take(&mut self.seldom.waiters.verdicts);
        let ids = verdicts.into_iter().map(|w| w.id).collect();
        let failed = Verdict::PassOn(PassOn::RefreshFailed);
        self.tell(ids, Answer::Verdict(failed));
        let manual = std::mem::take(&mut self.seldom.waiters.manual);
        let failed = ManualOutcome::Failed(what.to_owned());
        self.tell(manual, Answer::Manual(failed));
    }
}
