//! Token requests as a server reads them, answers as servers give them, and
//! servers that misbehave.

mod exchange;
mod request;
mod response;

use crate::account::{OAuthClient, OAuthTerms};
use crate::base::secret::Secret;
use crate::config::checked::{ClientAuth, CodeChallenge, GrantType, TokenMethod};
use std::sync::Arc;

fn client(endpoint: &str) -> OAuthClient {
    OAuthClient {
        token_endpoint: endpoint.parse::<url::Url>().unwrap().into(),
        client_id: "my:client".to_owned(),
        client_secret: None,
        secret_values: Box::default(),
        terms: Arc::new(OAuthTerms {
            grant_type: GrantType::ClientCredentials,
            authorization_endpoint: None,
            revocation_endpoint: None,
            proxy: None,
            redirect_uri: None,
            issuer: None,
            code_challenge_method: CodeChallenge::S256,
            authorization_parameters: Vec::new(),
            token_endpoint_method: TokenMethod::Post,
            token_endpoint_auth_method: ClientAuth::Basic,
            scope: Some("api read".to_owned()),
            token_parameters: Vec::new(),
        }),
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}
