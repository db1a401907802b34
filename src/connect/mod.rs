//! A person connects an account: the authorization code grant (RFC 6749, 4.1)
//! with PKCE (RFC 7636), and revocation (RFC 7009).

mod attempts;
mod callback;
mod connector;
mod issuer;
mod revoke;
mod url;
mod words;

#[cfg(test)]
mod tests;

pub use attempts::{Binding, Outcome};
pub use callback::{Done, Refusal};
pub use connector::{Connector, Preview, StartError, Started};
pub use revoke::{Revocation, RevokeError};
