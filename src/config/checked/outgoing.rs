//! Which proxies a configuration comes to, and what is said of them.

use super::{Config, Integration, ParameterValue, Route, Upstream};
use crate::base::outgoing::Outgoing;
use crate::base::outgoing::proxy::Proxy;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Names that are told of those that use a proxy.
const TOLD: usize = 5;

impl Route {
    /// The proxy that connections to the upstream go through; of several addresses
    /// to the first.
    #[must_use]
    pub fn proxy(&self) -> Option<&Arc<Proxy>> {
        self.proxy_to(&self.upstream)
    }

    fn proxy_to(&self, upstream: &Upstream) -> Option<&Arc<Proxy>> {
        let over_network = self.reach.unix_socket.is_none();
        let way = self.reach.proxy.as_ref().filter(|_| over_network)?;
        way.choose(upstream.has_tls(), &upstream.host, upstream.port)
    }
}

impl Config {
    /// Every proxy that may be used, each once.
    #[must_use]
    pub fn proxies(&self) -> Vec<Arc<Proxy>> {
        let routes = self.routes.iter().filter_map(|r| r.reach.proxy.as_ref());
        let all = self.integrations.iter();
        let ways = routes.chain(all.filter_map(|i| i.oauth2.proxy.as_ref()));
        // There may be very many routes, and few ways among them.
        let ways: HashSet<_> = ways.collect();
        let mut proxies: Vec<Arc<Proxy>> = Vec::new();
        for proxy in ways.into_iter().flat_map(|way| way.proxies()) {
            if !proxies.contains(proxy) {
                proxies.push(proxy.clone());
            }
        }
        proxies
    }

    /// Uses those no more that `unwanted` names.
    pub fn ignore_proxies(&mut self, unwanted: &dyn Fn(&Proxy) -> bool) {
        let without = |way: &mut Option<Arc<Outgoing>>| {
            let named = |way: &Arc<Outgoing>| way.proxies().any(|proxy| unwanted(proxy));
            if let Some(old) = way.take_if(|way| named(way)) {
                *way = old.without(unwanted).map(Arc::new);
            }
        };
        for route in &mut self.routes {
            without(&mut route.reach.proxy);
        }
        let renewed = |old: &Arc<Integration>| {
            let mut new = Integration::clone(old);
            without(&mut new.oauth2.proxy);
            (old.key.clone(), Arc::new(new))
        };
        let renewed: HashMap<String, Arc<Integration>> =
            self.integrations.iter().map(renewed).collect();
        let accounts = self.accounts.iter_mut().map(|a| &mut a.integration);
        let awaited = self.awaited.iter_mut().map(|a| &mut a.integration);
        let places = self.integrations.iter_mut().chain(accounts).chain(awaited);
        for place in places {
            if let Some(new) = renewed.get(&place.key) {
                *place = new.clone();
            }
        }
    }

    /// What goes through which proxy, a line each; nothing secret.
    #[must_use]
    pub fn proxies_in_words(&self) -> Vec<String> {
        let awaited: HashSet<usize> = self.awaited.iter().map(|a| a.route).collect();
        let filled = self.routes.iter().enumerate();
        let filled = filled.filter(|(at, _)| !awaited.contains(at));
        let mut uses = Uses::default();
        for (_, route) in filled {
            for proxy in route.upstreams().filter_map(|to| route.proxy_to(to)) {
                let routes = &mut uses.of(proxy).routes;
                if routes.last() != Some(&route.name.as_str()) {
                    routes.push(&route.name);
                }
            }
        }
        for account in &self.accounts {
            let oauth2 = &account.integration.oauth2;
            let lookup = |name: &str| account.parameters.get(name).map(ParameterValue::text);
            let endpoint = oauth2.token_endpoint.expand(&lookup).ok();
            let way = oauth2.proxy.as_ref().zip(endpoint);
            if let Some(proxy) = way.as_ref().and_then(|(way, url)| way.choose_for(url)) {
                uses.of(proxy).accounts.push(account.key.as_str());
            }
        }
        uses.0.iter().map(Use::in_words).collect()
    }
}

#[derive(Default)]
struct Uses<'a>(Vec<Use<'a>>);

struct Use<'a> {
    proxy: Arc<Proxy>,
    routes: Vec<&'a str>,
    accounts: Vec<&'a str>,
}

impl<'a> Uses<'a> {
    fn of(&mut self, proxy: &Arc<Proxy>) -> &mut Use<'a> {
        let at = self.0.iter().position(|it| it.proxy == *proxy);
        let at = at.unwrap_or_else(|| {
            self.0.push(Use {
                proxy: proxy.clone(),
                routes: Vec::new(),
                accounts: Vec::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl Use<'_> {
    fn in_words(&self) -> String {
        let of = |what: &str, names: &[&str]| {
            let more = names.len().saturating_sub(TOLD);
            let shown = names[..names.len() - more].join(", ");
            match (names, more) {
                ([], _) => None,
                (_, 0) => Some(format!("{what} {shown}")),
                (_, more) => Some(format!("{what} {shown} and {more} more")),
            }
        };
        let routes = of("upstreams of the routes", &self.routes);
        let accounts = of("token requests of the accounts", &self.accounts);
        let parts: Vec<_> = routes.into_iter().chain(accounts).collect();
        format!("{} for {}", self.proxy.in_words(), parts.join("; "))
    }
}
