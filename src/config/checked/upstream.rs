//! How the upstream of a route is reached, besides by its URL.

use super::{Route, Upstream};
use crate::base::client_tls::ClientTls;
use crate::base::outgoing::Outgoing;
use std::iter;
use std::path::Path;
use std::sync::Arc;

/// What a route says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Reach {
    /// `None`: the system's authorities, and no client certificate. Never
    /// there for an upstream without TLS.
    pub tls: Option<Arc<ClientTls>>,
    /// `None`: it goes there by itself.
    pub proxy: Option<Arc<Outgoing>>,
    /// Where the connection goes instead of the URL's host and port.
    pub unix_socket: Option<Arc<Path>>,
    /// Where else the same upstream is: of its scheme, path and query.
    pub others: Vec<Upstream>,
}

impl Route {
    /// Every address of the upstream; most routes have one.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        iter::once(&self.upstream).chain(&self.reach.others)
    }
}
