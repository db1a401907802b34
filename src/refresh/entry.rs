//! One account as the scheduler holds it: its machine, its publisher, and those
//! who wait for it.

use super::attach;
use super::fetch::Stamp;
use super::machine::{Action, Answer, Machine, Publication, Rank, Rules, WaiterId};
use super::record::{self, StoredTokens};
use super::reload::Wanted;
use super::slots::{EndpointId, Place, Slots};
use super::status::{AccountStatus, Attempt};
use super::wing::{ManualOutcome, Setup};
use crate::account::ConnectedAccount;
use crate::base::clock::{Moment, Mono, Now, Wall};
use crate::config::checked::{GrantType, ParameterValue, RefreshSettings};
use crate::token::{Credential, Published, Publisher, Shared, Unavailable, Verdict, Waited};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// An account with its machine.
pub struct Entry {
    pub account: Arc<ConnectedAccount>,
    pub endpoint: EndpointId,
    publisher: Publisher,
    pub machine: Machine,
    /// Its record is read, or was.
    pub is_started: bool,
    pub has_slot: bool,
    /// Its place among those who wait for a turn at the endpoint.
    pub place: Option<Place<Rank>>,
    pub wake: Option<Mono>,
    pub waiting: HashMap<WaiterId, Reply>,
    pub stamp: Option<Stamp>,
    pub last_attempt: Option<Attempt>,
    /// Until when the token serves that workers see.
    serves_until: Option<Moment>,
    /// Where others read its status.
    pub cell: Arc<Cell>,
}

/// An account as those outside the scheduler see it.
pub struct Cell {
    pub account: Arc<ConnectedAccount>,
    pub status: ArcSwap<AccountStatus>,
    /// It was created while a process ran, and is in no configuration.
    pub created: bool,
    /// From which workers read what is published.
    pub shared: Shared,
}

/// How to reach somebody who waits.
pub enum Reply {
    Token(oneshot::Sender<Waited>),
    Verdict(oneshot::Sender<Verdict>),
    Manual(oneshot::Sender<ManualOutcome>),
    Disconnected(oneshot::Sender<Result<Option<StoredTokens>, String>>),
}

impl Entry {
    pub fn new(
        setup: Setup,
        settings: &RefreshSettings,
        owner: &Arc<str>,
        slots: &mut Slots<Rank>,
        now: Now,
    ) -> Self {
        let account = setup.account;
        let machine = Machine::new(rules(&account, settings, owner), fastrand::u64(..));
        Self {
            endpoint: slots.endpoint(&endpoint(&account)),
            cell: Arc::new(Cell {
                account: account.clone(),
                status: ArcSwap::from_pointee(status(&account, &machine, now)),
                created: setup.created,
                shared: setup.publisher.shared(),
            }),
            machine,
            account,
            publisher: setup.publisher,
            is_started: false,
            has_slot: false,
            place: None,
            wake: None,
            waiting: HashMap::new(),
            stamp: None,
            last_attempt: None,
            serves_until: None,
        }
    }

    /// The account is this one from now on, and goes by these rules.
    pub fn describe(
        &mut self,
        wanted: Wanted,
        settings: &RefreshSettings,
        owner: &Arc<str>,
    ) -> Rules {
        self.cell = Arc::new(Cell {
            account: wanted.account.clone(),
            status: ArcSwap::new(self.cell.status.load_full()),
            created: wanted.created,
            shared: self.cell.shared.clone(),
        });
        self.account = wanted.account;
        rules(&self.account, settings, owner)
    }

    /// False where the token that is held can't be written at its place.
    pub fn token_fits(&self) -> bool {
        let tokens = self.machine.tokens();
        tokens.is_none_or(|tokens| attach::build(&self.account, &tokens.access_token).is_ok())
    }

    /// Shows workers the new state; true where a token has run out without a
    /// newer one in its place.
    pub fn publish(&mut self, now: Now, publication: Publication) -> bool {
        let expiry = match &publication {
            Publication::Token { expiry, .. } => *expiry,
            Publication::Unavailable(_) => None,
        };
        let served_until = std::mem::replace(&mut self.serves_until, expiry);
        let is_gone = matches!(publication, Publication::Unavailable(_));
        self.tell_workers(now, publication);
        is_gone && served_until.is_some_and(|until| now.reached(until))
    }

