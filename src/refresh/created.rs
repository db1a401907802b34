//! Accounts that were created while a process ran, as the store keeps them.

use crate::account::ConnectedAccount;
use crate::base::id::AccountKey;
use crate::store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The format that this version writes; it reads no newer one.
const FORMAT: u32 = 1;
const PREFIX: &str = "created/";

/// A created account; its parameters may be secret, so no `Debug`.
pub struct Created {
    pub key: AccountKey,
    pub integration: String,
    pub parameters: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Form {
    format: u32,
    integration: String,
    parameters: BTreeMap<String, String>,
}

impl Created {
    /// What is kept of an account.
    #[must_use]
    pub fn of(account: &ConnectedAccount) -> Self {
        let parameters = account.parameters.iter();
        Self {
            key: account.key.clone(),
            integration: account.integration.key.clone(),
            parameters: parameters
                .map(|(name, value)| (name.clone(), value.text().to_owned()))
                .collect(),
        }
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        self.parameters.values_mut().for_each(Zeroize::zeroize);
    }
}

/// A created account whose record can't be read, be it for a moment.
#[derive(Debug)]
pub struct Unread {
    /// Its key, where the record's name is that of one.
    pub key: Option<AccountKey>,
    name: String,
    why: StoreError,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

/// Every account that the store keeps, and those that can't be read. Blocks.
///
/// # Errors
/// When the store can't be read at all.
pub fn created(store: &dyn Store) -> Result<(Vec<Created>, Vec<Unread>), StoreError> {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for name in store.keys(PREFIX)? {
        match read(store, &name) {
            Ok(Some(account)) => found.push(account),
            Ok(None) => {}
            Err(why) => unread.push(Unread {
                key: key_of(&name),
                name,
                why,
            }),
        }
    }
    Ok((found, unread))
}

/// True where an account's record can be read now, or is gone. Blocks.
pub fn can_be_read(store: &dyn Store, key: &AccountKey) -> bool {
    read(store, &format!("{PREFIX}{key}")).is_ok()
}

fn read(store: &dyn Store, name: &str) -> Result<Option<Created>, StoreError> {
    let unreadable = |what: &str| StoreError::Unreadable(what.to_owned());
    let Some(record) = store.get(name)? else {
        return Ok(None);
    };
    let body = Zeroizing::new(record.body);
    let form: Form =
        serde_json::from_slice(&body).map_err(|_| unreadable("it is no created account"))?;
    if form.format > FORMAT {
        return Err(unreadable("it is of a newer format: run the newer version"));
    }
    let key = key_of(name).ok_or_else(|| unreadable("its name is no account's key"))?;
    Ok(Some(Created {
        key,
        integration: form.integration,
        parameters: form.parameters,
    }))
}

fn key_of(name: &str) -> Option<AccountKey> {
    AccountKey::new(name.strip_prefix(PREFIX)?).ok()
}

/// Keeps an account. Blocks.
///
/// # Errors
/// [`StoreError::Conflict`] when there is one with its key.
pub fn write(store: &dyn Store, created: &Created) -> Result<(), StoreError> {
    let mut form = Form {
        format: FORMAT,
        integration: created.integration.clone(),
        parameters: created.parameters.clone(),
    };
    // Texts and numbers only: this can't fail.
    let body = Zeroizing::new(serde_json::to_vec(&form).unwrap_or_default());
    form.parameters.values_mut().for_each(Zeroize::zeroize);
    let name = format!("{PREFIX}{}", created.key);
    store.put(&name, None, None, &body).map(drop)
}

/// Forgets an account and what is stored of its tokens. Blocks.
///
/// # Errors
/// When the store can't be written, or another process writes meanwhile.
pub fn remove(store: &dyn Store, key: &AccountKey) -> Result<(), StoreError> {
    removed(store, &format!("account/{key}"))?;
    forget(store, key)
}

/// Forgets that it was created: its tokens are another's of the same key.
///
/// # Errors
/// When the store can't be read or written.
pub fn forget(store: &dyn Store, key: &AccountKey) -> Result<(), StoreError> {
    removed(store, &format!("{PREFIX}{key}"))
}

fn removed(store: &dyn Store, name: &str) -> Result<(), StoreError> {
    match store.get(name)? {
        Some(record) => store.remove(name, record.version),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Created, can_be_read, created, remove, write};
    use crate::base::id::AccountKey;
    use crate::store::memory::MemoryStore;
    use crate::store::{Store, StoreError};

    #[test]
    fn what_is_kept_is_found_until_it_is_removed() {
        let store = MemoryStore::new();
        let account = Created {
            key: AccountKey::new("new").unwrap(),
            integration: "crm".to_owned(),
            parameters: [("a".to_owned(), "b".to_owned())].into(),
        };
        write(&store, &account).unwrap();
        assert_eq!(write(&store, &account), Err(StoreError::Conflict));
        store.put("created/odd", None, None, b"hunter2").unwrap();
        let (found, unread) = created(&store).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key, account.key);
        assert_eq!(found[0].parameters, account.parameters);
        let (odd, said) = (unread[0].key.clone().unwrap(), unread[0].to_string());
        assert!(said.starts_with("created/odd: "), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(!can_be_read(&store, &odd) && can_be_read(&store, &account.key));
        remove(&store, &account.key).unwrap();
        assert!(created(&store).unwrap().0.is_empty());
    }
}
