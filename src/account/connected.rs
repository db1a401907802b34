//! One integration with its parameters filled in, every input expanded and
//! escaped for its place.

use crate::base::id::AccountKey;
use crate::base::outgoing::Outgoing;
use crate::base::secret::Secret;
use crate::base::template::{Template, UrlTemplate};
use crate::config::checked::{
    Account, ClientAuth, ClientSecret, CodeChallenge, GrantType, Integration, OAuth2,
    ParameterValue, Placement, RequestParameter, TokenMethod, is_of_the_connection,
};
use http::{HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// A connected account, ready to fetch tokens and to attach them. `Debug` shows
/// no input that parameters may have filled in: they may be secret.
pub struct ConnectedAccount {
    pub key: AccountKey,
    pub integration: Arc<Integration>,
    /// In the order of their names. There may be very many accounts, so that what
    /// few of them have, or little of, must take little room.
    pub parameters: Box<[(String, ParameterValue)]>,
    pub oauth: OAuthClient,
    /// One for all accounts of an integration where their parameters are not in it.
    pub attach: Arc<AttachPlan>,
}

/// The integration's `oauth2` block for this account.
#[derive(PartialEq, Eq)]
pub struct OAuthClient {
    pub client_id: String,
    /// One for all accounts of an integration likewise.
    pub client_secret: Option<Arc<SecretSource>>,
    /// One for all accounts of an integration likewise.
    pub token_endpoint: Arc<Url>,
    /// Values of secret parameters: a server's answer that repeats one is not shown.
    pub secret_values: Box<[Secret]>,
    /// One for all accounts of an integration likewise.
    pub terms: Arc<OAuthTerms>,
}

/// What parameters are seldom in.
#[derive(PartialEq, Eq)]
pub struct OAuthTerms {
    pub grant_type: GrantType,
    /// Where a person gives consent; there for every `authorization_code` account.
    pub authorization_endpoint: Option<Box<Url>>,
    pub token_endpoint_method: TokenMethod,
    pub token_endpoint_auth_method: ClientAuth,
    /// RFC 7009.
    pub revocation_endpoint: Option<Box<Url>>,
    /// `None`: token requests go out by themselves.
    pub proxy: Option<Arc<Outgoing>>,
    /// Where another than the default one is registered.
    pub redirect_uri: Option<Box<Url>>,
    /// How the authorization server names itself in its answers (RFC 9207).
    pub issuer: Option<Box<str>>,
    pub scope: Option<String>,
    pub code_challenge_method: CodeChallenge,
    /// Names and values as they go into the address, before form-encoding.
    pub authorization_parameters: Vec<(String, String)>,
    /// Names and values as they go into the request, before form-encoding.
    pub token_parameters: Vec<(String, String)>,
}

impl Deref for OAuthClient {
    type Target = OAuthTerms;

    fn deref(&self) -> &OAuthTerms {
        &self.terms
    }
}

#[cfg(test)]
impl std::ops::DerefMut for OAuthClient {
    fn deref_mut(&mut self) -> &mut OAuthTerms {
        Arc::get_mut(&mut self.terms).expect("they are shared")
    }
}

/// How the token and the request parameters are written, all parameters but
/// `{token}` filled in.
#[derive(Clone, PartialEq, Eq)]
pub struct AttachPlan {
    pub place: Placement,
    /// A valid header name, or a decoded query parameter name.
    pub name: String,
    /// Holds `{token}` only.
    pub value: Template,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Names and values, decoded.
    pub query: Vec<(String, String)>,
}

/// Where the client secret is taken from at each token request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Read again each time, so that a rotated secret is picked up.
    File(PathBuf),
    Text(Secret),
}

/// An input that the parameters' values don't fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveError {
    /// The input, as a path of keys: `oauth2.token_endpoint`.
    pub input: String,
    /// For people; holds no secret.
    pub what: String,
}

impl fmt::Debug for ConnectedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectedAccount")
            .field("key", &self.key)
            .field("integration", &self.integration.key)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient")
            .field("grant_type", &self.grant_type)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AttachPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachPlan")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.input, self.what)
    }
}

