//! Routes: what a request looks like, where it goes, who speaks for it.

use super::accounts::find_integration;
use super::callers::{self, CALLERS_OWN};
use super::served::Names;
use super::settings::Placed;
use super::speakers::{Parts, Unfilled, is_callers_own, leads, speaker};
use super::{edits, paths, streams};
use crate::base::hosts::host_name;
use crate::base::id::AccountKey;
use crate::config::checked::callers::Speaks;
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
use std::sync::Arc;
use url::Url;

/// What earlier routes have taken.
#[derive(Default)]
struct Taken {
    names: HashSet<String>,
    matchers: HashMap<RouteMatch, Place>,
}

/// All of them, those that wait for their accounts, and the names that they have.
pub(super) fn read(root: &Reader<'_, '_>, parts: &Parts<'_>) -> (Vec<Route>, Vec<Awaited>, Names) {
    let nodes = root.list("routes");
    let mut taken = Taken::default();
    let readers: Vec<_> = nodes
        .iter()
        .filter_map(|node| Reader::open(root.ctx, &ROUTE, node, node.place()))
        .map(|reader| (own_name(&reader, &mut taken), reader))
        .collect();
    let mut read = Read::default();
    read.names.is_partial = readers.len() < nodes.len();
    for (name, reader) in readers {
        let speaker = speaker(&reader, parts);
        let ours = edits::Ours::of(&speaker);
        let (account, upstream, template) = leads(&reader, speaker, parts);
        let allowed = callers::of_route(&reader, parts);
        let own = name.clone();
        let route = route(&reader, name, account, upstream, &mut taken);
        read.name(
            own.or(route.as_ref().map(|route| route.name.clone())),
            &reader,
        );
        let Some(mut route) = route else { continue };
        route.edits = edits::read(&reader, &ours);
        route.callers = allowed;
        if is_callers_own(&reader) {
            read.each_their_own(&reader, route, parts);
        } else {
            read.push(route, template);
        }
    }
    (read.routes, read.awaited, read.names)
}

/// What is read so far.
#[derive(Default)]
struct Read {
    routes: Vec<Route>,
    awaited: Vec<Awaited>,
    names: Names,
}

impl Read {
    fn name(&mut self, name: Option<String>, reader: &Reader<'_, '_>) {
        let place = reader.place;
        match name {
            Some(value) => self.names.known.push(Placed { value, place }),
            None => self.names.is_partial = true,
        }
    }

    fn push(&mut self, route: Route, template: Unfilled) {
        self.awaited
            .extend(template.map(|(upstreams, integration)| Awaited {
                route: self.routes.len(),
                upstreams,
                integration,
            }));
        self.routes.push(route);
    }

    /// A route that takes requests, and one for each caller that serves them.
    fn each_their_own(&mut self, reader: &Reader<'_, '_>, mut route: Route, parts: &Parts<'_>) {
        route.speaks = Speaks::TheCallers;
        let Some(allowed) = route.callers.clone() else {
            let what = format!("`account: \"{CALLERS_OWN}\"` needs to know who calls");
            let mistake = Mistake::error(reader.value_place("account"), what);
            reader
                .ctx
                .report(mistake.expected("`callers` on this route"));
            return;
        };
        let of = reader.text("integration");
        let at = of.and_then(|of| find_integration(reader.ctx, parts.integrations, &of));
        let found = at.and_then(|at| Some((at, parts.integrations.get(at)?)));
        let Some(integration) = found else { return };
        self.push(route.clone(), None);
        let lead: Arc<str> = route.name.as_str().into();
        for (caller, speaker) in callers::speakers(reader, integration, parts.accounts, &allowed) {
            let (account, (upstream, reach), template) = leads(reader, speaker, parts);
            let (Some(account), Some(upstream)) = (account, upstream) else {
                continue;
            };
            let own = Route {
                name: format!("{lead}@{caller}"),
                account,
                upstream,
                reach,
                speaks: Speaks::For {
                    caller,
                    route: lead.clone(),
                },
                ..route.clone()
            };
            self.push(own, template);
        }
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
    let keep_header_case = reader.boolean("keep_header_case");
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
        keep_header_case,
        allow_origins,
        max_body,
        callers: None,
        speaks: Speaks::One,
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
