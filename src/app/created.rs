//! Accounts that were created while a process ran, this one or an earlier one.

use crate::account::{self, ConnectedAccount};
use crate::base::id::AccountKey;
use crate::config::checked::Config;
use crate::refresh::{self, Created, Unread};
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How soon it is looked whether a record can be read again, at first and at last.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_mins(1);

/// What the store says of created accounts.
#[derive(Default)]
pub struct Kept {
    /// Those that the configuration has room for.
    pub accounts: Vec<Arc<ConnectedAccount>>,
    /// Whose records can't be read now.
    pub unread: Vec<AccountKey>,
}

/// Those that the store keeps and the configuration still has room for; of the
/// others it is said why not. `before` are those that are looked after already:
/// one of them whose record can't be read now stays as it was. Blocks.
///
/// # Errors
/// When the store can't be read at all.
pub fn accounts(
    store: &dyn Store,
    config: &Config,
    before: &[Arc<ConnectedAccount>],
) -> Result<Kept, StoreError> {
    let (mut created, unread) = refresh::created(store)?;
    created.extend(unread.iter().filter_map(|unread| known(unread, before)));
    let accounts = created.iter().filter_map(|created| {
        account(created, config)
            .map_err(|why| {
                tracing::error!(account = %created.key, "was created, and can't be used now: {why}");
            })
            .ok()
    });
    Ok(Kept {
        accounts: accounts.collect(),
        unread: unread.into_iter().filter_map(|unread| unread.key).collect(),
    })
}

/// Waits until one of these records can be read.
pub async fn until_readable(store: &Arc<dyn Store>, unread: &[AccountKey]) {
    let mut pause = FIRST_LOOK;
    loop {
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LAST_LOOK);
        let (store, unread) = (store.clone(), unread.to_vec());
        let looked = tokio::task::spawn_blocking(move || {
            let mut unread = unread.iter();
            unread.any(|key| refresh::can_be_read(&*store, key))
        });
        if looked.await.unwrap_or(false) {
            return;
        }
    }
}

/// What was known of it while it could be read.
fn known(unread: &Unread, before: &[Arc<ConnectedAccount>]) -> Option<Created> {
    let mut before = before.iter();
    let known = before.find(|account| Some(&account.key) == unread.key.as_ref());
    match known {
        Some(_) => tracing::error!(
            "a created account can't be read now, so it stays as it was, and is tried again: {unread}"
        ),
        None => tracing::error!("a created account can't be used: {unread}"),
    }
    known.map(|account| Created::of(account))
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
