//! The routes of a configuration, those of created accounts filled in.

use super::announce::Addresses;
use super::listeners::leads_to;
use crate::account::{self, ConnectedAccount};
use crate::base::id::AccountKey;
use crate::base::issuer::TrustedIssuer;
use crate::config::checked::listening::Listener;
use crate::config::checked::upstream::Reach;
use crate::config::checked::{Awaited, Config, Route, SharedRoutes, Upstream};
use crate::refresh::Cell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// The routes, and which of them wait for somebody to create their accounts.
#[derive(Clone)]
pub struct RoutePlan {
    routes: SharedRoutes,
    awaited: Vec<Awaited>,
    /// Where this process listens: there no route may lead.
    own: Vec<SocketAddr>,
}

impl RoutePlan {
    /// Takes the configuration's routes, of which there may be very many.
    pub fn of(config: &mut Config, own: &Addresses) -> Self {
        let routes = std::mem::take(&mut config.routes);
        Self {
            routes: routes.into_iter().map(Arc::new).collect(),
            awaited: std::mem::take(&mut config.awaited),
            own: own.iter().collect(),
        }
    }

    /// Whose tokens callers may show, at these listeners or on these routes.
    pub fn issuers(&self, listeners: &[Listener]) -> Vec<Arc<TrustedIssuer>> {
        let at_listeners = listeners.iter().filter_map(|l| l.callers.as_ref());
        let on_routes = self.routes.iter().filter_map(|r| r.callers.as_ref());
        let jwts = at_listeners.chain(on_routes).flat_map(|all| all.jwts());
        let issuers: HashSet<_> = jwts.map(|jwt| &jwt.issuer).collect();
        issuers.into_iter().cloned().collect()
    }

    /// False where no created account can change a route.
    pub fn waits(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// The routes with these accounts. One whose account is not there yet leads
    /// nowhere; to leave it out would let a wider route take its requests.
    pub fn with(&self, accounts: &HashMap<AccountKey, Arc<Cell>>) -> SharedRoutes {
        if self.awaited.is_empty() {
            return self.routes.clone();
        }
        let mut routes = self.routes.to_vec();
        for awaited in &self.awaited {
            let Some(route) = routes.get_mut(awaited.route) else {
                continue;
            };
            match accounts
                .get(&route.account)
                .map(|cell| filled(awaited, &cell.account))
                .map(|upstreams| self.elsewhere(upstreams?, &route.reach))
            {
                Some(Ok((upstream, others))) => {
                    let mut filled = Route::clone(route);
                    filled.upstream = upstream;
                    filled.reach.others = others;
                    *route = Arc::new(filled);
                }
                Some(Err(why)) => {
                    tracing::error!(
                        account = %route.account,
                        route = route.name,
                        "the route leads nowhere with this account: {why}"
                    );
                }
                None => {}
            }
        }
        routes.into()
    }
}

impl RoutePlan {
    /// What a person fills in must not send requests round for ever.
    fn elsewhere(
        &self,
        (first, others): (Upstream, Vec<Upstream>),
        reach: &Reach,
    ) -> Result<(Upstream, Vec<Upstream>), String> {
        let over_network = reach.unix_socket.is_none();
        let is_reached = |own: &&SocketAddr| {
            leads_to(&first, **own) || others.iter().any(|u| leads_to(u, **own))
        };
        match self.own.iter().find(is_reached) {
            Some(own) if over_network => Err(format!("it is sidekey's own listener {own}")),
            _ => Ok((first, others)),
        }
    }
}

/// The first address, and the others.
fn filled(
    awaited: &Awaited,
    account: &ConnectedAccount,
) -> Result<(Upstream, Vec<Upstream>), String> {
    let (wanted, is) = (&awaited.integration.key, &account.integration.key);
    if wanted != is {
        return Err(format!("it is of integration {is}, not {wanted}"));
    }
    let filled = awaited.upstreams.iter().map(|template| {
        let url = account::upstream(template, account);
        url.map(|url| Upstream::at(template, &url))
            .map_err(|why| why.to_string())
    });
    let mut filled = filled.collect::<Result<Vec<_>, _>>()?.into_iter();
    let first = filled.next().ok_or("it has no upstream")?;
    Ok((first, filled.collect()))
}
