//! One HTTP proxy: where it is, and what it is shown.

use crate::base::client_tls::ClientTls;
use crate::base::crypto::sha256_of_parts;
use crate::base::hosts::reaches;
use crate::base::secret::Secret;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use url::{Host, Url};

/// A proxy. Two are equal when they are one place, reached the same way.
pub struct Proxy {
    /// TLS to the proxy itself.
    pub tls: bool,
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
    /// The variable that names it, if one does.
    pub variable: Option<&'static str>,
    pub login: Login,
    digest: [u8; 32],
}

/// What a proxy wants besides its address.
#[derive(Clone, Default)]
pub struct Login {
    /// `Proxy-Authorization`; never for whoever is behind the proxy.
    pub authorization: Option<HeaderValue>,
    /// Authorities that are trusted beside the others: for TLS to the proxy, and
    /// for what answers through it.
    pub authorities: Option<Authorities>,
}

/// Certificates of authorities.
#[derive(Clone)]
pub struct Authorities {
    pub tls: Arc<ClientTls>,
    pub pem: Arc<[u8]>,
}

/// A proxy's URL.
pub struct Address {
    tls: bool,
    host: String,
    port: u16,
    /// A user's name, and a password.
    pub user: Option<(String, Secret)>,
}

/// Why a text is no proxy's URL; shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoProxy(pub &'static str);

impl FromStr for Address {
    type Err = NoProxy;

    /// `http://proxy:3128`, `https://proxy:3129`; the scheme's own port may be
    /// left out.
    fn from_str(text: &str) -> Result<Self, NoProxy> {
        let url = Url::parse(text).map_err(|_| NoProxy("it is no URL"))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
                return Err(NoProxy(
                    "SOCKS proxies are not supported, only HTTP proxies",
                ));
            }
            _ => return Err(NoProxy("its scheme is neither `http` nor `https`")),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(NoProxy("a proxy has no path, query or fragment"));
        }
        let host = match url.host() {
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => return Err(NoProxy("it names no host")),
        };
        Ok(Self {
            tls,
            host,
            port: url
                .port_or_known_default()
                .ok_or(NoProxy("it has no port"))?,
            user: user(&url)?,
        })
    }
}

fn user(url: &Url) -> Result<Option<(String, Secret)>, NoProxy> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decoded = |text| {
        let text = percent_decode_str(text).decode_utf8();
        text.map_err(|_| NoProxy("its user's name or password is not UTF-8"))
    };
    let name = decoded(url.username())?.into_owned();
    let password = decoded(url.password().unwrap_or_default())?.into_owned();
    Ok(Some((name, Secret::new(password))))
}

/// `Basic` credentials (RFC 7617, 2), as `Proxy-Authorization` has them.
///
/// # Errors
/// When the name holds a colon, or one of the two a control character.
pub fn basic(name: &str, password: &Secret) -> Result<HeaderValue, NoProxy> {
    let password = password.expose();
    let has_control = |text: &str| text.contains(char::is_control);
    if name.contains(':') || has_control(name) || has_control(password) {
        return Err(NoProxy(
            "a user's name has no colon, and neither it nor a password control characters",
        ));
    }
    let pair = zeroize::Zeroizing::new(format!("{name}:{password}"));
    let coded = zeroize::Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(&*pair)));
    let mut value =
        HeaderValue::from_str(&coded).map_err(|_| NoProxy("it can't be written in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Proxy {
    /// The proxy at an address; the address's own user counts for nothing here.
    #[must_use]
    pub fn new(address: Address, login: Login) -> Self {
        let Address {
            tls, host, port, ..
        } = address;
        let digest = digest(tls, &host, port, &login);
        Self {
            tls,
            host,
            port,
            variable: None,
            login,
            digest,
        }
    }

    /// Where it is, and which variable says so.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self.variable {
            Some(variable) => format!("{self} (of {variable})"),
            None => self.to_string(),
        }
    }

    /// Whether it is at this listening address, as far as its URL tells.
    #[must_use]
    pub fn is_at(&self, listening: SocketAddr) -> bool {
        self.port == listening.port() && reaches(&self.host, listening.ip())
    }

    /// One that a variable of the environment names, with the user in its URL.
    ///
    /// # Errors
    /// When the user can't be shown to a proxy.
    pub fn of_variable(variable: &'static str, address: Address) -> Result<Self, NoProxy> {
        let user = address.user.as_ref();
        let authorization = user.map(|(name, password)| basic(name, password));
        let login = Login {
            authorization: authorization.transpose()?,
            authorities: None,
        };
        Ok(Self {
            variable: Some(variable),
            ..Self::new(address, login)
        })
    }
}

/// Of everything.
fn digest(tls: bool, host: &str, port: u16, login: &Login) -> [u8; 32] {
    let shown = login.authorization.as_ref().map(HeaderValue::as_bytes);
    let pem = login.authorities.as_ref().map(|ca| &*ca.pem);
    let (tls, port) = ([u8::from(tls)], port.to_be_bytes());
    sha256_of_parts([
        Some(&tls[..]),
        Some(&port[..]),
        Some(host.as_bytes()),
        shown,
        pem,
    ])
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Proxy {}

impl Hash for Proxy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// `http://proxy:3128`: nothing that is secret.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Login, Proxy, Secret, basic};

    fn of(url: &str) -> Proxy {
        Proxy::of_variable("https_proxy", url.parse::<Address>().unwrap()).unwrap()
    }

    #[test]
    fn a_url_is_a_place_and_a_user() {
        let proxy = of("https://us%65r:p%3Ass%40@Proxy.test:3129/");
        assert_eq!(proxy.to_string(), "https://proxy.test:3129");
        let shown = proxy.login.authorization.as_ref().unwrap();
        assert_eq!(shown, "Basic dXNlcjpwOnNzQA==");
        assert!(shown.is_sensitive());
        assert!(!format!("{proxy:?}").contains("dXNl"));
        assert_eq!(of("http://[::1]:1").to_string(), "http://[::1]:1");
        assert_eq!(of("http://p").port, 80);
        assert_eq!(of("https://p").port, 443);
    }

    #[test]
    fn what_is_no_http_proxy_is_refused_without_showing_it() {
        for bad in [
            "socks5://u:hunter2@p:1080",
            "ftp://p",
            "p:3128",
            "",
            "http://",
            "http://p/path",
            "http://p?q",
            "http://u:%ff@p",
        ] {
            let why = bad.parse::<Address>().err().expect(bad);
            assert!(!format!("{why:?}").contains("hunter2"));
        }
        let name = |name: &str| basic(name, &Secret::new("x".into())).is_ok();
        assert!(name("a b") && !name("a:b") && !name("a\nb"));
    }

    #[test]
    fn another_login_is_another_proxy() {
        let plain = of("http://p:1");
        assert_eq!(plain, of("http://p:1"));
        let login = Login {
            authorization: Some(basic("u", &Secret::new("x".into())).unwrap()),
            authorities: None,
        };
        let with = Proxy::new("http://p:1".parse().unwrap(), login);
        assert_ne!(plain, with);
        assert_ne!(plain, of("https://p:1"));
    }
}
