//! One account as the scheduler holds it: its machine, its publisher, and those
//! who wait for it.

use super::attach;
use super::cell::{Cell, Known, Seldom};
use super::fetch::Stamp;
use super::former::Former;
use super::machine::{Action, Answer, Machine, Publication, Rank, Rules};
use super::record::StoredTokens;
use super::reload::Wanted;
use super::slots::{EndpointId, Place, Slots};
use super::status::Attempt;
use super::wing::{ManualOutcome, Setup};
use crate::account::ConnectedAccount;
use crate::base::clock::{Mono, Now};
use crate::config::checked::GrantType;
use crate::token::{self, Announced, Granted, Publisher, Unavailable, Verdict, Waited};
use std::sync::Arc;
use tokio::sync::oneshot;
use url::Url;

/// An account with its machine.
pub struct Entry {
    pub account: Arc<ConnectedAccount>,
    pub endpoint: EndpointId,
    publisher: Publisher,
    /// What it was before.
    former: Former,
    pub machine: Machine,
    /// Its record is read, or was.
    pub is_started: bool,
    pub has_slot: bool,
    /// Its place among those who wait for a turn at the endpoint.
    pub place: Option<Box<Place<Rank>>>,
    pub wake: Option<Mono>,
    /// Of the client secret's file.
    pub stamp: Option<Box<Stamp>>,
    /// Where others read its status.
    pub cell: Arc<Cell>,
}

/// How to reach somebody who waits.
pub enum Reply {
    Token(oneshot::Sender<Waited>),
    Verdict(oneshot::Sender<Verdict>),
    Manual(oneshot::Sender<ManualOutcome>),
    Disconnected(oneshot::Sender<Result<Option<StoredTokens>, String>>),
}

impl Entry {
    pub fn new(setup: Setup, rules: Arc<Rules>, slots: &mut Slots<Rank>, now: Now) -> Self {
        let account = setup.account;
        let machine = Machine::new(rules, account.clone(), fastrand::u64(..));
        let cell = Cell::new(
            account.clone(),
            setup.created,
            setup.publisher.shared(),
            known(&account, &machine, now),
        );
        Self {
            endpoint: slots.endpoint(&endpoint(&account)),
            cell: Arc::new(cell),
            machine,
            account,
            publisher: setup.publisher,
            former: Former::default(),
            is_started: false,
            has_slot: false,
            place: None,
            wake: None,
            stamp: None,
        }
    }

    /// The account is this one from now on. Where its token is attached
    /// otherwise it gets another cell: what is read by routes of before must not
    /// become what only the new ones are made for.
    pub fn describe(&mut self, wanted: Wanted) {
        if self.account.attach != wanted.account.attach {
            let (publisher, _) = token::slot();
            let former = std::mem::replace(&mut self.publisher, publisher);
            self.former.add(former, self.account.attach.clone());
        }
        let shared = self.publisher.shared();
        let cell = self.cell.of(wanted.account.clone(), wanted.created, shared);
        self.cell = Arc::new(cell);
        self.machine.bind(wanted.account.clone());
        self.account = wanted.account;
    }

    /// False where the token that is held can't be written at its place.
    pub fn token_fits(&self) -> bool {
        let tokens = self.machine.tokens();
        tokens
            .is_none_or(|tokens| attach::build(&self.account.attach, &tokens.access_token).is_ok())
    }

    /// Shows workers the new state; true where a token has run out without a
    /// newer one in its place.
    pub fn publish(&mut self, now: Now, publication: Publication) -> bool {
        let served_until = match &*self.publisher.current() {
            Announced::Valid(granted) => granted.expiry,
            Announced::Unavailable(_) => None,
        };
        let is_gone = matches!(publication, Publication::Unavailable(_));
        self.tell_workers(now, publication);
        is_gone && served_until.is_some_and(|until| now.reached(until))
    }

