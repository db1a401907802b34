//! Accounts that a person creates while the process runs. The configuration
//! file is trusted; what comes by page or API is not, so its values may not
//! decide at which server the client secret and the tokens arrive.

use super::connected::{ConnectedAccount, ResolveError};
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::base::template::UrlTemplate;
use crate::config::checked::{Account, Integration, OAuth2, ParameterSpec, ParameterValue};
use regex_lite::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;

/// No value of a parameter is longer, in bytes.
const LONGEST_VALUE: usize = 4 * 1024;
/// RFC 1035, 2.3.4.
const LONGEST_LABEL: usize = 63;

/// Fills values that are not trusted into an integration; defaults stand where
/// none is given.
///
/// # Errors
/// When a value is missing, unknown or not allowed by its `pattern` or `enum`,
/// when one that stands in a URL's host or port is neither checked by them nor
/// a single label in front of a fixed suffix, or when it does not fit its place.
pub fn create(
    key: AccountKey,
    integration: &Arc<Integration>,
    values: &BTreeMap<String, String>,
) -> Result<ConnectedAccount, ResolveError> {
    let unknown = values
        .keys()
        .find(|name| !integration.parameters.iter().any(|p| p.name == **name));
    if unknown.is_some() {
        let what = "the integration has no parameter of that name";
        return Err(ResolveError::new("parameters", what));
    }
    let mut parameters = BTreeMap::new();
    for spec in &integration.parameters {
        let text = value(spec, values)?;
        check_place(&integration.oauth2, spec, text)?;
        let value = match spec.secret {
            true => ParameterValue::Secret(Secret::new(text.to_owned())),
            false => ParameterValue::Plain(text.to_owned()),
        };
        parameters.insert(spec.name.clone(), value);
    }
    ConnectedAccount::resolve(&Account {
        key,
        integration: integration.clone(),
        parameters,
    })
}

fn value<'v>(
    spec: &'v ParameterSpec,
    values: &'v BTreeMap<String, String>,
) -> Result<&'v str, ResolveError> {
    let given = values.get(&spec.name).map(String::as_str);
    let Some(text) = given.or(spec.default.as_deref()) else {
        return Err(wrong(spec, "a value is missing"));
    };
    if text.len() > LONGEST_VALUE {
        return Err(wrong(spec, "the value is longer than 4 KiB"));
    }
    if text.chars().any(char::is_control) {
        return Err(wrong(spec, "the value holds a control character"));
    }
    let chosen = spec.choices.as_ref();
    if chosen.is_some_and(|choices| !choices.iter().any(|choice| choice == text)) {
        return Err(wrong(spec, "the value is none of the choices"));
    }
    if let Some(pattern) = &spec.pattern {
        // The configuration's check has compiled it already.
        let matches =
            Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(text));
        if !matches {
            let what = format!("the value must match {pattern}");
            return Err(wrong(spec, &what));
        }
    }
    Ok(text)
}

fn check_place(oauth: &OAuth2, spec: &ParameterSpec, text: &str) -> Result<(), ResolveError> {
    check_authority(urls(oauth), spec, text)
}

/// The upstream of a route, for an account that was created: its values do not
/// decide where its token arrives either, beyond what the configuration allows.
///
/// # Errors
/// When one does, or does not fit its place.
pub fn upstream(template: &UrlTemplate, account: &ConnectedAccount) -> Result<Url, ResolveError> {
    let value = |name: &str| {
        let found = account.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.text())
    };
    for spec in &account.integration.parameters {
        let text = value(&spec.name).unwrap_or_default();
        check_authority(std::iter::once(template), spec, text)?;
    }
    let url = template.expand(&value);
    url.map_err(|error| ResolveError::new("upstream", error.what))
}

fn check_authority<'u>(
    urls: impl Iterator<Item = &'u UrlTemplate>,
    spec: &ParameterSpec,
    text: &str,
) -> Result<(), ResolveError> {
    if spec.pattern.is_some() || spec.choices.is_some() {
        return Ok(());
    }
    let leads = |url: &&UrlTemplate| url.authority_parameters().any(|name| name == spec.name);
    for url in urls.filter(leads) {
        if !url.has_fixed_suffix() {
            let what = "it decides at which server the client secret or the token arrives: the \
                        integration must limit it by `pattern` or `enum`";
            return Err(wrong(spec, what));
        }
        if !is_label(text) {
            let what = "only letters, digits and `-` can stand in a server's name here";
            return Err(wrong(spec, what));
        }
    }
    Ok(())
}

fn urls(oauth: &OAuth2) -> impl Iterator<Item = &UrlTemplate> {
    let optional = [
        &oauth.authorization_endpoint,
        &oauth.revocation_endpoint,
        &oauth.redirect_uri,
    ];
    let optional = optional.into_iter().flatten();
    std::iter::once(&oauth.token_endpoint).chain(optional)
}

fn is_label(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let inside = !text.starts_with('-') && !text.ends_with('-');
    (1..=LONGEST_LABEL).contains(&text.len()) && text.bytes().all(fits) && inside
}

fn wrong(spec: &ParameterSpec, what: &str) -> ResolveError {
    ResolveError::new(&format!("parameters.{}", spec.name), what)
}
