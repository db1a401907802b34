//! Proxies of a configuration that are sidekey itself: requests would come back
//! to it, for ever. They are ignored.

use super::announce::Addresses;
use crate::config::checked::Config;
use crate::net::own;
use std::net::SocketAddr;

/// Ignores those that are at these addresses of ours, with a warning each. May
/// block.
pub fn ignore(config: &mut Config, ours: &Addresses) {
    let ours: Vec<SocketAddr> = ours.iter().collect();
    let mut own = config.proxies();
    own.retain(|proxy| {
        let listener = own::listener(proxy, &ours);
        if let Some(listener) = listener {
            tracing::warn!(
                target: "sidekey",
                "the proxy {} is sidekey's own listener {listener} and is ignored: connections \
                 that would go through it go out by themselves",
                proxy.in_words()
            );
        }
        listener.is_some()
    });
    if !own.is_empty() {
        config.ignore_proxies(&|proxy| own.iter().any(|own| **own == *proxy));
    }
}
