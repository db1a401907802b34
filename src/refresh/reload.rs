//! What a configuration that was read anew means for the accounts.

use super::cell::Cell;
use super::record;
use super::scheduler::Message;
use super::wing::{Handle, Setup};
use crate::account::{ConnectedAccount, Difference};
use crate::base::id::AccountKey;
use crate::token;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is to be done; made by [`Reload::plan`].
#[derive(Default)]
pub struct Reload {
    /// In which accounts are shown.
    pub(super) order: Vec<AccountKey>,
    /// New ones, and those that are another client's now.
    pub(super) added: Vec<Setup>,
    /// Gone ones, and those that are another client's now.
    pub(super) removed: Vec<AccountKey>,
    pub(super) described: Vec<Described>,
    /// How many of them were and will be.
    replaced: usize,
}

/// An account as it is to be.
pub struct Wanted {
    pub account: Arc<ConnectedAccount>,
    /// It was created while a process ran, and is in no configuration.
    pub created: bool,
}

/// An account that keeps its tokens.
pub(super) struct Described {
    pub wanted: Wanted,
    /// Its tokens are asked for otherwise.
    pub renew: bool,
}

/// How many accounts a reload concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub added: usize,
    pub removed: usize,
    pub changed: usize,
}

impl Reload {
    /// Compares the accounts of now with those that are wanted; `rotated` are
    /// those whose client secret has changed where it is read from at each
    /// token request.
    #[must_use]
    pub fn plan(
        before: &HashMap<AccountKey, Arc<Cell>>,
        wanted: Vec<Wanted>,
        rotated: &dyn Fn(&ConnectedAccount) -> bool,
    ) -> Self {
        let mut plan = Self {
            order: wanted.iter().map(|w| w.account.key.clone()).collect(),
            ..Self::default()
        };
        let mut gone: HashMap<_, _> = before.iter().collect();
        for wanted in wanted {
            match gone.remove(&wanted.account.key) {
                None => plan.added.push(wanted.into()),
                Some(old) if is_same_client(&old.account, &wanted.account) => {
                    let difference = wanted.account.difference(&old.account);
                    let renew = difference == Difference::Client || rotated(&wanted.account);
                    let same = difference == Difference::Nothing && wanted.created == old.created;
                    if renew || !same {
                        plan.described.push(Described { wanted, renew });
                    }
                }
                Some(_) => {
                    plan.removed.push(wanted.account.key.clone());
                    plan.added.push(wanted.into());
                    plan.replaced += 1;
                }
            }
        }
        plan.removed.extend(gone.into_keys().cloned());
        plan
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            added: self.added.len() - self.replaced,
            removed: self.removed.len() - self.replaced,
            changed: self.described.len() + self.replaced,
        }
    }
}

/// Tokens of another client, or of another server, are never used: not by
/// requests under way either, so that such an account gets a cell of its own.
fn is_same_client(old: &ConnectedAccount, new: &ConnectedAccount) -> bool {
    record::binding(old) == record::binding(new)
}

impl From<Wanted> for Setup {
    fn from(wanted: Wanted) -> Self {
        // Readers are made of the account's cell.
        let (publisher, _) = token::slot();
        Self {
            account: wanted.account,
            publisher,
            created: wanted.created,
        }
    }
}

impl Handle {
    /// Does what was planned, and waits until it is done.
    pub async fn reload(&self, reload: Reload) {
        let (done, heard) = oneshot::channel();
        let message = Message::Reload(Box::new(reload), done);
        if self.inbox.send(message).await.is_ok() {
            // A wing that has stopped answers nobody, which ends the process.
            let _ = heard.await;
        }
    }

    /// Every account by its key.
    #[must_use]
    pub fn by_key(&self) -> HashMap<AccountKey, Arc<Cell>> {
        let cells = self.statuses.load();
        let keyed = cells.iter().map(|c| (c.account.key.clone(), c.clone()));
        keyed.collect()
    }
}
