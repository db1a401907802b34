//! What a route changes in requests and answers.

use super::speakers::Speaker;
use crate::config::checked::edits::{Edits, Fields};
use crate::config::checked::{Integration, ParameterValue, Placement, is_of_the_connection};
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar, resolve};
use crate::config::values;
use crate::config::written::Word;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

/// `max_body: none`.
pub(super) const NO_LIMIT: u64 = u64::MAX;

/// Fields that a route's integration writes.
#[derive(Default)]
pub(super) struct Ours {
    token: Option<HeaderName>,
    parameters: Vec<HeaderName>,
}

impl Ours {
    /// Where nobody knows the account's parameters yet, a name that holds one
    /// is left out: the integration's fields are written last in any case.
    pub fn of(speaker: &Speaker<'_>) -> Self {
        match speaker {
            Speaker::Configured(Some(draft)) => match &draft.built {
                Some(account) => Self::with(&account.integration, &|name| {
                    account.parameters.get(name).map(ParameterValue::text)
                }),
                None => Self::default(),
            },
            Speaker::Configured(None) => Self::default(),
            Speaker::Created(_, draft) => match &draft.built {
                Some(integration) => Self::with(integration, &|_| None),
                None => Self::default(),
            },
        }
    }

    fn with<'v>(integration: &Integration, lookup: &dyn Fn(&str) -> Option<&'v str>) -> Self {
        let token = &integration.token;
        let name = |template: &crate::base::template::Template| {
            HeaderName::from_bytes(template.expand(&lookup).ok()?.as_bytes()).ok()
        };
        let parameters = integration.request_parameters.iter();
        let in_headers = parameters.filter(|p| p.place == Placement::Header);
        Self {
            token: (token.place == Placement::Header)
                .then(|| name(&token.name))
                .flatten(),
            parameters: in_headers.filter_map(|p| name(&p.name)).collect(),
        }
    }

    /// Why a route may not touch this field of requests.
    fn objection(&self, name: &HeaderName) -> Option<&'static str> {
        if self.token.as_ref() == Some(name) {
            return Some("the token is written into it");
        }
        let ours = self.parameters.contains(name);
        ours.then_some("a request parameter of the integration is written into it")
    }
}

/// The changes of a route; `None` where there are none.
pub(super) fn read(route: &Reader<'_, '_>, ours: &Ours) -> Option<Arc<Edits>> {
    let edits = Edits {
        preserve_host: route.boolean("preserve_host"),
        request: fields(route, "request_headers", &|name| ours.objection(name)),
        response: fields(route, "response_headers", &|_| None),
        rewrite_addresses: route.boolean("rewrite_addresses"),
        strip_cookies: route.boolean("strip_cookies"),
    };
    (!edits.is_nothing()).then(|| Arc::new(edits))
}

/// Bytes of a body; `None` where it is not written.
pub(super) fn max_body(reader: &Reader<'_, '_>) -> Option<u64> {
    let written = reader.text("max_body")?;
    if written.text == "none" {
        return Some(NO_LIMIT);
    }
    let size = values::size(&written.text);
    if size.is_none() {
        let what = format!("`max_body` can't be {}", written.named());
        let expected = "`none`, or a size such as `1MiB`";
        let mistake = Mistake::error(written.place, what);
        reader.ctx.report(mistake.expected(expected));
    }
    size.map(|size| size as u64)
}

/// Says why a field can't be changed, if that is so.
type Objection<'a> = &'a dyn Fn(&HeaderName) -> Option<&'static str>;

fn fields(route: &Reader<'_, '_>, key: &str, objection: Objection<'_>) -> Fields {
    let mut fields = Fields::default();
    if route.node(key).is_none() {
        return fields;
    }
    let Some(reader) = route.section(key) else {
        return fields;
    };
    let ctx = reader.ctx;
    for (word, node) in reader.pairs("set") {
        let name = name(ctx, &Scalar::written(word), &fields, objection);
        let value = resolve(ctx, node, false).and_then(|written| value(ctx, word, &written));
        if let (Some(name), Some(value)) = (name, value) {
            fields.set.push((name, value));
        }
    }
    for written in reader.texts("remove") {
        fields
            .remove
            .extend(name(ctx, &written, &fields, objection));
    }
    fields
}

fn name(
    ctx: &Context<'_>,
    written: &Scalar,
    before: &Fields,
    objection: Objection<'_>,
) -> Option<HeaderName> {
    let report = |what: String, expected: &str| {
        ctx.report(Mistake::error(written.place, what).expected(expected));
        None
    };
    let Ok(name) = HeaderName::from_bytes(written.text.as_bytes()) else {
        let what = format!("{} is no header name", written.named());
        return report(what, "letters, digits and `-`");
    };
    let why = if is_out_of_reach(&name) {
        Some("it frames or addresses the message, or belongs to one connection")
    } else {
        objection(&name)
    };
    if let Some(why) = why {
        let what = format!(
            "the header {} can't be set or removed: {why}",
            written.named()
        );
        return report(what, "another header");
    }
    if before.names(&name) {
        let what = format!("the header {} is written twice", written.named());
        return report(what, "it once, under `set` or under `remove`");
    }
    Some(name)
}

/// What no route may touch: what is the connection's, and what proxies say of themselves.
fn is_out_of_reach(name: &HeaderName) -> bool {
    let plain = name.as_str().replace('_', "-");
    let proxys = ["proxy-authorization", "proxy-authenticate", "proxy-status"];
    is_of_the_connection(name) || proxys.contains(&plain.as_str())
}

fn value(ctx: &Context<'_>, name: &Word, written: &Scalar) -> Option<HeaderValue> {
    let Ok(mut value) = HeaderValue::from_str(&written.text) else {
        let what = format!(
            "the value of `{}` is no header value: it holds a control character",
            name.text
        );
        ctx.report(Mistake::error(written.place, what));
        return None;
    };
    value.set_sensitive(true);
    Some(value)
}
