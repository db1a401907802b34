//! Who may use the account API: the `Host` and `Origin` checks, which keep
//! other sites' pages out, and the admin token.

use crate::base::secret::Secret;
use arc_swap::ArcSwap;
use http::Method;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use std::net::IpAddr;
use std::sync::Arc;
use url::Url;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The check of one admin listener.
pub struct Guard {
    token: ArcSwap<Secret>,
    /// Host of the public address, in lower case.
    host: Option<String>,
    /// `scheme://host[:port]` of the public address.
    origin: Option<String>,
}

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No `Host`, or more than one.
    BadHost,
    /// A name that is not ours: perhaps another site's, pointed at us.
    ForeignHost,
    /// Sent by another site's page.
    ForeignPage,
    /// No admin token, or a wrong one.
    NoToken,
}

impl Guard {
    /// A guard that knows the token and the address at which browsers find us.
    #[must_use]
    pub fn new(token: Secret, public_url: &str) -> Self {
        let url = Url::parse(public_url).ok();
        Self {
            token: ArcSwap::from_pointee(token),
            host: url.as_ref().and_then(Url::host_str).map(str::to_owned),
            origin: url.map(|url| url.origin().ascii_serialization()),
        }
    }

    /// From now on this is the token; true where it is another one.
    pub fn set_token(&self, token: Secret) -> bool {
        let token = Arc::new(token);
        *self.token.swap(token.clone()) != *token
    }

    /// Lets a call in, or says why not.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.own_host(headers)?;
        if !self.is_own_page(headers, host) {
            return Err(Refusal::ForeignPage);
        }
        self.has_token(headers)
            .then_some(())
            .ok_or(Refusal::NoToken)
    }

    /// Lets a browser see a page, without a look at who it is. A link on
    /// another site may lead here, as the way back from an authorization
    /// server does; a form there may not.
    ///
    /// # Errors
    /// The reason.
    pub fn check_page(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.own_host(headers)?;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let goes = headers
            .get(&SEC_FETCH_MODE)
            .is_some_and(|m| m == "navigate");
        let whole = headers.get(&SEC_FETCH_DEST).is_none_or(|d| d == "document");
        let is_link = reads && goes && whole && !headers.contains_key(ORIGIN);
        (is_link || self.is_own_page(headers, host))
            .then_some(())
            .ok_or(Refusal::ForeignPage)
    }

    /// True for the admin token.
    #[must_use]
    pub fn is_token(&self, text: &str) -> bool {
        // Compared in constant time.
        Secret::new(text.trim().to_owned()) == **self.token.load()
    }

    /// True where the browser calls us by another name of this machine than
    /// that of the public address.
    #[must_use]
    pub fn is_other_name(&self, headers: &HeaderMap) -> bool {
        let (Some(host), Some(public)) = (only(headers, &HOST), &self.origin) else {
            return false;
        };
        let Ok(called) = Url::parse(&format!("http://{host}")) else {
            return false;
        };
        let own = self.host.as_deref().is_some_and(is_loopback);
        let here = called.host_str().is_some_and(is_loopback);
        own && here && called.origin().ascii_serialization() != *public
    }

    fn own_host<'h>(&self, headers: &'h HeaderMap) -> Result<&'h str, Refusal> {
        let host = only(headers, &HOST).ok_or(Refusal::BadHost)?;
        if self.is_ours(host) {
            Ok(host)
        } else {
            Err(Refusal::ForeignHost)
        }
    }

    /// A page can't make a browser send an address of ours as the `Host` of
    /// its own name; so literal addresses are fine, and names must be known.
    fn is_ours(&self, host: &str) -> bool {
        let Ok(url) = Url::parse(&format!("http://{host}/")) else {
            return false;
        };
        let plain = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        let name = url.host_str().unwrap_or_default();
        let literal = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        plain && (literal || name == "localhost" || self.host.as_deref() == Some(name))
    }

    fn is_own_page(&self, headers: &HeaderMap, host: &str) -> bool {
        let sites = headers.get_all(&SEC_FETCH_SITE);
        let origins = headers.get_all(ORIGIN);
        let direct = format!("http://{host}");
        sites
            .into_iter()
            .all(|site| site == "same-origin" || site == "none")
            && origins.into_iter().all(|origin| {
                *origin == *direct || self.origin.as_ref().is_some_and(|own| *origin == **own)
            })
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some((scheme, token)) = only(headers, &AUTHORIZATION).and_then(|v| v.split_once(' '))
        else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer") && self.is_token(token)
    }
}

