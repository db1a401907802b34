//! Connected accounts: an integration with its parameters filled in.

mod connected;
mod create;
mod difference;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use connected::{
    AttachPlan, ConnectedAccount, OAuthClient, OAuthTerms, ResolveError, SecretSource,
};
pub use create::{create, upstream};
pub use difference::Difference;
