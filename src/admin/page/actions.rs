//! What a person can have done besides a refresh.

use crate::base::id::AccountKey;
use std::collections::BTreeMap;
use std::pin::Pin;

/// Something that is being done.
pub type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How it ended, in words; the error's are for the person too.
pub type Done = Result<String, String>;

/// What others do for the page.
pub trait Actions: Send + Sync + 'static {
    /// Ends the tokens at the authorization server.
    fn revoke(&self, account: &AccountKey) -> Doing<Done>;

    /// Revokes where that is possible, and forgets.
    fn disconnect(&self, account: &AccountKey) -> Doing<Done>;

    /// Makes an account; the errors are about what was filled in.
    fn create(
        &self,
        account: AccountKey,
        integration: &str,
        parameters: BTreeMap<String, String>,
    ) -> Doing<Result<(), Vec<String>>>;
}
