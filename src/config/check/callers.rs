//! Who may call a route, and by what they prove who they are.

use super::accounts::Accounts;
use super::integrations::IntegrationDraft;
use super::speakers::Speaker;
use crate::base::caller_keys::{self, CallerKey};
use crate::base::id::AccountKey;
use crate::config::checked::callers::Allowed;
use crate::config::keys::table::callers::CALLER;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Scalar, content_of};
use std::sync::Arc;

/// The account of each caller's own.
pub(super) const CALLERS_OWN: &str = "{caller.name}";

/// The content of `callers_file`; `None` where it is not written.
pub(super) fn file(root: &Reader<'_, '_>) -> Option<Vec<CallerKey>> {
    let written = root.text("callers_file")?;
    let text = content_of(root.ctx, &written)?;
    match caller_keys::read(&text) {
        Ok(keys) => Some(keys),
        Err(bad) => {
            let what = format!("line {} of `callers_file`: {}", bad.number, bad.what);
            let mistake = Mistake::error(written.place, what);
            let expected = "what `sidekey callers add NAME` writes";
            root.ctx.report(mistake.expected(expected));
            Some(Vec::new())
        }
    }
}

/// Who may call; `None` where the route does not say.
pub(super) fn read(route: &Reader<'_, '_>, keys: Option<&[CallerKey]>) -> Option<Arc<Allowed>> {
    route.node("callers")?;
    let ctx = route.ctx;
    let items = route.list("callers");
    let mut allowed = Allowed::default();
    if items.is_empty() {
        let mistake = Mistake::error(route.key_place("callers"), "`callers` lets nobody in");
        ctx.report(mistake.expected("at least one caller; without `callers` everybody may call"));
    }
    for item in items {
        let Some(reader) = Reader::open(ctx, &CALLER, item, item.place()) else {
            continue;
        };
        if let Some(name) = reader.text("key") {
            add_key(&reader, &name, keys, &mut allowed);
        }
    }
    Some(Arc::new(allowed))
}

fn add_key(
    reader: &Reader<'_, '_>,
    name: &Scalar,
    keys: Option<&[CallerKey]>,
    allowed: &mut Allowed,
) {
    let Some(keys) = keys else {
        let mistake = Mistake::error(name.place, "there is no `callers_file` with keys");
        let expected = "`callers_file: PATH`, which `sidekey callers add NAME` writes";
        reader.ctx.report(mistake.expected(expected));
        return;
    };
    if name.text != "*" && !caller_keys::is_name(&name.text) {
        let what = format!("{} is no caller's name", name.named());
        let mistake = Mistake::error(name.place, what);
        let expected = "letters, digits, `-` and `_`; or `*` for every key of the file";
        reader.ctx.report(mistake.expected(expected));
        return;
    }
    let mut any = false;
    for key in keys
        .iter()
        .filter(|key| name.text == "*" || key.name == name.text)
    {
        any = true;
        allowed.add_key(key.digest, &key.name);
    }
    if !any {
        // No mistake: a key that is removed must stop working, whatever the
        // configuration still says.
        let what = format!("`callers_file` has no key of {}", name.named());
        reader.ctx.report(Mistake::warning(name.place, what));
    }
}

/// Who speaks for each caller of a route whose account is the caller's own.
pub(super) fn speakers<'a>(
    route: &Reader<'_, '_>,
    integration: (usize, &'a IntegrationDraft),
    accounts: &'a Accounts,
    allowed: &Allowed,
) -> Vec<(Arc<str>, Speaker<'a>)> {
    let names = allowed.names().into_iter();
    names
        .filter_map(|name| {
            let speaker = of_caller(route, integration, accounts, &name)?;
            Some((name, speaker))
        })
        .collect()
}

fn of_caller<'a>(
    route: &Reader<'_, '_>,
    (at, integration): (usize, &'a IntegrationDraft),
    accounts: &'a Accounts,
    name: &str,
) -> Option<Speaker<'a>> {
    let Some(draft) = accounts.of(name) else {
        let key = AccountKey::new(name).ok()?;
        return Some(Speaker::Created(key, integration));
    };
    if draft.integration != Some(at) {
        // No mistake: whoever adds a caller to a file must not make every reload fail.
        let what = format!(
            "account `{name}`, of the caller of that name, is of another integration: the caller is refused"
        );
        let place = route.value_place("account");
        route.ctx.report(Mistake::warning(place, what));
        return None;
    }
    Some(Speaker::Configured(Some(draft)))
}
