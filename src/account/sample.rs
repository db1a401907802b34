//! What the tests of several wings begin with.

use super::OAuthTerms;
use crate::config::checked::{ClientAuth, CodeChallenge, GrantType, TokenMethod};

impl OAuthTerms {
    /// The usual ones, with nothing that need not be there.
    pub fn sample(grant_type: GrantType, scope: &str) -> Self {
        Self {
            grant_type,
            authorization_endpoint: None,
            token_endpoint_method: TokenMethod::Post,
            token_endpoint_auth_method: ClientAuth::Basic,
            revocation_endpoint: None,
            proxy: None,
            redirect_uri: None,
            issuer: None,
            scope: Some(scope.to_owned()),
            code_challenge_method: CodeChallenge::S256,
            authorization_parameters: Vec::new(),
            token_parameters: Vec::new(),
        }
    }
}
