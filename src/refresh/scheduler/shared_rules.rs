//! The rules that all accounts of an integration share.

use crate::account::ConnectedAccount;
use crate::config::checked::{Integration, RefreshSettings};
use crate::refresh::machine::Rules;
use crate::refresh::owner;
use std::collections::HashMap;
use std::sync::Arc;

/// Each integration's rules, made once.
pub(super) struct SharedRules {
    settings: RefreshSettings,
    /// This process, as leases name it.
    owner: Arc<str>,
    /// By the integration's address; it is held, so that no other comes to lie there.
    made: HashMap<usize, (Arc<Integration>, Arc<Rules>)>,
}

impl SharedRules {
    pub fn new(settings: &RefreshSettings) -> Self {
        Self {
            settings: settings.clone(),
            owner: Arc::from(owner::this_process()),
            made: HashMap::new(),
        }
    }

    /// Forgets integrations that no account has any more.
    pub fn forget_unused(&mut self) {
        self.made
            .retain(|_, (integration, _)| Arc::strong_count(integration) > 1);
    }

    /// The rules for an account.
    pub fn of(&mut self, account: &ConnectedAccount) -> Arc<Rules> {
        let integration = &account.integration;
        let address = Arc::as_ptr(integration).addr();
        let (settings, owner) = (&self.settings, &self.owner);
        let make = || {
            (
                integration.clone(),
                Arc::new(rules(account, settings, owner)),
            )
        };
        self.made.entry(address).or_insert_with(make).1.clone()
    }
}

fn rules(account: &ConnectedAccount, settings: &RefreshSettings, owner: &Arc<str>) -> Rules {
    let refresh = &account.integration.refresh;
    Rules {
        grant_type: account.oauth.grant_type,
        before_expiry: refresh.before_expiry,
        reuse_grace: refresh.reuse_grace,
        token_wait: settings.token_wait,
        token_waiters: settings.token_waiters,
        timeout: settings.timeout,
        owner: owner.clone(),
    }
}
