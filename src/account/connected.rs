//! One integration with its parameters filled in, every input expanded and
//! escaped for its place.

use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::base::template::Template;
use crate::config::checked::{
    Account, ClientAuth, GrantType, Integration, ParameterValue, Placement, TokenMethod,
};
use http::{HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// A connected account, ready to fetch tokens and to attach them.
#[derive(Debug)]
pub struct ConnectedAccount {
    pub key: AccountKey,
    pub integration: Arc<Integration>,
    pub parameters: BTreeMap<String, ParameterValue>,
    pub oauth: OAuthClient,
    pub attach: AttachPlan,
}

/// The integration's `oauth2` block for this account.
#[derive(Debug)]
pub struct OAuthClient {
    pub grant_type: GrantType,
    pub token_endpoint: Url,
    pub token_endpoint_method: TokenMethod,
    pub token_endpoint_auth_method: ClientAuth,
    pub scope: Option<String>,
    pub client_id: String,
    pub client_secret: Option<SecretSource>,
    /// Names and values as they go into the request, before form-encoding.
    pub token_parameters: Vec<(String, String)>,
}

/// How the token and the request parameters are written, all parameters but
/// `{token}` filled in.
#[derive(Debug)]
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
#[derive(Clone, Debug)]
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
        let _ = account;
        todo!()
    }
}
