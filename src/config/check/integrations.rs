//! Integrations and their parameters.

use super::inputs::{Declared, Input, Shape};
use super::outgoing::{Proxies, Way};
use super::parameters::Parameter;
use super::{oauth2, parameters, reach};
use crate::base::client_tls::ClientTls;
use crate::base::template::Template;
use crate::config::checked::{
    GRPC_UNAUTHENTICATED, Integration, Placement, RefreshRules, RequestParameter, TokenTemplate,
};
use crate::config::keys::table::integration::{GRPC, INTEGRATION, REQUEST_PARAMETER};
use crate::config::mistakes::Mistake;
use crate::config::reader::{Located, Reader};
use crate::config::scalar::{Context, Scalar};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An integration on its way: what accounts and routes need to be checked
/// against, also where it has mistakes of its own.
pub(super) struct IntegrationDraft {
    /// As written; empty if it isn't.
    pub key: String,
    pub parameters: Vec<Parameter>,
    pub inputs: Vec<Input>,
    pub used: RefCell<BTreeSet<String>>,
    /// For the upstreams of its routes.
    pub tls: Option<Arc<ClientTls>>,
    /// For those likewise.
    pub proxy: Way,
    /// `None` where a mistake was reported.
    pub built: Option<Arc<Integration>>,
}

impl IntegrationDraft {
    /// The declared parameters.
    pub fn declared(&self) -> Declared<'_> {
        Declared {
            integration: &self.key,
            names: self
                .parameters
                .iter()
                .map(|p| p.spec.name.as_str())
                .collect(),
            used: &self.used,
        }
    }
}

pub(super) fn read(root: &Reader<'_, '_>, proxies: &Proxies) -> Vec<IntegrationDraft> {
    let mut drafts: Vec<IntegrationDraft> = Vec::new();
    for node in root.list("integrations") {
        let Some(reader) = Reader::open(root.ctx, &INTEGRATION, node, node.place()) else {
            continue;
        };
        let draft = integration(&reader, proxies);
        if !draft.key.is_empty() && drafts.iter().any(|d| d.key == draft.key) {
            let what = format!("a second integration with the key `{}`", draft.key);
            let mistake = Mistake::error(reader.value_place("key"), what);
            root.ctx.report(mistake.expected("a unique key"));
        }
        drafts.push(draft);
    }
    drafts
}

fn integration(reader: &Reader<'_, '_>, proxies: &Proxies) -> IntegrationDraft {
    let ctx = reader.ctx;
    let written = reader.text("key");
    let key = written.as_ref().and_then(|written| key(ctx, written));
    let name = reader.text("name");
    let parameters = parameters::read(reader);
    let mut inputs = Vec::new();
    let oauth2 = match reader.node("oauth2") {
        Some(_) => reader.section("oauth2"),
        None => None,
    };
    let oauth2 = oauth2.and_then(|oauth2| oauth2::read(&oauth2, &mut inputs, proxies));
    let token = token(reader, &mut inputs);
    let request_parameters = request_parameters(reader, &mut inputs);
    let refresh = refresh(reader);
    let mut draft = IntegrationDraft {
        key: written.map(|written| written.text).unwrap_or_default(),
        parameters,
        inputs,
        used: RefCell::default(),
        tls: reach::tls(reader),
        proxy: proxies.of(reader, &proxies.upstreams),
        built: None,
    };
    check_inputs(ctx, &draft);
    check_repeated_headers(ctx, &draft);
    let specs = draft.parameters.iter().map(|p| p.spec.clone()).collect();
    draft.built = (|| {
        let key = key?;
        Some(Arc::new(Integration {
            name: name.map_or_else(|| key.clone(), |name| name.text),
            key,
            parameters: specs,
            oauth2: oauth2?,
            token: token?,
            request_parameters,
            refresh: refresh?,
        }))
    })();
    draft
}

fn key(ctx: &Context<'_>, written: &Scalar) -> Option<String> {
    let fits = (1..=128).contains(&written.text.len());
    if fits && written.text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Some(written.text.clone());
    }
    let what = format!("{} can't be an integration's key", written.named());
    let mistake = Mistake::error(written.place, what);
    ctx.report(mistake.expected("1 to 128 letters and digits"));
    None
}

fn check_inputs(ctx: &Context<'_>, draft: &IntegrationDraft) {
    let declared = draft.declared();
    for input in &draft.inputs {
        input.check_parameters(ctx, &declared);
        if input.is_fixed()
            && let Err(error) = input.check_values(&|_| None)
        {
            let what = format!("{}: {}", input.label, error.what);
            ctx.report(Mistake::error(input.from.place, what));
        }
    }
}

