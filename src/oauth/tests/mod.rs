//! Token requests as a server reads them, answers as servers give them, and
//! servers that misbehave.

mod exchange;
mod request;
mod response;

use crate::account::OAuthClient;
use crate::base::secret::Secret;
use crate::config::checked::{ClientAuth, CodeChallenge, GrantType, TokenMethod};

fn client(endpoint: &str) -> OAuthClient {
    OAuthClient {
        grant_type: GrantType::ClientCredentials,
        authorization_endpoint: None,
        revocation_endpoint: None,
        proxy: None,
        redirect_uri: None,
        issuer: None,
        code_challenge_method: CodeChallenge::S256,
        authorization_parameters: Vec::new(),
        token_endpoint: endpoint.parse::<url::Url>().unwrap().into(),
        token_endpoint_method: TokenMethod::Post,
        token_endpoint_auth_method: ClientAuth::Basic,
        scope: Some("api read".to_owned()),
        client_id: "my:client".to_owned(),
        client_secret: None,
        token_parameters: Vec::new(),
        secret_values: Vec::new(),
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}
