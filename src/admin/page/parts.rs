//! The parts that change while one looks: an account's row, the summary, the
//! activity. Pages are made of them, and the event stream sends them anew.

use super::chart;
use super::say::{self, Trouble};
use super::site::Site;
use super::when::{self, As};
use crate::base::clock::Wall;
use crate::base::id::AccountKey;
use crate::refresh::{AccountState, AccountStatus, Handle, Happening};
use askama::Template;

/// Events that are listed.
const EVENTS: usize = 8;

/// Makes parts for one session.
pub struct Maker<'a> {
    pub site: &'a Site,
    pub base: &'a str,
    pub csrf: &'a str,
    pub now: Wall,
}

#[derive(Template)]
#[template(path = "row.html")]
struct RowPart<'a> {
    base: &'a str,
    csrf: &'a str,
    row: Row,
}

#[derive(Template)]
#[template(path = "summary.html")]
struct SummaryPart {
    attention: usize,
    sentence: String,
    /// Why the configuration file as it is now is not in use.
    mistakes: Option<String>,
}

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPart<'a> {
    base: &'a str,
    /// Of all accounts together.
    chart: Option<String>,
    refreshed: u64,
    failed: u64,
    expired: u64,
    show_account: bool,
    events: Vec<ShownEvent>,
}

struct ShownEvent {
    class: &'static str,
    when: String,
    account: String,
    what: String,
}

/// An account as a row.
struct Row {
    key: String,
    state: State,
    parameters: Vec<(String, String)>,
    life: Option<Life>,
    no_life: &'static str,
    last_when: String,
    last_how: String,
    next: String,
    person_needed: bool,
    connect_word: &'static str,
    can_refresh: bool,
    trouble: Option<Trouble>,
}

struct State {
    word: &'static str,
    label: &'static str,
}

struct Life {
    text: String,
    from: u64,
    until: u64,
    percent: String,
}

impl Maker<'_> {
    pub fn row(&self, account: &AccountStatus) -> String {
        let part = RowPart {
            base: self.base,
            csrf: self.csrf,
            row: self.row_of(account),
        };
        part.render().unwrap_or_default()
    }

    pub fn summary(&self, accounts: &[AccountStatus]) -> String {
        let count = |is: &dyn Fn(AccountState) -> bool| {
            accounts.iter().filter(|account| is(account.state)).count()
        };
        let attention = count(&say::needs_attention);
        let waiting = count(&|state| state == AccountState::Waiting);
        let sentence = say::summary(accounts.len(), attention, waiting);
        let part = SummaryPart {
            attention,
            sentence,
            mistakes: self.site.reloads.standing().failure().map(str::to_owned),
        };
        part.render().unwrap_or_default()
    }

    /// The chart of all accounts, and the last events of one or all.
    pub fn activity(&self, handle: &Handle, of: Option<&AccountKey>) -> String {
        let day = handle.history().day(self.now);
        let [refreshed, failed, expired] = chart::totals(&day);
        let events = handle.history().latest(of, EVENTS);
        let part = ActivityPart {
            base: self.base,
            chart: of.is_none().then(|| chart::svg(&day)),
            refreshed,
            failed,
            expired,
            show_account: of.is_none(),
            events: events.iter().map(|event| self.event(event)).collect(),
        };
        part.render().unwrap_or_default()
    }

    fn event(&self, event: &Happening) -> ShownEvent {
        let (what, class) = say::event(event.what);
        ShownEvent {
            class,
            when: when::html(event.at, self.now, As::Ago),
            account: event.account.to_string(),
            what,
        }
    }

    fn row_of(&self, account: &AccountStatus) -> Row {
        let is_personal = self.site.is_personal(&account.integration);
        let needs_person = say::needs_attention(account.state);
        let mut trouble = say::trouble(account);
        if let (Some(trouble), Some(error)) = (&mut trouble, &account.last_error) {
            trouble.when = when::html(error.at, self.now, As::Ago);
        }
        let (last_when, last_how) = self.last(account);
        Row {
            key: account.key.to_string(),
            state: State {
                word: account.state.as_str(),
                label: say::state(account.state),
            },
            parameters: parameters(account),
            life: self.life(account),
            no_life: no_life(account.state),
            last_when,
            last_how,
            next: self.next(account, is_personal),
            person_needed: is_personal && needs_person,
            connect_word: match account.state {
                AccountState::NotConnected => "Connect",
                _ => "Reconnect",
            },
            can_refresh: !is_personal || account.has_refresh_token,
            trouble,
        }
    }

    fn life(&self, account: &AccountStatus) -> Option<Life> {
        let until = account.expires_at?;
        let from = account.refreshed_at.unwrap_or(self.now);
        let (left, whole) = (until.since(self.now), until.since(from));
        let share = left.as_secs_f64() / whole.as_secs_f64().max(1.0);
        Some(Life {
            text: when::html(until, self.now, As::Left),
            from: from.unix_seconds(),
            until: until.unix_seconds(),
            percent: format!("{:.1}", 100.0 * share.clamp(0.0, 1.0)),
        })
    }

    fn last(&self, account: &AccountStatus) -> (String, String) {
        if let Some(last) = account.last_attempt {
            let how = say::attempt(last.trigger, last.outcome);
            return (when::html(last.at, self.now, As::Ago), how);
        }
        match account.refreshed_at {
            Some(at) => (when::html(at, self.now, As::Ago), String::new()),
            None => ("never".to_owned(), String::new()),
        }
    }

    fn next(&self, account: &AccountStatus, is_personal: bool) -> String {
        match account.next_attempt {
            Some(at) => when::html(at, self.now, As::In),
            None if say::needs_attention(account.state) && is_personal => {
                "after you connect".into()
            }
            None if account.reconnect_at_expiry => "none: no refresh token".into(),
            None if account.state == AccountState::Waiting => "under way".into(),
            None => "when a request needs it".into(),
        }
    }
}

/// Names and values; a secret one is masked.
pub fn parameters(account: &AccountStatus) -> Vec<(String, String)> {
    let shown = account.parameters.iter().map(|(name, value)| {
        let value = value.clone().unwrap_or_else(|| "••••••".to_owned());
        (name.clone(), value)
    });
    shown.collect()
}

fn no_life(state: AccountState) -> &'static str {
    match state {
        AccountState::Connected => "held; its life was not told",
        _ => "none",
    }
}