    pub fn tell_workers(&mut self, now: Now, publication: Publication) {
        let token = self.machine.tokens().map(|tokens| &tokens.access_token);
        let published = match publication {
            Publication::Unavailable(why) => Announced::Unavailable(why),
            Publication::Token { generation, expiry } => {
                let Some(token) = token else {
                    return;
                };
                match attach::build(&self.account.attach, token) {
                    Ok(_) => Announced::Valid(Granted {
                        generation,
                        expiry,
                        void_before: self.machine.void_before(),
                        token: token.clone(),
                        way: self.account.attach.clone(),
                    }),
                    // Neither a fetched nor a stored token comes here that does not fit.
                    Err(error) => Announced::Unavailable(Unavailable::Misconfigured {
                        cause: Arc::from(error.to_string()),
                        retry_at: now.wall,
                    }),
                }
            }
        };
        self.former.publish(&published);
        self.publisher.publish(published);
    }

    /// Shows others the present status, and the last token request among these actions.
    pub fn show(&self, now: Now, actions: &[Action]) {
        let mut attempts = actions.iter().rev().filter_map(|action| match *action {
            Action::Count(trigger, outcome) => Some(Attempt {
                at: now.wall,
                trigger,
                outcome,
            }),
            _ => None,
        });
        let mut known = known(&self.account, &self.machine, now);
        known.last_attempt = attempts.next();
        self.cell.show(known);
    }
}

fn known(account: &ConnectedAccount, machine: &Machine, now: Now) -> Known {
    let tokens = machine.tokens();
    let personal = account.oauth.grant_type == GrantType::AuthorizationCode;
    let scope = tokens.and_then(|t| t.scope.as_deref());
    let is_other = |scope: &&str| account.oauth.scope.as_deref() != Some(scope);
    let seldom = Seldom {
        scope: scope.filter(is_other).map(str::to_owned),
        last_error: machine.last_error().cloned(),
    };
    Known {
        state: machine.state(now),
        expires_at: tokens.and_then(|t| t.expires_at),
        refreshed_at: tokens.map(|t| t.refreshed_at),
        generation: machine.generation(),
        has_refresh_token: tokens.is_some_and(|t| t.refresh_token.is_some()),
        reconnect_at_expiry: personal && tokens.is_some_and(|t| t.refresh_token.is_none()),
        seldom: (seldom != Seldom::default()).then(|| Box::new(seldom)),
        last_attempt: None,
        next_attempt: machine.next_attempt().map(|moment| moment.wall),
        first_attempt_ended: machine.first_attempt_ended(),
        short_life: machine.has_short_life(),
    }
}

impl Reply {
    pub fn send(self, answer: &Answer) {
        let heard = match (self, answer) {
            (Self::Token(reply), Answer::Token(waited)) => reply.send(*waited).is_ok(),
            (Self::Verdict(reply), Answer::Verdict(verdict)) => reply.send(*verdict).is_ok(),
            (Self::Manual(reply), Answer::Manual(outcome)) => reply.send(outcome.clone()).is_ok(),
            (Self::Disconnected(reply), Answer::Disconnected(outcome)) => {
                reply.send(outcome.clone()).is_ok()
            }
            // A machine answers in kind.
            _ => false,
        };
        // Whoever went away meanwhile hears nothing.
        let _ = heard;
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Self::Token(reply) => reply.is_closed(),
            Self::Verdict(reply) => reply.is_closed(),
            Self::Manual(reply) => reply.is_closed(),
            Self::Disconnected(reply) => reply.is_closed(),
        }
    }
}

/// The endpoint without its query: accounts of one server share its turns.
fn endpoint(account: &ConnectedAccount) -> String {
    let mut url = Url::clone(&account.oauth.token_endpoint);
    url.set_query(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::Entry;
    use crate::account::ConnectedAccount;
    use crate::refresh::cell::Cell;
    use crate::token::Announced;

    /// An account may take 1 KiB besides its tokens, and a process may have 100,000:
    /// what few accounts have at any time belongs in a box.
    #[test]
    fn an_account_takes_little_room() {
        let own = size_of::<Entry>() + size_of::<Cell>();
        let shared = size_of::<ConnectedAccount>() + size_of::<Announced>();
        assert!(own <= 464, "{own}");
        assert!(shared <= 168, "{shared}");
    }
}
