//! From written to checked: every key read, every reference followed, every
//! mistake collected.

mod accounts;
mod authority;
mod callers;
pub(super) mod connect;
mod edits;
mod inputs;
mod integrations;
mod jwt;
mod listeners;
mod oauth2;
mod outgoing;
mod parameters;
mod paths;
mod reach;
mod routes;
mod served;
mod settings;
mod speakers;
mod streams;
mod tls;
mod traces;
mod unrouted;
mod upstream;

use super::checked::{Config, Store};
use super::keys::table::ROOT;
use super::mistakes::Mistake;
use super::reader::Reader;
use super::scalar::Context;
use super::stamp::Stamps;
use super::written::{Node, Place};

/// Reads the whole file. The result is good only if no mistake was reported.
pub(super) fn check(ctx: &Context<'_>, root: &Node) -> Option<Config> {
    let reader = Reader::open(ctx, &ROOT, root, Place::first())?;
    let proxies = outgoing::read(&reader);
    let integrations = integrations::read(&reader, &proxies);
    let accounts = accounts::read(&reader, &integrations);
    let keys = callers::file(&reader);
    let (listeners, asked) = listeners::read(&reader, keys.as_deref());
    let admin = settings::admin(&reader);
    let probes = settings::probes(&reader);
    let own = settings::own_addresses(ctx, &listeners, admin.as_ref(), probes.as_ref());
    let own = speakers::Own {
        addresses: own,
        sockets: listeners::sockets(&listeners),
    };
    let parts = speakers::Parts {
        integrations: &integrations,
        accounts: &accounts,
        own: &own,
        keys: keys.as_deref(),
        proofs: listeners::proofs(&listeners),
    };
    let (routes, awaited, names) = routes::read(&reader, &parts);
    served::check(ctx, &listeners, &asked, &names);
    integrations::report_unused(ctx, &integrations);
    unrouted::warn(ctx, &listeners, &routes);
    if reader.list("routes").is_empty() {
        let what = "there are no routes, so every call is answered with 404";
        ctx.report(Mistake::warning(reader.key_place("routes"), what));
    }
    // All of them before the first `?`: a mistake in one must not hide another's.
    let store = settings::store(&reader);
    if store == Some(Store::Memory) {
        accounts::warn_of_memory(ctx, &accounts);
    }
    let log = settings::log(&reader);
    let workers = settings::workers(&reader);
    let limits = settings::limits(&reader);
    let refresh = settings::refresh(&reader);
    let drain = settings::drain(&reader);
    let readiness_require = settings::readiness(&reader, &accounts);
    let metrics = reader.section("metrics").map(|m| m.number("max_accounts"));
    let traces = traces::read(&reader);
    Some(Config {
        listeners: listeners.into_iter().map(|l| l.value).collect(),
        admin: admin?.value,
        probes: probes.map(|p| p.value),
        store: store?,
        log: log?,
        workers: workers?,
        limits: limits?,
        refresh: refresh?,
        drain: drain?,
        readiness_require: readiness_require?,
        metrics_max_accounts: metrics?,
        traces,
        integrations: integrations.into_iter().filter_map(|i| i.built).collect(),
        accounts: accounts
            .drafts
            .into_iter()
            .filter_map(|a| a.built)
            .collect(),
        routes,
        awaited,
        warnings: Vec::new(),
        files: Vec::new(),
        stamps: Stamps::new(),
    })
}
