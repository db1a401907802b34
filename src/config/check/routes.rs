//! Routes: what a request looks like, where it goes, who speaks for it.

use super::accounts::{AccountDraft, Accounts, account_key, find_integration};
use super::hosts::host_name;
use super::integrations::IntegrationDraft;
use super::{edits, paths, reach, streams, upstream};
use crate::base::id::AccountKey;
use crate::config::checked::upstream::Reach;
use crate::config::checked::{Awaited, HostMatch, PathMatch, Route, RouteMatch, Upstream};
use crate::config::keys::table::route::ROUTE;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar, resolve};
use crate::config::written::Place;
use http::{HeaderName, HeaderValue, Method};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use url::Url;

/// What earlier routes have taken.
#[derive(Default)]
struct Taken {
    names: HashSet<String>,
    matchers: HashMap<RouteMatch, Place>,
}

/// Where we listen ourselves: there no route may lead.
pub(super) struct Own {
    pub addresses: Vec<SocketAddr>,
    pub sockets: Vec<PathBuf>,
}

pub(super) fn read(
    root: &Reader<'_, '_>,
    integrations: &[IntegrationDraft],
    accounts: &Accounts,
    own: &Own,
) -> (Vec<Route>, Vec<Awaited>) {
    let Own { addresses, sockets } = own;
    let nodes = root.list("routes");
    let mut taken = Taken::default();
    let readers: Vec<_> = nodes
        .iter()
        .filter_map(|node| Reader::open(root.ctx, &ROUTE, node, node.place()))
        .map(|reader| (own_name(&reader, &mut taken), reader))
        .collect();
    let (mut routes, mut awaited) = (Vec::new(), Vec::new());
    for (name, reader) in readers {
        let mut template = None;
        let tls;
        let speaker = speaker(&reader, integrations, accounts);
        let ours = edits::Ours::of(&speaker);
        let (account, upstream) = match speaker {
            Speaker::Configured(account) => {
                let integration = account.and_then(|a| integrations.get(a.integration?));
                tls = integration.and_then(|i| i.tls.as_ref());
                let upstream = upstream::read(&reader, account, integrations, addresses);
                let built = account.and_then(|account| account.built.as_ref());
                (built.map(|account| account.key.clone()), upstream)
            }
            Speaker::Created(key, integration) => {
                tls = integration.tls.as_ref();
                let read = upstream::unfilled(&reader, integration, addresses);
                let (upstream, unfilled) = read.unzip();
                template = unfilled.zip(integration.built.clone());
                (Some(key), upstream)
            }
        };
        let reach = reach::read(&reader, upstream.as_ref(), tls, sockets);
        let edits = edits::read(&reader, &ours);
        let route = route(&reader, name, account, (upstream, reach), &mut taken);
        if let Some(mut route) = route {
            route.edits = edits;
            awaited.extend(template.map(|(upstream, integration)| Awaited {
                route: routes.len(),
                upstream,
                integration,
            }));
            routes.push(route);
        }
    }
    (routes, awaited)
}

/// Who speaks for a route.
pub(super) enum Speaker<'a> {
    /// One of `accounts`; `None` where a mistake was reported.
    Configured(Option<&'a AccountDraft>),
    /// An account that is created while the process runs.
    Created(AccountKey, &'a IntegrationDraft),
}

fn speaker<'a>(
    reader: &Reader<'_, '_>,
    integrations: &'a [IntegrationDraft],
    accounts: &'a Accounts,
) -> Speaker<'a> {
    let Some(written) = reader.text("account") else {
        return Speaker::Configured(None);
    };
    let Some(of) = reader.text("integration") else {
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
    let key = account_key(reader.ctx, &written);
    match (key, integration.and_then(|at| integrations.get(at))) {
        (Some(key), Some(integration)) => Speaker::Created(key, integration),
        _ => Speaker::Configured(None),
    }
}

