//! Connected accounts: an integration each, with its parameters filled in.

use super::inputs::{Input, Shape};
use super::integrations::IntegrationDraft;
use super::parameters::Parameter;
use crate::base::hosts::is_loopback;
use crate::base::id::{AccountKey, InvalidKey};
use crate::base::secret::Secret;
use crate::config::checked::{Account, GrantType, ParameterValue};
use crate::config::keys::table::route::ACCOUNT;
use crate::config::mistakes::Mistake;
use crate::config::reader::{Reader, listed};
use crate::config::scalar::{Context, Scalar, resolve};
use crate::config::written::Place;
use std::collections::HashMap;
use std::sync::Arc;

/// An account on its way: what routes need to be checked against, also where
/// it has mistakes of its own.
pub(super) struct AccountDraft {
    /// As written; empty if it isn't.
    pub key: String,
    pub place: Place,
    /// Which of the integrations, if it is one.
    pub integration: Option<usize>,
    pub values: Values,
    /// `None` where a mistake was reported.
    pub built: Option<Account>,
}

/// The values of an account's parameters, each once; those written have their places.
#[derive(Default)]
pub(super) struct Values(Vec<(String, ParameterValue, Option<Place>)>);

impl Values {
    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|(_, value, _)| value.text())
    }

    fn place(&self, name: &str) -> Option<Place> {
        self.find(name).and_then(|(_, _, place)| *place)
    }

    fn find(&self, name: &str) -> Option<&(String, ParameterValue, Option<Place>)> {
        self.0.iter().find(|(known, ..)| known == name)
    }

    fn insert(&mut self, parameter: &Parameter, text: String, place: Option<Place>) {
        let value = match parameter.spec.secret {
            true => ParameterValue::Secret(Secret::new(text)),
            false => ParameterValue::Plain(text),
        };
        // Few, and of very many accounts: exactly as much room as they need.
        self.0.reserve_exact(1);
        self.0.push((parameter.spec.name.clone(), value, place));
    }
}

/// All of them; there may be many, so they are found by their keys.
#[derive(Default)]
pub(super) struct Accounts {
    pub drafts: Vec<AccountDraft>,
    by_key: HashMap<String, usize>,
}

