//! What people do to accounts, as the rest of the program asks for it.

use super::created::{self, Created};
use super::fetch;
use super::record::{self, StoredTokens};
use super::scheduler::{Message, Person};
use super::wing::{Handle, ManualOutcome, Setup};
use crate::account::ConnectedAccount;
use crate::base::clock::Now;
use crate::base::id::AccountKey;
use crate::oauth::TokenAnswer;
use crate::store::StoreError;
use crate::token;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::{sleep, timeout};

/// How long a new account's first look at its record, or its first token, is
/// waited for.
const FIRST_LOOK: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

/// Why an account was not created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateError {
    /// There is one with this key.
    Exists,
    Store(StoreError),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("there is an account with this key already"),
            Self::Store(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for CreateError {}

/// Whoever holds it decides which accounts there are; nobody else does meanwhile. A
/// reload compares what is looked after with the configuration and the store, and a
/// person's account must not come or go between these looks.
#[must_use]
pub struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl Handle {
    /// Waits until nobody else decides which accounts there are.
    pub async fn turn(&self) -> Turn {
        Turn {
            _held: self.changing.clone().lock_owned().await,
        }
    }

    /// An account with its integration and parameters filled in.
    #[must_use]
    pub fn connected_account(&self, key: &AccountKey) -> Option<Arc<ConnectedAccount>> {
        self.cell(key).map(|cell| cell.account.clone())
    }

    /// True for an account that was created while a process ran.
    #[must_use]
    pub fn is_created(&self, key: &AccountKey) -> bool {
        self.cell(key).is_some_and(|cell| cell.created)
    }

    /// Takes in what a person's connecting has brought, and waits until it is
    /// durable; `asked` is the account as whose client the token request was
    /// made, and `sent` when.
    pub async fn connected(
        &self,
        asked: &ConnectedAccount,
        sent: Now,
        answer: TokenAnswer,
    ) -> ManualOutcome {
        let key = &asked.key;
        let Some(account) = self.connected_account(key) else {
            return ManualOutcome::UnknownAccount;
        };
        let answer = match fetch::checked(&account, answer) {
            Ok(answer) => answer,
            Err(failure) => return ManualOutcome::Failed(failure.what),
        };
        let (reply, outcome) = oneshot::channel();
        let person = Person::Connected {
            account: key.clone(),
            binding: record::binding(asked),
            sent,
            answer,
            reply,
        };
        self.tell(person).await;
        outcome.await.unwrap_or_else(|_| {
            let why = "sidekey is stopping, and the new connection was not taken in";
            ManualOutcome::Failed(why.to_owned())
        })
    }

    /// Forgets an account's tokens, durably; gives what was forgotten.
    ///
    /// # Errors
    /// In words, when the store can't be written: the tokens are forgotten in
    /// this process, and a restart may bring them back.
    pub async fn disconnect(&self, key: &AccountKey) -> Result<Option<StoredTokens>, String> {
        let (reply, outcome) = oneshot::channel();
        let account = key.clone();
        self.tell(Person::Disconnect { account, reply }).await;
        outcome
            .await
            .unwrap_or_else(|_| Err("sidekey is stopping".to_owned()))
    }

    /// The tokens that an account holds, be they good or not.
    pub async fn tokens(&self, key: &AccountKey) -> Option<StoredTokens> {
        let (reply, tokens) = oneshot::channel();
        let account = key.clone();
        self.tell(Person::Tokens { account, reply }).await;
        tokens.await.ok().flatten()
    }

    /// Looks after an account that was created just now, and keeps it for
    /// later processes. The turn was taken before its integration was looked up, so
    /// that no reload has changed it since.
    ///
    /// # Errors
    /// When there is one with its key, or the store can't be written.
    pub async fn create(&self, account: ConnectedAccount, turn: Turn) -> Result<(), CreateError> {
        if self.cell(&account.key).is_some() {
            return Err(CreateError::Exists);
        }
        let store = self.store.clone();
        let created = Created::of(&account);
        let written = tokio::task::spawn_blocking(move || created::write(&*store, &created)).await;
        match written.unwrap_or_else(|_| Err(broken_off())) {
            Ok(()) => {}
            Err(StoreError::Conflict) => return Err(CreateError::Exists),
            Err(why) => return Err(CreateError::Store(why)),
        }
        // Readers are made of the account's cell.
        let (publisher, _) = token::slot();
        let setup = Setup {
            account: Arc::new(account),
            publisher,
            created: true,
        };
        let key = setup.account.key.clone();
        self.tell(Person::Add(Box::new(setup))).await;
        self.until_heard(&key).await;
        drop(turn);
        self.people.notify_one();
        // So that whoever created it does not see it waiting for its record.
        let _ = timeout(FIRST_LOOK, async {
            while self.account(&key).is_some_and(|a| !a.first_attempt_ended) {
                sleep(LOOK).await;
            }
        })
        .await;
        Ok(())
    }

    /// Removes an account that was created; its tokens should have been
    /// forgotten before. One that has come into the configuration meanwhile stays.
    ///
    /// # Errors
    /// When the store can't be written; the account is there again after a
    /// restart.
    pub async fn remove(&self, key: &AccountKey) -> Result<(), StoreError> {
        let turn = self.turn().await;
        let is_created = self.is_created(key);
        if is_created {
            self.tell(Person::Remove(key.clone())).await;
            self.until_heard(key).await;
            self.people.notify_one();
        }
        let (store, key) = (self.store.clone(), key.clone());
        let removed = tokio::task::spawn_blocking(move || match is_created {
            true => created::remove(&*store, &key),
            false => created::forget(&*store, &key),
        });
        let removed = removed.await;
        drop(turn);
        removed.unwrap_or_else(|_| Err(broken_off()))
    }

    /// What was told before is heard before: once this is answered, it is done.
    async fn until_heard(&self, key: &AccountKey) {
        self.tokens(key).await;
    }

    async fn tell(&self, person: Person) {
        // A wing that has stopped answers nobody, which they notice.
        let _ = self.inbox.send(Message::Person(person)).await;
    }
}

fn broken_off() -> StoreError {
    StoreError::Unavailable("the call was broken off".to_owned())
}
