//! Who may use the account API: the `Host` and `Origin` checks, which keep
//! other sites' pages out, and the admin token.

use crate::base::secret::Secret;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use std::net::IpAddr;
use url::Url;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The check of one admin listener.
pub struct Guard {
    token: Secret,
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
            token,
            host: url.as_ref().and_then(Url::host_str).map(str::to_owned),
            origin: url.map(|url| url.origin().ascii_serialization()),
        }
    }

    /// Lets a call in, or says why not.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.check_page(headers)?;
        self.has_token(headers)
            .then_some(())
            .ok_or(Refusal::NoToken)
    }

    /// Lets in what one of our own pages sends, whoever sits before it.
    ///
    /// # Errors
    /// The reason.
    pub fn check_page(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.check_host(headers)?;
        self.is_own_page(headers, host)
            .then_some(())
            .ok_or(Refusal::ForeignPage)
    }

    /// Gives the `Host`, which must be ours. A page may be reached by a link
    /// from anywhere; so this is all that is asked of a GET of one.
    ///
    /// # Errors
    /// The reason.
    pub fn check_host<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        let host = only(headers, &HOST).ok_or(Refusal::BadHost)?;
        self.is_ours(host)
            .then_some(host)
            .ok_or(Refusal::ForeignHost)
    }

    /// True for the admin token.
    pub fn is_token(&self, text: &str) -> bool {
        // Compared in constant time.
        Secret::new(text.to_owned()) == self.token
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
        scheme.eq_ignore_ascii_case("bearer") && self.is_token(token.trim())
    }
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
