//! Accounts that were created while an earlier process ran.

use crate::account;
use crate::config::checked::Config;
use crate::refresh::{self, Created, Setup};
use crate::store::Store;
use crate::token;
use std::sync::Arc;

/// Those that the store keeps and the configuration still has room for; of the
/// others it is said why not. Blocks.
pub fn setups(store: &dyn Store, config: &Config, configured: &[Setup]) -> Vec<Setup> {
    let kept = match refresh::created(store) {
        Ok((kept, problems)) => {
            for problem in problems {
                tracing::error!("a created account can't be used: {problem}");
            }
            kept
        }
        Err(why) => {
            tracing::error!("created accounts can't be read: {why}");
            return Vec::new();
        }
    };
    let setups = kept.iter().filter_map(|created| {
        setup(created, config, configured)
            .map_err(|why| {
                tracing::error!(account = %created.key, "was created, and can't be used now: {why}");
            })
            .ok()
    });
    setups.collect()
}

fn setup(created: &Created, config: &Config, configured: &[Setup]) -> Result<Setup, String> {
    if configured.iter().any(|a| a.account.key == created.key) {
        return Err("the configuration has an account of the same key, which is used".to_owned());
    }
    let mut integrations = config.integrations.iter();
    let integration = integrations
        .find(|integration| integration.key == created.integration)
        .ok_or("its integration is gone from the configuration")?;
    let made = account::create(created.key.clone(), integration, &created.parameters)
        .map_err(|error| error.to_string())?;
    // No route names it: nobody reads the other half.
    let (publisher, _) = token::slot();
    Ok(Setup {
        account: Arc::new(made),
        publisher,
        created: true,
    })
}
