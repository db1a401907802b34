//! Token requests as a server reads them, answers as servers give them, and
//! servers that misbehave.

mod exchange;
mod request;
mod response;

use crate::account::{OAuthClient, OAuthTerms};
use crate::base::secret::Secret;
use crate::config::checked::GrantType;
use std::sync::Arc;

fn client(endpoint: &str) -> OAuthClient {
    OAuthClient {
        token_endpoint: endpoint.parse::<url::Url>().unwrap().into(),
        client_id: "my:client".to_owned(),
        client_secret: None,
        secret_values: Box::default(),
        terms: Arc::new(OAuthTerms::sample(GrantType::ClientCredentials, "api read")),
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}