/// Two values for one header: only one would be meant.
fn check_repeated_headers(ctx: &Context<'_>, draft: &IntegrationDraft) {
    let mut seen: Vec<String> = Vec::new();
    for input in &draft.inputs {
        if let Shape::HeaderName(_) = input.shape {
            let name = input.from.text.to_ascii_lowercase();
            if seen.contains(&name) {
                let what = format!("the header {} is set twice", input.from.named());
                ctx.report(Mistake::error(input.from.place, what));
            }
            seen.push(name);
        }
    }
}

fn placement(reader: &Reader<'_, '_>) -> Placement {
    match reader.choice("in") {
        "query" => Placement::Query,
        _ => Placement::Header,
    }
}

fn token(reader: &Reader<'_, '_>, inputs: &mut Vec<Input>) -> Option<TokenTemplate> {
    let token = reader.section("token")?;
    let place = placement(&token);
    let name = match token.node("name") {
        Some(_) => token.template("name"),
        None => default_name(&token, place),
    };
    let value = match token.node("value") {
        Some(_) => token.template("value"),
        None => token.template_of(match place {
            Placement::Header => "Bearer {token}",
            Placement::Query => "{token}",
        }),
    };
    if let Some(name) = &name {
        inputs.push(name_input("token.name", place, name));
    }
    let value = value?;
    if !value.value.parameters().any(|name| name == "token") {
        let what = "`token.value` lacks `{token}`";
        let mistake = Mistake::error(value.from.place, what);
        reader
            .ctx
            .report(mistake.expected("`{token}` where the token goes"));
    }
    let template = value.value.clone();
    let shape = match place {
        Placement::Header => Shape::TokenHeader(template),
        Placement::Query => Shape::TokenText(template),
    };
    inputs.push(Input::new("token.value", &value.from, shape));
    Some(TokenTemplate {
        place,
        name: name?.value,
        value: value.value,
    })
}

fn default_name(token: &Reader<'_, '_>, place: Placement) -> Option<Located<Template>> {
    if place == Placement::Header {
        return token.template_of("Authorization");
    }
    let mistake = Mistake::error(token.place, "a token template in the query lacks `name`");
    token
        .ctx
        .report(mistake.expected("the query parameter's name"));
    None
}

fn name_input(label: &'static str, place: Placement, name: &Located<Template>) -> Input {
    let template = name.value.clone();
    let shape = match place {
        Placement::Header => Shape::HeaderName(template),
        Placement::Query => Shape::QueryName(template),
    };
    Input::new(label, &name.from, shape)
}

fn request_parameters(reader: &Reader<'_, '_>, inputs: &mut Vec<Input>) -> Vec<RequestParameter> {
    let mut all = Vec::new();
    for node in reader.list("request_parameters") {
        let Some(reader) = Reader::open(reader.ctx, &REQUEST_PARAMETER, node, node.place()) else {
            continue;
        };
        let place = placement(&reader);
        let (name, value) = (reader.template("name"), reader.template("value"));
        if let Some(name) = &name {
            inputs.push(name_input("request_parameters.name", place, name));
        }
        if let Some(value) = &value {
            let template = value.value.clone();
            let shape = match place {
                Placement::Header => Shape::HeaderValue(template),
                Placement::Query => Shape::Text(template),
            };
            inputs.push(Input::new("request_parameters.value", &value.from, shape));
        }
        if let (Some(name), Some(value)) = (name, value) {
            let (name, value) = (name.value, value.value);
            all.push(RequestParameter { place, name, value });
        }
    }
    all
}

fn refresh(reader: &Reader<'_, '_>) -> Option<RefreshRules> {
    let refresh = reader.section("refresh")?;
    let mut retry_on = match refresh.node("retry_on") {
        Some(_) => refresh.statuses("retry_on", GRPC),
        None => vec![401, 403, GRPC_UNAUTHENTICATED],
    };
    retry_on.sort_unstable();
    retry_on.dedup();
    Some(RefreshRules {
        before_expiry: refresh.duration("before_expiry"),
        retry_on,
        reuse_grace: refresh.duration("reuse_grace"),
    })
}

/// A parameter that nothing refers to is a slip.
pub(super) fn report_unused(ctx: &Context<'_>, drafts: &[IntegrationDraft]) {
    for draft in drafts {
        let used = draft.used.borrow();
        for parameter in &draft.parameters {
            let name = &parameter.spec.name;
            if !used.contains(name) && !ctx.may_be_used(name) {
                let what = format!("parameter `{name}` is not used anywhere");
                let expected = format!(
                    "`{{{name}}}` in an input of the integration or in an upstream of its routes"
                );
                ctx.report(Mistake::error(parameter.place, what).expected(expected));
            }
        }
    }
}