impl std::error::Error for ResolveError {}

impl ConnectedAccount {
    /// Fills the account's parameters into its integration.
    ///
    /// # Errors
    /// When a value does not fit where its parameter stands.
    pub fn resolve(account: &Account) -> Result<Self, ResolveError> {
        Self::resolve_like(account, None)
    }

    /// The same, sharing with another account of the integration what is equal.
    ///
    /// # Errors
    /// As [`ConnectedAccount::resolve`].
    pub fn resolve_like(account: &Account, like: Option<&Self>) -> Result<Self, ResolveError> {
        let integration = &account.integration;
        let values = Values(&account.parameters);
        Ok(Self {
            key: account.key.apart(),
            integration: integration.clone(),
            parameters: account.parameters.clone().into_iter().collect(),
            oauth: resolve_oauth(&integration.oauth2, &values, like.map(|like| &like.oauth))?,
            attach: shared(
                resolve_attach(integration, &values)?,
                like.map(|like| &like.attach),
            ),
        })
    }
}

/// What was made, or what is equal to it and lies in memory already.
fn shared<T: PartialEq>(made: T, like: Option<&Arc<T>>) -> Arc<T> {
    match like {
        Some(like) if **like == made => like.clone(),
        _ => Arc::new(made),
    }
}

fn resolve_oauth(
    oauth: &OAuth2,
    values: &Values<'_>,
    like: Option<&OAuthClient>,
) -> Result<OAuthClient, ResolveError> {
    let endpoint = values.url("oauth2.token_endpoint", &oauth.token_endpoint)?;
    let like_secret = like.and_then(|like| like.client_secret.as_ref());
    let secret = oauth.client_secret.as_ref();
    Ok(OAuthClient {
        client_id: values.text("oauth2.client_id", &oauth.client_id)?,
        client_secret: secret
            .map(|secret| values.secret(secret))
            .transpose()?
            .map(|secret| shared(secret, like_secret)),
        token_endpoint: shared(endpoint, like.map(|like| &like.token_endpoint)),
        secret_values: values.secrets(),
        terms: shared(resolve_terms(oauth, values)?, like.map(|like| &like.terms)),
    })
}

fn resolve_terms(oauth: &OAuth2, values: &Values<'_>) -> Result<OAuthTerms, ResolveError> {
    let (scope, issuer) = (oauth.scope.as_ref(), oauth.issuer.as_ref());
    let (authorization, revocation) = (&oauth.authorization_endpoint, &oauth.revocation_endpoint);
    Ok(OAuthTerms {
        grant_type: oauth.grant_type,
        authorization_endpoint: values
            .some_url("oauth2.authorization_endpoint", authorization.as_ref())?,
        token_endpoint_method: oauth.token_endpoint_method,
        token_endpoint_auth_method: oauth.token_endpoint_auth_method,
        proxy: oauth.proxy.clone(),
        revocation_endpoint: values.some_url("oauth2.revocation_endpoint", revocation.as_ref())?,
        redirect_uri: values.some_url("oauth2.redirect_uri", oauth.redirect_uri.as_ref())?,
        issuer: issuer
            .map(|issuer| values.text("oauth2.issuer", issuer))
            .transpose()?
            .map(String::into_boxed_str),
        scope: scope
            .map(|scope| values.text("oauth2.scope", scope))
            .transpose()?,
        code_challenge_method: oauth.code_challenge_method,
        authorization_parameters: values.pairs(
            "oauth2.authorization_parameters",
            &oauth.authorization_parameters,
        )?,
        token_parameters: values.pairs("oauth2.token_parameters", &oauth.token_parameters)?,
    })
}

fn resolve_attach(
    integration: &Integration,
    values: &Values<'_>,
) -> Result<AttachPlan, ResolveError> {
    let token = &integration.token;
    let name = values.text("token.name", &token.name)?;
    if token.place == Placement::Header {
        header_name("token.name", &name)?;
    }
    let mut plan = AttachPlan {
        place: token.place,
        name,
        value: token.value.fill(&|name| values.get(name)),
        headers: Vec::new(),
        query: Vec::new(),
    };
    check_token_template(&plan.value)?;
    for (index, parameter) in integration.request_parameters.iter().enumerate() {
        add_parameter(&mut plan, index, parameter, values)?;
    }
    Ok(plan)
}

