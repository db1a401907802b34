//! The variables by which other programs find their proxy, too.

use super::Outgoing;
use super::except::Except;
use super::proxy::{Address, Proxy};
use std::sync::Arc;

/// `HTTP_PROXY` is none of them: where a web server runs programs (CGI), a
/// request's field `Proxy` becomes that variable.
const PLAIN: [&str; 1] = ["http_proxy"];
const TLS: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
const ALL: [&str; 2] = ["all_proxy", "ALL_PROXY"];
const NO: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// What the environment says.
#[derive(Default)]
pub struct Environment {
    /// `None`: nothing.
    pub outgoing: Option<Arc<Outgoing>>,
    /// What of it is no use, in words for people; nothing secret.
    pub ignored: Vec<String>,
}

/// Reads the variables, by what gives the value of each.
#[must_use]
pub fn read(env: &dyn Fn(&str) -> Option<String>) -> Environment {
    let mut ignored = Vec::new();
    let all = proxy(env, &ALL, &mut ignored);
    let mut own = |names: &[&'static str]| proxy(env, names, &mut ignored).or(all.clone());
    let (plain, tls) = (own(&PLAIN), own(&TLS));
    if plain.is_none() && tls.is_none() {
        return Environment {
            outgoing: None,
            ignored,
        };
    }
    let (name, text) = value(env, &NO).unwrap_or_default();
    let (except, bad) = Except::of_variable(&text);
    ignored.extend(bad.iter().map(|bad| {
        format!("{bad:?} of the variable {name} is no host, address or block, and is ignored")
    }));
    let outgoing = Outgoing {
        plain,
        tls,
        except,
        spares_loopback: true,
    };
    Environment {
        outgoing: Some(Arc::new(outgoing)),
        ignored,
    }
}

/// The first of these variables that says something.
fn value(
    env: &dyn Fn(&str) -> Option<String>,
    names: &[&'static str],
) -> Option<(&'static str, String)> {
    let mut values = names.iter().filter_map(|name| Some((*name, env(name)?)));
    values.find(|(_, value)| !value.trim().is_empty())
}

fn proxy(
    env: &dyn Fn(&str) -> Option<String>,
    names: &[&'static str],
    ignored: &mut Vec<String>,
) -> Option<Arc<Proxy>> {
    let (name, text) = value(env, names)?;
    let text = text.trim();
    // Without a scheme it is an HTTP proxy, as other programs take it.
    let address = match text.contains("://") {
        true => text.parse::<Address>(),
        false => format!("http://{text}").parse(),
    };
    match address.and_then(|address| Proxy::of_variable(name, address)) {
        Ok(proxy) => Some(Arc::new(proxy)),
        Err(why) => {
            ignored.push(format!("the variable {name} is ignored: {}", why.0));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Environment, read};

    fn of(variables: &[(&str, &str)]) -> Environment {
        read(&|name| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn chosen(environment: &Environment, tls: bool, host: &str) -> Option<String> {
        let outgoing = environment.outgoing.as_ref()?;
        outgoing.choose(tls, host, 443).map(|p| p.to_string())
    }

    #[test]
    fn the_lower_case_goes_first_and_all_is_for_the_rest() {
        let it = of(&[
            ("https_proxy", "http://lower:1"),
            ("HTTPS_PROXY", "http://upper:1"),
            ("ALL_PROXY", "rest:2"),
            ("HTTP_PROXY", "http://cgi:3"),
            ("NO_PROXY", "here.test"),
        ]);
        assert_eq!(chosen(&it, true, "a.test").unwrap(), "http://lower:1");
        assert_eq!(chosen(&it, false, "a.test").unwrap(), "http://rest:2");
        assert_eq!(chosen(&it, true, "x.here.test"), None);
        assert_eq!(chosen(&it, true, "localhost"), None);
        let it = of(&[("https_proxy", " "), ("HTTPS_PROXY", "http://upper:1")]);
        assert_eq!(chosen(&it, true, "a.test").unwrap(), "http://upper:1");
        assert_eq!(chosen(&it, false, "a.test"), None);
        assert!(of(&[("HTTP_PROXY", "http://cgi:3")]).outgoing.is_none());
    }

    #[test]
    fn what_is_no_use_is_told_and_no_secret_with_it() {
        let it = of(&[
            ("https_proxy", "socks5://u:hunter2@p:1080"),
            ("http_proxy", "http://u:hunter2@p:1"),
            ("no_proxy", "ok.test 10.*"),
        ]);
        assert_eq!(chosen(&it, true, "a.test"), None, "its own variable counts");
        assert_eq!(chosen(&it, false, "a.test").unwrap(), "http://p:1");
        assert_eq!(it.ignored.len(), 2, "{:?}", it.ignored);
        let said = it.ignored.concat();
        assert!(said.contains("https_proxy is ignored: SOCKS"), "{said}");
        assert!(said.contains("10.*") && !said.contains("hunter2"), "{said}");
    }
}
