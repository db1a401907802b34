//! Accounts that were created while a process ran, this one or an earlier one.

use crate::account::{self, ConnectedAccount};
use crate::config::checked::Config;
use crate::refresh::{self, Created};
use crate::store::{Store, StoreError};
use std::sync::Arc;

/// Those that the store keeps and the configuration still has room for; of the
/// others it is said why not. Blocks.
///
/// # Errors
/// When the store can't be read.
pub fn accounts(
    store: &dyn Store,
    config: &Config,
) -> Result<Vec<Arc<ConnectedAccount>>, StoreError> {
    let (kept, problems) = refresh::created(store)?;
    for problem in problems {
        tracing::error!("a created account can't be used: {problem}");
    }
    let accounts = kept.iter().filter_map(|created| {
        account(created, config)
            .map_err(|why| {
                tracing::error!(account = %created.key, "was created, and can't be used now: {why}");
            })
            .ok()
    });
    Ok(accounts.collect())
}

fn account(created: &Created, config: &Config) -> Result<Arc<ConnectedAccount>, String> {
    if config.accounts.iter().any(|a| a.key == created.key) {
        return Err("the configuration has an account of the same key, which is used".to_owned());
    }
    let mut integrations = config.integrations.iter();
    let integration = integrations
        .find(|integration| integration.key == created.integration)
        .ok_or("its integration is gone from the configuration")?;
    let made = account::create(created.key.clone(), integration, &created.parameters)
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(made))
}
