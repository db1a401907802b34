//! Connected accounts: an integration with its parameters filled in.

mod connected;

#[cfg(test)]
mod tests;

pub use connected::{AttachPlan, ConnectedAccount, OAuthClient, ResolveError, SecretSource};