fn route(
    reader: &Reader<'_, '_>,
    name: Option<String>,
    account: Option<AccountKey>,
    (upstream, reach): (Option<Upstream>, Reach),
    taken: &mut Taken,
) -> Option<Route> {
    let matcher = matcher(reader);
    if let Some(matcher) = &matcher {
        check_repeated(reader, matcher, taken);
    }
    let timeout = reader.duration("timeout");
    let connect_timeout = reader.duration("connect_timeout");
    let replay_body_limit = reader.size("replay_body_limit");
    let allow_plaintext = reader.boolean("allow_plaintext");
    let http2 = reader.choice("http2") != "off";
    let allow_origins = origins(reader);
    let max_body = edits::max_body(reader);
    let streams = streams::read(reader);
    let matcher = matcher?;
    Some(Route {
        name: name.unwrap_or_else(|| made_name(&matcher, &mut taken.names)),
        matcher,
        upstream: upstream?,
        reach,
        account: account?,
        timeout,
        connect_timeout,
        replay_body_limit,
        allow_plaintext,
        http2,
        allow_origins,
        max_body,
        edits: None,
        streams,
    })
}

fn own_name(reader: &Reader<'_, '_>, taken: &mut Taken) -> Option<String> {
    let scalar = reader.text("name")?;
    let fits = (1..=128).contains(&scalar.text.len()) && !scalar.text.contains(char::is_control);
    if !fits {
        let what = format!("{} can't be a route's name", scalar.named());
        let mistake = Mistake::error(scalar.place, what);
        reader.ctx.report(mistake.expected("1 to 128 characters"));
    } else if taken.names.contains(&scalar.text) {
        let what = format!("a second route with the name {}", scalar.named());
        let mistake = Mistake::error(scalar.place, what);
        reader.ctx.report(mistake.expected("a unique name"));
    }
    taken.names.insert(scalar.text.clone());
    Some(scalar.text)
}

/// `crm` of `/crm/`, `api.internal/v1` of a host and a path; with a number
/// where that is taken.
fn made_name(matcher: &RouteMatch, names: &mut HashSet<String>) -> String {
    let host = match &matcher.host {
        Some(HostMatch::Exact(name)) => name.clone(),
        Some(HostMatch::Suffix(suffix)) => format!("*{suffix}"),
        None => String::new(),
    };
    let (PathMatch::Prefix(path) | PathMatch::Exact(path)) = &matcher.path;
    let base = match (host.as_str(), path.trim_matches('/')) {
        ("", "") => "/".to_owned(),
        ("", path) => path.to_owned(),
        (_, "") => host,
        (host, path) => format!("{host}/{path}"),
    };
    let mut name = base.clone();
    let mut number = 2;
    while names.contains(&name) {
        name = format!("{base}-{number}");
        number += 1;
    }
    names.insert(name.clone());
    name
}

fn check_repeated(reader: &Reader<'_, '_>, matcher: &RouteMatch, taken: &mut Taken) {
    let mut sorted = matcher.clone();
    sorted.methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    sorted
        .headers
        .sort_by(|a, b| (a.0.as_str(), &a.1).cmp(&(b.0.as_str(), &b.1)));
    match taken.matchers.entry(sorted) {
        Entry::Vacant(free) => drop(free.insert(reader.place)),
        Entry::Occupied(first) => {
            let what = format!(
                "this route matches what the route in line {} matches, so it is never used",
                first.get().line
            );
            reader.ctx.report(Mistake::error(reader.place, what));
        }
    }
}

fn matcher(reader: &Reader<'_, '_>) -> Option<RouteMatch> {
    let inner = match reader.node("match") {
        Some(_) => Some(reader.section("match")?),
        None => None,
    };
    let path = path(reader, inner.as_ref());
    let Some(inner) = inner else {
        return Some(RouteMatch {
            host: None,
            path: path?,
            methods: Vec::new(),
            headers: Vec::new(),
        });
    };
    let host = inner.text("host").and_then(|h| host(reader.ctx, &h));
    let methods = methods(&inner);
    let headers = headers(&inner);
    Some(RouteMatch {
        host,
        path: path?,
        methods,
        headers,
    })
}

