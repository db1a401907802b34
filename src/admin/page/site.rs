//! What the page knows of the configuration.

use crate::base::id::AccountKey;
use crate::config::checked::served::Served;
use crate::config::checked::{
    GrantType, HostMatch, Integration, PathMatch, Route, RouteMatch, SharedRoutes,
};
use crate::telemetry::reloads::Reloads;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What the page shows besides the accounts' states.
#[derive(Clone)]
pub struct Site {
    /// Where browsers find the admin listener, without a trailing slash.
    pub public_url: String,
    /// Where applications call over TCP, in plain HTTP, and what they find there;
    /// `None`: all routes.
    pub proxy: Vec<(SocketAddr, Option<Served>)>,
    pub integrations: Vec<Arc<Integration>>,
    pub routes: SharedRoutes,
    /// The configuration file, as it was named at the start.
    pub file: String,
    pub reloads: Arc<Reloads>,
}

/// A route in words.
pub struct ShownRoute {
    pub name: String,
    pub matcher: String,
    pub upstream: String,
    pub account: String,
}

impl Site {
    pub fn integration(&self, key: &str) -> Option<&Arc<Integration>> {
        self.integrations.iter().find(|found| found.key == key)
    }

    /// True where a person connects the accounts of this integration.
    pub fn is_personal(&self, integration: &str) -> bool {
        self.integration(integration)
            .is_some_and(|found| found.oauth2.grant_type == GrantType::AuthorizationCode)
    }

    pub fn route(&self, name: &str) -> Option<&Route> {
        let found = self.routes.iter().find(|route| route.name == name);
        found.map(|route| &**route)
    }

    /// Every route, or those of one account.
    pub fn shown_routes(&self, account: Option<&AccountKey>) -> Vec<ShownRoute> {
        let routes = self.routes.iter();
        let wanted = routes.filter(|route| account.is_none_or(|key| route.account == *key));
        wanted.map(|route| ShownRoute::of(route)).collect()
    }

    /// Where this process reaches a proxy listener of its own that serves this route.
    pub fn own_proxy(&self, route: &Route) -> Option<SocketAddr> {
        let mut all = self.proxy.iter();
        let serves = |some: &Option<Served>| some.as_ref().is_none_or(|some| some.serves(route));
        let &(mut address, _) = all.find(|(_, some)| serves(some))?;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Some(address)
    }
}

impl ShownRoute {
    fn of(route: &Route) -> Self {
        let upstreams = route.upstreams().map(|upstream| {
            let scheme = upstream.scheme.as_str();
            format!("{scheme}://{}{}", upstream.authority, upstream.path)
        });
        Self {
            name: route.name.clone(),
            matcher: matcher(&route.matcher),
            upstream: upstreams.collect::<Vec<_>>().join(", "),
            account: route.account.to_string(),
        }
    }
}

/// The grant in the words of the field.
pub fn grant(grant: GrantType) -> &'static str {
    match grant {
        GrantType::AuthorizationCode => "authorization code",
        GrantType::ClientCredentials => "client credentials",
    }
}

fn matcher(matcher: &RouteMatch) -> String {
    let methods = matcher.methods.iter().map(|method| format!("{method} "));
    let mut text: String = methods.collect();
    match &matcher.host {
        Some(HostMatch::Exact(host)) => text.push_str(host),
        Some(HostMatch::Suffix(suffix)) => text.push_str(&format!("*{suffix}")),
        None => {}
    }
    match &matcher.path {
        PathMatch::Prefix(prefix) => text.push_str(&format!("{prefix}/")),
        PathMatch::Exact(path) => text.push_str(path),
    }
    for (name, value) in &matcher.headers {
        text.push_str(&format!(" with {name}: {value}"));
    }
    text
}
