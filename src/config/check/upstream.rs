//! Where a route leads.

use super::accounts::AccountDraft;
use super::integrations::IntegrationDraft;
use crate::base::hosts::{is_loopback, reaches};
use crate::base::template::UrlTemplate;
use crate::config::checked::{Upstream, UpstreamScheme};
use crate::config::mistakes::Mistake;
use crate::config::reader::{Located, Reader};
use crate::config::scalar::Scalar;
use crate::config::written::Node;
use std::net::SocketAddr;
use url::{Host, Url};

/// Addresses of an upstream, at most.
const MOST: usize = 16;

/// The upstream of a route, filled in with its account's parameters: all of its
/// addresses, and at least one.
pub(super) fn read(
    route: &Reader<'_, '_>,
    account: Option<&AccountDraft>,
    integrations: &[IntegrationDraft],
    own: &[SocketAddr],
) -> Option<Vec<Upstream>> {
    let templates = templates(route)?;
    let account = account?;
    let integration = integrations.get(account.integration?)?;
    let mut upstreams = Vec::new();
    for located in &templates {
        check_parameters(route, located, integration);
        let Some(upstream) = expand(route, located, account) else {
            continue;
        };
        check_plaintext(route, located, &upstream, integration);
        check_own(route, located, &upstream, own);
        upstreams.push(upstream);
    }
    let all = (upstreams.len() == templates.len()).then_some(upstreams)?;
    check_alike(route, &templates, &all);
    Some(all)
}

/// The upstream of a route whose account is created while the process runs: as
/// it is shown until then, and as it is to be filled in.
pub(super) fn unfilled(
    route: &Reader<'_, '_>,
    integration: &IntegrationDraft,
    own: &[SocketAddr],
) -> Option<(Upstream, Vec<UrlTemplate>)> {
    let templates = templates(route)?;
    let mut upstreams = Vec::new();
    for located in &templates {
        check_parameters(route, located, integration);
        // A value that fits anywhere: what no value changes is checked as ever, and
        // a host that one decides is not this machine's.
        match located.value.expand(&|_| Some("1")) {
            Ok(url) => {
                let upstream = Upstream::at(&located.value, &url);
                check_plaintext(route, located, &upstream, integration);
                check_own(route, located, &upstream, own);
                upstreams.push(upstream);
            }
            Err(error) => {
                let mistake = Mistake::error(located.from.place, error.what);
                route.ctx.report(mistake);
            }
        }
    }
    if upstreams.len() == templates.len() {
        check_alike(route, &templates, &upstreams);
    }
    let shown = nowhere(&templates.first()?.value);
    let values = templates.into_iter().map(|located| located.value);
    Some((shown, values.collect()))
}

/// Addresses of one upstream differ in their hosts and ports alone.
fn check_alike(route: &Reader<'_, '_>, templates: &[Located<UrlTemplate>], upstreams: &[Upstream]) {
    let mut before: Vec<&Upstream> = Vec::new();
    for (located, upstream) in templates.iter().zip(upstreams) {
        let is_of = |first: &&Upstream| {
            (first.scheme, &first.path, &first.query)
                == (upstream.scheme, &upstream.path, &upstream.query)
        };
        let (what, expected) = if before.first().is_some_and(|first| !is_of(first)) {
            (
                "this address has another scheme, path or query than the first",
                "addresses that differ in host and port alone",
            )
        } else if before.contains(&upstream) {
            ("this address is in the list already", "it once")
        } else {
            before.push(upstream);
            continue;
        };
        let mistake = Mistake::error(located.from.place, what);
        route.ctx.report(mistake.expected(expected));
    }
}

/// Shows the template, and leads nowhere (RFC 6761, 6.4).
fn nowhere(template: &UrlTemplate) -> Upstream {
    let text = template.to_string();
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    Upstream {
        scheme: UpstreamScheme::Https,
        host: "account.invalid".to_owned(),
        port: 443,
        authority: authority.to_owned(),
        path: format!("/{path}"),
        query: None,
    }
}

/// Of each address; `None` where one is none.
fn templates(route: &Reader<'_, '_>) -> Option<Vec<Located<UrlTemplate>>> {
    let Some(Node::Sequence(place, items)) = route.node("upstream") else {
        let one = template(route, route.text("upstream")?)?;
        return Some(vec![one]);
    };
    if !(2..=MOST).contains(&items.len()) {
        let what = format!("`upstream` is a list of {}", items.len());
        let expected = format!("2 to {MOST} URLs, or one that is in no list");
        let mistake = Mistake::error(*place, what);
        route.ctx.report(mistake.expected(expected));
        return None;
    }
    if has_socket(route) {
        let what = "`unix_socket` beside a list of upstreams";
        let mistake = Mistake::error(route.key_place("unix_socket"), what);
        route.ctx.report(mistake.expected("one of the two"));
    }
    let scalars = route.texts("upstream");
    let count = scalars.len();
    // All of them before the first that is none: each is told of.
    let found: Vec<_> = scalars.into_iter().map(|s| template(route, s)).collect();
    let found: Vec<_> = found.into_iter().collect::<Option<_>>()?;
    (count == items.len()).then_some(found)
}