fn path(reader: &Reader<'_, '_>, inner: Option<&Reader<'_, '_>>) -> Option<PathMatch> {
    let long = inner.and_then(|inner| inner.node("path"));
    match (reader.node("path"), long) {
        (Some(_), Some(_)) => {
            let what = "both `path` and `match.path`";
            let mistake = Mistake::error(reader.key_place("path"), what);
            reader.ctx.report(mistake.expected("one of the two"));
            None
        }
        (Some(node), None) | (None, Some(node)) => paths::read(reader.ctx, node),
        (None, None) if inner.is_some() => Some(PathMatch::Prefix(String::new())),
        (None, None) => {
            let mistake = Mistake::error(reader.place, "a route lacks `path` or `match`");
            let expected = "what requests it takes; `path: /` takes all";
            reader.ctx.report(mistake.expected(expected));
            None
        }
    }
}

fn host(ctx: &Context<'_>, written: &Scalar) -> Option<HostMatch> {
    let matched = match written.text.strip_prefix("*.") {
        Some(suffix) => host_name(suffix).map(|suffix| HostMatch::Suffix(format!(".{suffix}"))),
        None => host_name(&written.text).map(HostMatch::Exact),
    };
    if matched.is_none() {
        let mistake = Mistake::error(written.place, format!("{} is no host", written.named()));
        ctx.report(mistake.expected("`api.internal` or `*.internal`, without a port"));
    }
    matched
}

fn methods(inner: &Reader<'_, '_>) -> Vec<Method> {
    let mut methods = Vec::new();
    for written in inner.texts("methods") {
        let method = Method::from_bytes(written.text.as_bytes()).ok();
        match method.filter(|m| *m != Method::TRACE && *m != Method::CONNECT) {
            Some(method) if written.text.bytes().all(|b| !b.is_ascii_lowercase()) => {
                methods.push(method);
            }
            _ => {
                let what = format!("{} is no method that can be proxied", written.named());
                inner.ctx.report(
                    Mistake::error(written.place, what)
                        .expected("an HTTP method in capitals; not TRACE or CONNECT")
                        .did_you_mean(&written.text, METHODS),
                );
            }
        }
    }
    methods
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn headers(inner: &Reader<'_, '_>) -> Vec<(HeaderName, String)> {
    let mut headers = Vec::new();
    for (word, node) in inner.pairs("headers") {
        let name = HeaderName::from_bytes(word.text.as_bytes()).ok();
        if name.is_none() {
            let what = "not a valid header name";
            inner.ctx.report(Mistake::error(word.place, what));
        }
        let value = resolve(inner.ctx, node, false);
        if let Some(value) = &value
            && HeaderValue::from_str(&value.text).is_err()
        {
            let what = format!("{} is no header value", value.named());
            inner.ctx.report(Mistake::error(value.place, what));
        }
        if let (Some(name), Some(value)) = (name, value) {
            headers.push((name, value.text));
        }
    }
    headers
}

fn origins(reader: &Reader<'_, '_>) -> Vec<String> {
    let mut origins = Vec::new();
    for written in reader.texts("allow_origins") {
        match origin(&written.text) {
            Some(origin) => origins.push(origin),
            None => {
                let what = format!("{} is no origin", written.named());
                let expected = "scheme, host and port only, as `https://app.example.com`";
                reader
                    .ctx
                    .report(Mistake::error(written.place, what).expected(expected));
            }
        }
    }
    origins
}

/// The origin as browsers write it; the scheme's own port may be written.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let ascii = url.origin().ascii_serialization();
    let with_port = format!("{ascii}:{}", url.port_or_known_default()?);
    let written = text.to_ascii_lowercase();
    let same = written == ascii || written == with_port;
    (url.origin().is_tuple() && same).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn origins_are_scheme_host_and_port() {
        let good = [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.example.com:443", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ];
        for (text, wanted) in good {
            assert_eq!(origin(text).as_deref(), Some(wanted), "{text}");
        }
        for bad in [
            "*",
            "null",
            "https://a/",
            "https://a:443/x",
            "app.example.com",
            "https://u@a",
            "file:///x",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }
}