fn is_loopback(host: &str) -> bool {
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The field's value where it stands exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

#[cfg(test)]
mod tests {
    use super::{Guard, Refusal};
    use crate::base::secret::Secret;
    use http::Method;
    use http::header::{HeaderMap, HeaderName, HeaderValue};

    fn check(fields: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let guard = Guard::new(
            Secret::new("s3cret".into()),
            "https://tokens.example.com/us",
        );
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        guard.check(&headers)
    }

    const TOKEN: (&str, &str) = ("authorization", "Bearer s3cret");

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let host = ("host", "127.0.0.1:7481");
        assert_eq!(check(&[host, TOKEN]), Ok(()));
        assert_eq!(check(&[host, ("authorization", "bearer  s3cret")]), Ok(()));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3cretx",
            "Basic s3cret",
            "s3cret",
            "Bearer ",
        ] {
            assert_eq!(
                check(&[host, ("authorization", wrong)]),
                Err(Refusal::NoToken),
                "{wrong}"
            );
        }
        assert_eq!(check(&[host]), Err(Refusal::NoToken));
        assert_eq!(check(&[host, TOKEN, TOKEN]), Err(Refusal::NoToken));
    }

    #[test]
    fn our_names_and_literal_addresses_are_hosts() {
        for ours in [
            "localhost",
            "LOCALHOST:7481",
            "[::1]:7481",
            "10.0.0.7",
            "tokens.example.com",
        ] {
            assert_eq!(check(&[("host", ours), TOKEN]), Ok(()), "{ours}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "a@localhost",
            "localhost/x",
            "",
        ] {
            assert_eq!(
                check(&[("host", foreign), TOKEN]),
                Err(Refusal::ForeignHost),
                "{foreign}"
            );
        }
        assert_eq!(check(&[TOKEN]), Err(Refusal::BadHost));
        let twice = [("host", "localhost"), ("host", "localhost"), TOKEN];
        assert_eq!(check(&twice), Err(Refusal::BadHost));
    }

    #[test]
    fn links_lead_here_and_forms_of_other_sites_do_not() {
        let guard = Guard::new(Secret::new("s".into()), "http://localhost:7481");
        let check = |method: Method, fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("localhost:7481"));
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            guard.check_page(&method, &headers)
        };
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        assert_eq!(check(Method::GET, &link), Ok(()));
        assert_eq!(check(Method::POST, &link), Err(Refusal::ForeignPage));
        let frame = [link[0], link[1], ("sec-fetch-dest", "iframe")];
        assert_eq!(check(Method::GET, &frame), Err(Refusal::ForeignPage));
        assert_eq!(
            check(Method::POST, &[("origin", "http://localhost:7481")]),
            Ok(())
        );
        let null = check(Method::POST, &[("origin", "null")]);
        assert_eq!(null, Err(Refusal::ForeignPage));
    }

    #[test]
    fn another_name_of_this_machine_is_noticed() {
        let named = |public: &str, host: &'static str| {
            let guard = Guard::new(Secret::new("s".into()), public);
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static(host));
            guard.is_other_name(&headers)
        };
        let public = "http://127.0.0.1:7481";
        assert!(named(public, "localhost:7481"));
        assert!(named(public, "[::1]:7481"));
        assert!(!named(public, "127.0.0.1:7481"));
        // A proxy in front calls us by an address of its own.
        assert!(!named("https://tokens.example.com", "127.0.0.1:7481"));
    }

    #[test]
    fn pages_of_other_sites_are_kept_out() {
        let host = ("host", "localhost:7481");
        for own in ["http://localhost:7481", "https://tokens.example.com"] {
            assert_eq!(check(&[host, TOKEN, ("origin", own)]), Ok(()), "{own}");
        }
        for foreign in ["https://evil.example", "null", "http://localhost:3000", ""] {
            let fields = [host, TOKEN, ("origin", foreign)];
            assert_eq!(check(&fields), Err(Refusal::ForeignPage), "{foreign}");
        }
        assert_eq!(
            check(&[host, TOKEN, ("sec-fetch-site", "same-origin")]),
            Ok(())
        );
        for foreign in ["cross-site", "same-site"] {
            let fields = [host, TOKEN, ("sec-fetch-site", foreign)];
            assert_eq!(check(&fields), Err(Refusal::ForeignPage), "{foreign}");
        }
    }
}