fn template(route: &Reader<'_, '_>, scalar: Scalar) -> Option<Located<UrlTemplate>> {
    refuse_later_scheme(route, &scalar)?;
    let located = route.upstream_url(scalar)?;
    if located.value.has_fragment() {
        let what = "an upstream has no fragment (`#…`)";
        let mistake = Mistake::error(located.from.place, what);
        route.ctx.report(mistake.expected("a URL without one"));
    }
    Some(located)
}

/// Gives `None` where the scheme was reported.
fn refuse_later_scheme(route: &Reader<'_, '_>, scalar: &Scalar) -> Option<()> {
    let scheme = scalar.text.split(':').next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("unix") {
        return Some(());
    }
    let (what, expected) = match scheme {
        "unix" => (
            "an upstream is a URL; its Unix socket is named beside it".to_owned(),
            "`upstream: http://localhost/` and `unix_socket: /run/app.sock`",
        ),
        _ => (
            format!("`upstream: {scheme}:…` is not in this version"),
            "an `http`, `https` or `h2c` URL",
        ),
    };
    let mistake = Mistake::error(scalar.place, what);
    route.ctx.report(mistake.expected(expected));
    None
}

fn check_parameters(
    route: &Reader<'_, '_>,
    located: &Located<UrlTemplate>,
    integration: &IntegrationDraft,
) {
    for (name, offset) in located.value.parameter_places() {
        let place = located.from.place_at(offset);
        if name == "token" {
            let what = "`{token}` stands for the token, in `token.value` only";
            route.ctx.report(Mistake::error(place, what));
        } else {
            integration.declared().check(route.ctx, name, place);
        }
    }
}

fn expand(
    route: &Reader<'_, '_>,
    located: &Located<UrlTemplate>,
    account: &AccountDraft,
) -> Option<Upstream> {
    match located.value.expand(&|name| account.values.get(name)) {
        Ok(url) => Some(Upstream::at(&located.value, &url)),
        Err(error) => {
            let parameter = error.parameter.as_deref();
            let known = parameter.is_none_or(|name| account.values.get(name).is_some());
            if known {
                let what = format!("with account `{}`: {}", account.key, error.what);
                route.ctx.report(Mistake::error(located.from.place, what));
            }
            None
        }
    }
}

impl Upstream {
    /// The upstream at the URL that a template has been expanded to.
    #[must_use]
    pub fn at(template: &UrlTemplate, url: &Url) -> Self {
        let host = match url.host() {
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        let name = url.host_str().unwrap_or_default();
        Self {
            scheme: match url.scheme() {
                "http" if template.is_h2c() => UpstreamScheme::H2c,
                "http" => UpstreamScheme::Http,
                _ => UpstreamScheme::Https,
            },
            host,
            port: url.port_or_known_default().unwrap_or_default(),
            authority: match url.port() {
                Some(port) => format!("{name}:{port}"),
                None => name.to_owned(),
            },
            path: url.path().to_owned(),
            query: url.query().map(str::to_owned),
        }
    }
}

fn check_plaintext(
    route: &Reader<'_, '_>,
    located: &Located<UrlTemplate>,
    upstream: &Upstream,
    integration: &IntegrationDraft,
) {
    if upstream.has_tls() || has_socket(route) || route.boolean("allow_plaintext") {
        return;
    }
    let way = integration.proxy.as_ref();
    let proxy = way.and_then(|way| way.choose(false, &upstream.host, upstream.port));
    let far = proxy.filter(|proxy| !is_loopback(&proxy.host));
    let (what, expected) = match far {
        Some(proxy) => (
            format!("the token would travel over plain HTTP through the proxy {proxy}"),
            "`https`, no proxy for this upstream, or `allow_plaintext: true` on this route",
        ),
        None if is_loopback(&upstream.host) => return,
        None => (
            "the token would travel over plain HTTP to another machine".to_owned(),
            "`https`, or `allow_plaintext: true` on this route",
        ),
    };
    let mistake = Mistake::error(located.from.place, what);
    route.ctx.report(mistake.expected(expected));
}

/// Whether the connection goes to a Unix socket, which is on this machine.
fn has_socket(route: &Reader<'_, '_>) -> bool {
    route.node("unix_socket").is_some()
}

/// A request would come back to us, for ever.
fn check_own(
    route: &Reader<'_, '_>,
    located: &Located<UrlTemplate>,
    upstream: &Upstream,
    own: &[SocketAddr],
) {
    if has_socket(route) {
        return;
    }
    let ours = own
        .iter()
        .find(|address| address.port() == upstream.port && reaches(&upstream.host, address.ip()));
    if let Some(ours) = ours {
        let what = format!("this upstream is sidekey's own listener {ours}");
        let mistake = Mistake::error(located.from.place, what);
        route.ctx.report(mistake.expected("another server"));
    }
}