impl Accounts {
    /// True where there is an account of this key.
    pub fn has(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    /// The account of this key.
    pub fn of(&self, key: &str) -> Option<&AccountDraft> {
        self.by_key.get(key).map(|at| &self.drafts[*at])
    }

    /// The keys of those of one integration.
    pub fn of_integration(&self, at: usize) -> impl Iterator<Item = &str> {
        let of = move |draft: &&AccountDraft| draft.integration == Some(at);
        self.drafts
            .iter()
            .filter(of)
            .map(|draft| draft.key.as_str())
    }

    /// The account that a scalar names; reports an unknown one.
    pub fn find(&self, ctx: &Context<'_>, name: &Scalar) -> Option<&AccountDraft> {
        let found = self.by_key.get(&name.text);
        if found.is_none() {
            let names = || self.drafts.iter().map(|draft| draft.key.as_str());
            let what = format!("no such account: {}", name.named());
            report_unknown(ctx, name, what, &mut names());
        }
        found.map(|at| &self.drafts[*at])
    }

    /// False where there is one of the same key.
    fn add(&mut self, draft: AccountDraft) -> bool {
        let at = self.drafts.len();
        let is_first = *self.by_key.entry(draft.key.clone()).or_insert(at) == at;
        self.drafts.push(draft);
        is_first
    }
}

pub(super) fn read(root: &Reader<'_, '_>, integrations: &[IntegrationDraft]) -> Accounts {
    let mut accounts = Accounts::default();
    for node in root.list("accounts") {
        let Some(reader) = Reader::open(root.ctx, &ACCOUNT, node, node.place()) else {
            continue;
        };
        let draft = account(&reader, integrations);
        let key = draft.key.clone();
        if !accounts.add(draft) && !key.is_empty() {
            let what = format!("a second account with the key `{key}`");
            let mistake = Mistake::error(reader.value_place("key"), what);
            root.ctx.report(mistake.expected("a unique key"));
        }
    }
    accounts
}

/// What a person has connected is gone with the process that holds it.
pub(super) fn warn_of_memory(ctx: &Context<'_>, accounts: &Accounts) {
    for draft in &accounts.drafts {
        let Some(built) = &draft.built else {
            continue;
        };
        if built.integration.oauth2.grant_type == GrantType::AuthorizationCode {
            let what = format!(
                "account `{}` has to be connected again after every start: `store` is `memory: true`",
                draft.key
            );
            ctx.report(Mistake::warning(draft.place, what));
        }
    }
}

fn account(reader: &Reader<'_, '_>, integrations: &[IntegrationDraft]) -> AccountDraft {
    let written = reader.text("key");
    let key = written.as_ref().and_then(|k| account_key(reader.ctx, k));
    let integration = reader
        .text("integration")
        .and_then(|name| find_integration(reader.ctx, integrations, &name));
    let mut draft = AccountDraft {
        key: written.map(|k| k.text).unwrap_or_default(),
        place: reader.value_place("key"),
        integration,
        values: Values::default(),
        built: None,
    };
    let Some(integration) = integration.and_then(|index| integrations.get(index)) else {
        return draft;
    };
    draft.values = values(reader, integration, &draft.key);
    for input in integration.inputs.iter().filter(|input| !input.is_fixed()) {
        check_input(reader, &draft, input);
    }
    for input in &integration.inputs {
        warn_of_plaintext(reader.ctx, &draft.values, input, integration);
    }
    draft.built = key.and_then(|key| {
        let values = draft.values.0.iter();
        Some(Account {
            key,
            integration: Arc::clone(integration.built.as_ref()?),
            parameters: values
                .map(|(name, value, _)| (name.clone(), value.clone()))
                .collect(),
        })
    });
    draft
}

pub(super) fn account_key(ctx: &Context<'_>, written: &Scalar) -> Option<AccountKey> {
    match AccountKey::new(&written.text) {
        Ok(key) => Some(key),
        Err(InvalidKey) => {
            let what = format!("{} can't be an account's key", written.named());
            let mistake = Mistake::error(written.place, what);
            ctx.report(mistake.expected("1 to 128 letters, digits, `-` and `_`"));
            None
        }
    }
}

pub(super) fn find_integration(
    ctx: &Context<'_>,
    integrations: &[IntegrationDraft],
    name: &Scalar,
) -> Option<usize> {
    let found = integrations.iter().position(|draft| draft.key == name.text);
    if found.is_none() {
        let names = || integrations.iter().map(|draft| draft.key.as_str());
        let what = format!("no such integration: {}", name.named());
        report_unknown(ctx, name, what, &mut names());
    }
    found
}

pub(super) fn report_unknown(
    ctx: &Context<'_>,
    name: &Scalar,
    what: String,
    names: &mut dyn Iterator<Item = &str>,
) {
    const SHOWN: usize = 12;
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    let expected = match names.len() {
        0 => "one that is declared; there are none".to_owned(),
        1..=SHOWN => listed(names.iter().copied()),
        _ => "one that is declared".to_owned(),
    };
    let mistake = Mistake::error(name.place, what).expected(expected);
    ctx.report(mistake.did_you_mean(&name.text, names));
}

fn values(reader: &Reader<'_, '_>, integration: &IntegrationDraft, key: &str) -> Values {
    let mut values = Values::default();
    let mut given = Vec::new();
    for (word, node) in reader.pairs("parameters") {
        let declared = &integration.parameters;
        let Some(parameter) = declared.iter().find(|p| p.spec.name == word.text) else {
            // Reports it; a value is no use of a parameter.
            integration
                .declared()
                .check(reader.ctx, &word.text, word.place);
            continue;
        };
        given.push(&parameter.spec.name);
        if let Some(value) = resolve(reader.ctx, node, parameter.spec.secret) {
            parameter.check(reader.ctx, &value);
            values.insert(parameter, value.text, Some(value.place));
        }
    }
    for parameter in &integration.parameters {
        if given.contains(&&parameter.spec.name) {
            continue;
        }
        match &parameter.spec.default {
            Some(default) => values.insert(parameter, default.clone(), None),
            None => {
                let what = format!("account `{key}` lacks parameter `{}`", parameter.spec.name);
                let mistake = Mistake::error(reader.key_place("parameters"), what);
                let expected = format!("a value, for integration `{}`", integration.key);
                reader.ctx.report(mistake.expected(expected));
            }
        }
    }
    values
}

fn check_input(reader: &Reader<'_, '_>, draft: &AccountDraft, input: &Input) {
    let Err(error) = input.check_values(&|name| draft.values.get(name)) else {
        return;
    };
    let parameter = error.parameter.as_deref();
    // Without a value: that is reported already, as missing or unknown.
    if parameter.is_some_and(|name| draft.values.get(name).is_none()) {
        return;
    }
    let place = parameter.and_then(|name| draft.values.place(name));
    let place = place.unwrap_or_else(|| reader.value_place("key"));
    let what = format!("account `{}`: {}: {}", draft.key, input.label, error.what);
    reader.ctx.report(Mistake::error(place, what));
}

fn warn_of_plaintext(
    ctx: &Context<'_>,
    values: &Values,
    input: &Input,
    integration: &IntegrationDraft,
) {
    let Shape::Url(template) = &input.shape else {
        return;
    };
    let Ok(url) = template.expand(&|name| values.get(name)) else {
        return;
    };
    let sends_secret = input.label == "oauth2.token_endpoint";
    let built = integration.built.as_ref();
    let way = built.and_then(|built| built.oauth2.proxy.as_ref());
    let proxy = way.and_then(|way| way.choose_for(&url));
    let is_far = !is_loopback(url.host_str().unwrap_or_default())
        || proxy.is_some_and(|proxy| !is_loopback(&proxy.host));
    if sends_secret && url.scheme() == "http" && is_far {
        let what = "the client secret and the token travel over plain HTTP";
        ctx.report(Mistake::warning(input.from.place, what));
    }
}
