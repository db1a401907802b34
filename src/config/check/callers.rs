//! Who may call a route, and by what they prove who they are.

use super::accounts::Accounts;
use super::integrations::IntegrationDraft;
use super::jwt;
use super::speakers::{Parts, Speaker, is_callers_own};
use crate::base::caller_keys::{self, CallerKey};
use crate::base::id::AccountKey;
use crate::config::checked::callers::Allowed;
use crate::config::checked::listening::{Address, Listener};
use crate::config::keys::table::callers::CALLER;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Scalar, content_of};
use std::sync::Arc;

/// The account of each caller's own.
pub(super) const CALLERS_OWN: &str = "{caller.name}";

/// By what callers can prove who they are, besides keys.
#[derive(Clone, Copy, Default)]
pub(super) struct Proofs {
    certificate: bool,
    process: bool,
}

impl Proofs {
    /// At this listener. What a handed-over socket is, the configuration does not know.
    pub(super) fn at(listener: &Listener) -> Self {
        let tls = listener.tls.as_ref();
        Self {
            certificate: tls.is_some_and(|tls| tls.clients.is_some()),
            process: !matches!(listener.address, Address::Tcp(_)),
        }
    }

    /// At one of two.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            certificate: self.certificate || other.certificate,
            process: self.process || other.process,
        }
    }
}

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

/// Who may call a route; `None` where it does not say.
pub(super) fn of_route(route: &Reader<'_, '_>, parts: &Parts<'_>) -> Option<Arc<Allowed>> {
    let known = Known {
        keys: parts.keys,
        proofs: parts.proofs,
        named: is_callers_own(route),
        nowhere: ["no listener verifies", "no listener is at a Unix socket"],
    };
    read(route, &known)
}

/// Who may call a listener; `None` where it does not say.
pub(super) fn of_listener(
    listener: &Reader<'_, '_>,
    keys: Option<&[CallerKey]>,
    proofs: Proofs,
) -> Option<Arc<Allowed>> {
    let known = Known {
        keys,
        proofs,
        named: false,
        nowhere: [
            "this listener does not verify",
            "this listener is at no Unix socket",
        ],
    };
    read(listener, &known)
}

/// What callers are checked against.
struct Known<'a> {
    keys: Option<&'a [CallerKey]>,
    proofs: Proofs,
    /// Their names are accounts' keys.
    named: bool,
    /// Why there is no proof by a certificate, and none by a process.
    nowhere: [&'static str; 2],
}

fn read(of: &Reader<'_, '_>, known: &Known<'_>) -> Option<Arc<Allowed>> {
    of.node("callers")?;
    let ctx = of.ctx;
    let items = of.list("callers");
    let mut allowed = Allowed::default();
    if items.is_empty() {
        let mistake = Mistake::error(of.key_place("callers"), "`callers` lets nobody in");
        ctx.report(mistake.expected("at least one caller; without `callers` everybody may call"));
    }
    for item in items {
        let Some(reader) = Reader::open(ctx, &CALLER, item, item.place()) else {
            continue;
        };
        add(&reader, known, &mut allowed);
    }
    Some(Arc::new(allowed))
}

const KINDS: [&str; 5] = ["key", "certificate", "uid", "gid", "jwt"];

fn add(reader: &Reader<'_, '_>, known: &Known<'_>, allowed: &mut Allowed) {
    let mut written = KINDS.into_iter().filter(|kind| reader.node(kind).is_some());
    let (Some(kind), None) = (written.next(), written.next()) else {
        let what = "a caller is named by one of `key`, `certificate`, `uid`, `gid` and `jwt`";
        let mistake = Mistake::error(reader.place, what);
        reader.ctx.report(mistake.expected("exactly one of them"));
        return;
    };
    let name = own_name(reader, kind, known);
    let name = name.as_deref();
    match kind {
        "jwt" => {
            if let Some(jwt) = jwt::read(reader, name) {
                allowed.add_jwt(jwt);
            }
        }
        "key" => {
            if let Some(of) = reader.text(kind) {
                add_key(reader, &of, known.keys, allowed);
            }
        }
        "certificate" => {
            if let Some(of) = reader.text(kind) {
                allowed.add_certificate(&of.text, name);
            }
        }
        _ => {
            let number = u32::try_from(reader.number(kind)).unwrap_or(u32::MAX);
            match kind {
                "uid" => allowed.add_uid(number, name),
                _ => allowed.add_gid(number, name),
            }
        }
    }
    warn_if_never(reader, kind, known);
}

/// The name that is written beside a certificate, a user or a group.
fn own_name(reader: &Reader<'_, '_>, kind: &str, known: &Known<'_>) -> Option<String> {
    let Some(name) = reader.text("name") else {
        if known.named && !matches!(kind, "key" | "jwt") && reader.node("name").is_none() {
            let what = format!("`account: \"{CALLERS_OWN}\"` needs this caller's name");
            let mistake = Mistake::error(reader.key_place(kind), what);
            reader.ctx.report(mistake.expected("`name` beside it"));
        }
        return None;
    };
    if kind == "key" {
        let what = "a key's caller has the key's name";
        let mistake = Mistake::error(reader.key_place("name"), what);
        reader
            .ctx
            .report(mistake.expected("no `name` beside `key`"));
    } else if !caller_keys::is_name(&name.text) {
        let what = format!("{} is no caller's name", name.named());
        let mistake = Mistake::error(name.place, what);
        let expected = "letters, digits, `-` and `_`";
        reader.ctx.report(mistake.expected(expected));
    }
    Some(name.text)
}

/// A proof that nobody can give lets nobody in.
fn warn_if_never(reader: &Reader<'_, '_>, kind: &str, known: &Known<'_>) {
    let [no_certificate, no_process] = known.nowhere;
    let what = match kind {
        "key" | "jwt" => return,
        "certificate" if known.proofs.certificate => return,
        "certificate" => {
            format!("nobody can call by a certificate: {no_certificate} any (`tls.client_ca`)")
        }
        _ if known.proofs.process => return,
        _ => format!("nobody can call as a `{kind}`: {no_process}"),
    };
    let mistake = Mistake::warning(reader.key_place(kind), what);
    reader.ctx.report(mistake);
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
    let mut names = allowed.names();
    if allowed.may_be_anybody() {
        // Whose name a token may say: whoever has an account here.
        let own = accounts.of_integration(integration.0);
        names.extend(own.map(Arc::from));
    }
    let names = names.into_iter();
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
