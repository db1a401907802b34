//! Who speaks for a route, and where that leads.

use super::accounts::{AccountDraft, Accounts, account_key, find_integration};
use super::callers::{CALLERS_OWN, Proofs};
use super::integrations::IntegrationDraft;
use super::{reach, upstream};
use crate::base::caller_keys::CallerKey;
use crate::base::id::AccountKey;
use crate::base::template::UrlTemplate;
use crate::config::checked::upstream::Reach;
use crate::config::checked::{Integration, Upstream};
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::written::Node;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// What routes are checked against.
pub(super) struct Parts<'a> {
    pub integrations: &'a [IntegrationDraft],
    pub accounts: &'a Accounts,
    pub own: &'a Own,
    /// Of `callers_file`, if there is one.
    pub keys: Option<&'a [CallerKey]>,
    /// Of all listeners together.
    pub proofs: Proofs,
}

/// Where we listen ourselves: there no route may lead.
pub(super) struct Own {
    pub addresses: Vec<SocketAddr>,
    pub sockets: Vec<PathBuf>,
}

/// How an upstream is to be filled in once its account is created.
pub(super) type Unfilled = Option<(Vec<UrlTemplate>, Arc<Integration>)>;

/// True where each caller's own account speaks.
pub(super) fn is_callers_own(route: &Reader<'_, '_>) -> bool {
    let account = route.node("account");
    matches!(account, Some(Node::Scalar(word)) if word.text == CALLERS_OWN)
}

/// The account that speaks, where it leads, and how that is to be filled in.
pub(super) fn leads(
    reader: &Reader<'_, '_>,
    speaker: Speaker<'_>,
    parts: &Parts<'_>,
) -> (Option<AccountKey>, (Option<Upstream>, Reach), Unfilled) {
    let integrations = parts.integrations;
    let (key, mut upstreams, template, integration) = match speaker {
        Speaker::Configured(account) => {
            let integration = account.and_then(|a| integrations.get(a.integration?));
            let upstreams = upstream::read(reader, account, integrations, &parts.own.addresses);
            let built = account.and_then(|account| account.built.as_ref());
            let key = built.map(|account| account.key.clone());
            (key, upstreams.unwrap_or_default(), None, integration)
        }
        Speaker::Created(key, integration) => {
            let read = upstream::unfilled(reader, integration, &parts.own.addresses);
            let (upstream, unfilled) = read.unzip();
            let template = unfilled.zip(integration.built.clone());
            let shown = upstream.into_iter().collect();
            (Some(key), shown, template, Some(integration))
        }
    };
    let others = upstreams.split_off(upstreams.len().min(1));
    let upstream = upstreams.pop();
    let reach = Reach {
        others,
        ..reach::read(reader, upstream.as_ref(), integration, &parts.own.sockets)
    };
    (key, (upstream, reach), template)
}

/// Who speaks for a route.
pub(super) enum Speaker<'a> {
    /// One of `accounts`; `None` where a mistake was reported.
    Configured(Option<&'a AccountDraft>),
    /// An account that is created while the process runs.
    Created(AccountKey, &'a IntegrationDraft),
}

/// As the route says.
pub(super) fn speaker<'a>(reader: &Reader<'_, '_>, parts: &Parts<'a>) -> Speaker<'a> {
    let (integrations, accounts) = (parts.integrations, parts.accounts);
    let Some(written) = reader.text("account") else {
        return Speaker::Configured(None);
    };
    let Some(of) = reader.text("integration") else {
        if is_callers_own(reader) {
            let what = "the callers' own accounts are of one integration, which is not named";
            let mistake = Mistake::error(written.place, what);
            reader
                .ctx
                .report(mistake.expected("`integration` on this route"));
            return Speaker::Configured(None);
        }
        return Speaker::Configured(accounts.find(reader.ctx, &written));
    };
    let integration = find_integration(reader.ctx, integrations, &of);
    if accounts.has(&written.text) {
        let found = accounts.find(reader.ctx, &written);
        let other = found.and_then(|account| account.integration);
        if other.is_some() && integration.is_some() && other != integration {
            let what = format!("account `{}` is of another integration", written.text);
            let mistake = Mistake::error(of.place, what);
            reader.ctx.report(mistake.expected("its own, or none"));
        }
        return Speaker::Configured(found);
    }
    let key = match is_callers_own(reader) {
        // It only takes requests; no account of this name is ever asked for.
        true => AccountKey::new("caller").ok(),
        false => account_key(reader.ctx, &written),
    };
    match (key, integration.and_then(|at| integrations.get(at))) {
        (Some(key), Some(integration)) => Speaker::Created(key, integration),
        _ => Speaker::Configured(None),
    }
}
