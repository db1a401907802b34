//! Connected accounts: an integration with its parameters filled in.

mod connected;

pub use connected::{AttachPlan, ConnectedAccount, OAuthClient, ResolveError, SecretSource};