    pub fn tell_workers(&self, now: Now, publication: Publication) {
        let published = match publication {
            Publication::Unavailable(why) => Published::Unavailable(why),
            Publication::Token { generation, expiry } => {
                let Some(tokens) = self.machine.tokens() else {
                    return;
                };
                match attach::build(&self.account, &tokens.access_token) {
                    Ok(attach) => Published::Valid(Arc::new(Credential {
                        generation,
                        expiry,
                        attach,
                    })),
                    // Neither a fetched nor a stored token comes here that does not fit.
                    Err(error) => Published::Unavailable(Unavailable::Misconfigured {
                        cause: Arc::from(error.to_string()),
                        retry_at: now.wall,
                    }),
                }
            }
        };
        self.publisher.publish(published);
    }

    /// Remembers the last token request among these actions.
    pub fn note(&mut self, at: Wall, actions: &[Action]) {
        for action in actions {
            if let Action::Count(trigger, outcome) = *action {
                self.last_attempt = Some(Attempt {
                    at,
                    trigger,
                    outcome,
                });
            }
        }
    }

    pub fn tell(&mut self, waiters: &[WaiterId], answer: &Answer) {
        for waiter in waiters {
            let Some(reply) = self.waiting.remove(waiter) else {
                continue;
            };
            reply.send(answer);
        }
    }

    pub fn forget_gone(&mut self) {
        self.waiting.retain(|_, reply| !reply.is_closed());
        let waiting = &self.waiting;
        self.machine
            .forget(&|waiter| !waiting.contains_key(&waiter));
    }

    /// Shows others the present status.
    pub fn show(&self, now: Now) {
        let mut status = status(&self.account, &self.machine, now);
        status.last_attempt = self.last_attempt;
        self.cell.status.store(Arc::new(status));
    }
}

fn rules(account: &ConnectedAccount, settings: &RefreshSettings, owner: &Arc<str>) -> Rules {
    let refresh = &account.integration.refresh;
    Rules {
        grant_type: account.oauth.grant_type,
        before_expiry: refresh.before_expiry,
        reuse_grace: refresh.reuse_grace,
        token_wait: settings.token_wait,
        token_waiters: settings.token_waiters,
        timeout: settings.timeout,
        owner: owner.clone(),
        binding: record::binding(account),
    }
}

fn status(account: &ConnectedAccount, machine: &Machine, now: Now) -> AccountStatus {
    let tokens = machine.tokens();
    let personal = account.oauth.grant_type == GrantType::AuthorizationCode;
    AccountStatus {
        key: account.key.clone(),
        integration: account.integration.key.clone(),
        parameters: parameters(account),
        state: machine.state(now),
        scope: tokens
            .and_then(|t| t.scope.clone())
            .or_else(|| account.oauth.scope.clone()),
        expires_at: tokens.and_then(|t| t.expires_at),
        refreshed_at: tokens.map(|t| t.refreshed_at),
        generation: machine.generation(),
        has_refresh_token: tokens.is_some_and(|t| t.refresh_token.is_some()),
        reconnect_at_expiry: personal && tokens.is_some_and(|t| t.refresh_token.is_none()),
        last_error: machine.last_error().cloned(),
        last_attempt: None,
        next_attempt: machine.next_attempt().map(|moment| moment.wall),
        first_attempt_ended: machine.first_attempt_ended(),
        short_life: machine.has_short_life(),
    }
}

impl Reply {
    fn send(self, answer: &Answer) {
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

    fn is_closed(&self) -> bool {
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
    let mut url = account.oauth.token_endpoint.clone();
    url.set_query(None);
    url.into()
}

fn parameters(account: &ConnectedAccount) -> Vec<(String, Option<String>)> {
    let parameters = account.parameters.iter();
    let shown = parameters.map(|(name, value)| match value {
        ParameterValue::Plain(text) => (name.clone(), Some(text.clone())),
        ParameterValue::Secret(_) => (name.clone(), None),
    });
    shown.collect()
}