fn check_token_template(value: &Template) -> Result<(), ResolveError> {
    let mut found = false;
    for name in value.parameters() {
        if name != "token" {
            let what = format!("the account has no value for {{{name}}}");
            return Err(ResolveError::new("token.value", what));
        }
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err(ResolveError::new("token.value", "{token} is missing"))
    }
}

fn add_parameter(
    plan: &mut AttachPlan,
    index: usize,
    parameter: &RequestParameter,
    values: &Values<'_>,
) -> Result<(), ResolveError> {
    let at_name = format!("request_parameters[{index}].name");
    let at_value = format!("request_parameters[{index}].value");
    let name = values.text(&at_name, &parameter.name)?;
    let value = values.text(&at_value, &parameter.value)?;
    match parameter.place {
        Placement::Query => plan.query.push((name, value)),
        Placement::Header => {
            let name = header_name(&at_name, &name)?;
            let mut written = HeaderValue::from_str(&value)
                .map_err(|_| ResolveError::new(&at_value, "a header can't hold this value"))?;
            written.set_sensitive(values.any_secret(&parameter.value));
            plan.headers.push((name, written));
        }
    }
    Ok(())
}

fn header_name(input: &str, name: &str) -> Result<HeaderName, ResolveError> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| ResolveError::new(input, "not a header's name (RFC 9110, 5.1)"))?;
    if is_of_the_connection(&header) {
        let what = "this header belongs to the connection and can't be set";
        return Err(ResolveError::new(input, what));
    }
    Ok(header)
}

/// The account's values, by parameter.
struct Values<'a>(&'a BTreeMap<String, ParameterValue>);

impl<'a> Values<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| match value {
            ParameterValue::Plain(text) => text.as_str(),
            ParameterValue::Secret(secret) => secret.expose(),
        })
    }

    fn text(&self, input: &str, template: &Template) -> Result<String, ResolveError> {
        template
            .expand(&|name| self.get(name))
            .map_err(|error| ResolveError::new(input, error.what))
    }

    fn url(&self, input: &str, template: &UrlTemplate) -> Result<Url, ResolveError> {
        template
            .expand(&|name| self.get(name))
            .map_err(|error| ResolveError::new(input, error.what))
    }

    fn some_url(
        &self,
        input: &str,
        template: Option<&UrlTemplate>,
    ) -> Result<Option<Box<Url>>, ResolveError> {
        template
            .map(|t| self.url(input, t).map(Box::new))
            .transpose()
    }

    fn pairs(
        &self,
        input: &str,
        pairs: &[(String, Template)],
    ) -> Result<Vec<(String, String)>, ResolveError> {
        let expanded = pairs.iter().map(|(name, value)| {
            let input = format!("{input}.{name}");
            Ok((name.clone(), self.text(&input, value)?))
        });
        expanded.collect()
    }

    fn secret(&self, secret: &ClientSecret) -> Result<SecretSource, ResolveError> {
        match secret {
            ClientSecret::File(path) => Ok(SecretSource::File(path.clone())),
            ClientSecret::Text(template) => {
                let text = self.text("oauth2.client_secret", &template.0)?;
                Ok(SecretSource::Text(Secret::new(text)))
            }
        }
    }

    fn secrets(&self) -> Box<[Secret]> {
        let secrets = self.0.values().filter_map(|value| match value {
            ParameterValue::Plain(_) => None,
            ParameterValue::Secret(secret) => Some(secret.clone()),
        });
        secrets.collect()
    }

    fn any_secret(&self, template: &Template) -> bool {
        template
            .parameters()
            .any(|name| matches!(self.0.get(name), Some(ParameterValue::Secret(_))))
    }
}

impl ResolveError {
    pub(super) fn new(input: &str, what: impl Into<String>) -> Self {
        Self {
            input: input.to_owned(),
            what: what.into(),
        }
    }
}
