//! Creating an account: choose an integration, fill in its parameters.

use super::frame::Frame;
use super::site::{Site, grant};
use crate::config::checked::{GrantType, Integration, ParameterSpec};
use crate::refresh::AccountStatus;
use askama::Template;
use std::collections::BTreeMap;

#[derive(Template)]
#[template(path = "choose.html")]
struct Choose {
    frame: Frame,
    choices: Vec<Choice>,
}

struct Choice {
    key: String,
    name: String,
    grant: &'static str,
    accounts: String,
}

#[derive(Template)]
#[template(path = "create.html")]
struct Create {
    frame: Frame,
    csrf: String,
    key: String,
    name: String,
    account: String,
    fields: Vec<Field>,
    is_personal: bool,
    errors: Vec<String>,
}

struct Field {
    name: String,
    title: String,
    hint: String,
    value: String,
    choices: Vec<String>,
    pattern: Option<String>,
    required: bool,
    secret: bool,
}

/// What a person has filled in.
#[derive(Default)]
pub struct Filled {
    pub account: String,
    /// By parameter; one that was left empty is not here.
    pub parameters: BTreeMap<String, String>,
}

/// Which integration is it to be?
pub fn choose(site: &Site, accounts: &[AccountStatus], frame: Frame) -> String {
    let choices = site.integrations.iter().map(|integration| {
        let own = accounts.iter().filter(|a| a.integration == integration.key);
        Choice {
            key: integration.key.clone(),
            name: integration.name.clone(),
            grant: grant(integration.oauth2.grant_type),
            accounts: match own.count() {
                0 => "no account yet".to_owned(),
                1 => "1 account".to_owned(),
                count => format!("{count} accounts"),
            },
        }
    });
    let page = Choose {
        choices: choices.collect(),
        frame,
    };
    page.render().unwrap_or_default()
}

/// The form, again with what was filled in where there were mistakes; secret
/// values are never sent back.
pub fn form(
    integration: &Integration,
    frame: Frame,
    filled: &Filled,
    errors: Vec<String>,
) -> String {
    let parameters = integration.parameters.iter();
    let page = Create {
        csrf: frame.csrf(),
        frame,
        key: integration.key.clone(),
        name: integration.name.clone(),
        account: filled.account.clone(),
        fields: parameters.map(|spec| Field::of(spec, filled)).collect(),
        is_personal: integration.oauth2.grant_type == GrantType::AuthorizationCode,
        errors,
    };
    page.render().unwrap_or_default()
}

impl Filled {
    /// From a form's fields.
    pub fn of(fields: &[(String, String)]) -> Self {
        let mut filled = Self::default();
        for (name, value) in fields {
            match name.strip_prefix("p.") {
                Some(name) if !value.is_empty() => {
                    filled.parameters.insert(name.to_owned(), value.clone());
                }
                None if name == "key" => filled.account = value.trim().to_owned(),
                _ => {}
            }
        }
        filled
    }
}

impl Field {
    fn of(spec: &ParameterSpec, filled: &Filled) -> Self {
        let default = spec.default.clone().filter(|_| !spec.secret);
        let given = filled.parameters.get(&spec.name).cloned();
        let value = given.filter(|_| !spec.secret).or(default);
        Self {
            name: spec.name.clone(),
            title: spec.title.clone().unwrap_or_else(|| spec.name.clone()),
            hint: hint(spec),
            value: value.unwrap_or_default(),
            choices: spec.choices.clone().unwrap_or_default(),
            pattern: spec.pattern.clone(),
            required: spec.default.is_none(),
            secret: spec.secret,
        }
    }
}

fn hint(spec: &ParameterSpec) -> String {
    let mut parts = vec![format!("Stands for {{{}}} in the integration.", spec.name)];
    if let Some(pattern) = &spec.pattern {
        parts.push(format!("Must match {pattern}."));
    }
    if spec.secret {
        parts.push("Secret: kept sealed and never shown again.".to_owned());
    }
    match &spec.default {
        Some(_) if spec.secret => parts.push("Left empty: the configuration's own.".to_owned()),
        Some(_) if spec.choices.is_some() => {}
        Some(default) => parts.push(format!("Left empty: {default}.")),
        None => {}
    }
    parts.join(" ")
}
