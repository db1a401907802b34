//! Other people's HTTP proxies, through which connections go out: which of them
//! for what, and for what none. Nothing here opens a connection.

pub mod environment;
pub mod except;
pub mod proxy;

use super::hosts::is_loopback;
use except::Except;
use proxy::Proxy;
use std::sync::Arc;
use url::Url;

/// Which way connections go out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outgoing {
    /// For what is not encrypted.
    pub plain: Option<Arc<Proxy>>,
    /// For TLS.
    pub tls: Option<Arc<Proxy>>,
    pub except: Except,
    /// What is on this machine needs none: of the environment, which was set up
    /// with other programs in mind.
    pub spares_loopback: bool,
}

impl Outgoing {
    /// Everything through one proxy.
    #[must_use]
    pub fn through(proxy: &Arc<Proxy>, except: Except) -> Self {
        Self {
            plain: Some(proxy.clone()),
            tls: Some(proxy.clone()),
            except,
            spares_loopback: false,
        }
    }

    /// The proxy for connections to this host, a name or an address with or
    /// without brackets; `None`: they go there by themselves.
    #[must_use]
    pub fn choose(&self, tls: bool, host: &str, port: u16) -> Option<&Arc<Proxy>> {
        let proxy = if tls { &self.tls } else { &self.plain };
        let spared = self.spares_loopback && is_loopback(host);
        proxy
            .as_ref()
            .filter(|_| !spared && !self.except.covers(host, port))
    }

    /// The same, for the host of a URL.
    #[must_use]
    pub fn choose_for(&self, url: &Url) -> Option<&Arc<Proxy>> {
        let port = url.port_or_known_default()?;
        self.choose(url.scheme() == "https", url.host_str()?, port)
    }

    /// Every proxy of these, each once.
    pub fn proxies(&self) -> impl Iterator<Item = &Arc<Proxy>> {
        let other = self
            .tls
            .as_ref()
            .filter(|tls| Some(*tls) != self.plain.as_ref());
        self.plain.iter().chain(other)
    }

    /// The same without the proxies that `unwanted` names; `None` where none is left.
    #[must_use]
    pub fn without(&self, unwanted: &dyn Fn(&Proxy) -> bool) -> Option<Self> {
        let wanted = |proxy: &Option<Arc<Proxy>>| proxy.clone().filter(|proxy| !unwanted(proxy));
        let (plain, tls) = (wanted(&self.plain), wanted(&self.tls));
        let is_any = plain.is_some() || tls.is_some();
        is_any.then(|| Self {
            plain,
            tls,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::except::Except;
    use super::proxy::{Login, Proxy};
    use super::{Arc, Outgoing};

    fn proxy(url: &str) -> Arc<Proxy> {
        Arc::new(Proxy::new(url.parse().unwrap(), Login::default()))
    }

    #[test]
    fn each_scheme_has_its_own_and_exceptions_have_none() {
        let (one, two) = (proxy("http://one:1"), proxy("http://two:2"));
        let outgoing = Outgoing {
            plain: Some(one.clone()),
            tls: Some(two.clone()),
            except: Except::of_variable("internal.test").0,
            spares_loopback: true,
        };
        assert_eq!(outgoing.choose(false, "a.test", 80), Some(&one));
        assert_eq!(outgoing.choose(true, "a.test", 443), Some(&two));
        for host in ["x.internal.test", "localhost", "127.0.0.1", "[::1]"] {
            assert_eq!(outgoing.choose(true, host, 443), None, "{host}");
        }
        let left = outgoing.without(&|proxy| *proxy == *one).unwrap();
        assert_eq!(left.choose(false, "a.test", 80), None);
        assert_eq!(left.choose(true, "a.test", 443), Some(&two));
        assert_eq!(left.without(&|_| true), None);
        let written = Outgoing::through(&one, Except::default());
        assert_eq!(written.choose(false, "127.0.0.1", 80), Some(&one));
        assert_eq!(written.proxies().count(), 1);
    }
}
