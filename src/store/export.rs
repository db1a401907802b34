//! A store's records as one sealed text, to be carried to another store. The
//! keys are those of the store, so that the text is worth nothing without them.

use super::seal::{Place, Sealer};
use super::{Store, StoreError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The format of exports that this version writes and reads.
const FORMAT: u32 = 1;

/// The outer text: nothing in it is secret.
#[derive(Serialize, Deserialize)]
struct Outer {
    sidekey_export: u32,
    /// Drawn at random for each export.
    id: String,
    sealed: String,
}

/// A key, and its body in base64.
type Item = (String, String);

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    pub written: usize,
    /// Records that were there already, and were left as they are.
    pub kept: usize,
}

/// All records of a store, without their leases.
///
/// # Errors
/// When a record can't be read, or there are no random bytes.
pub fn export(store: &dyn Store, sealer: &Sealer) -> Result<String, StoreError> {
    let mut items: Vec<Item> = Vec::new();
    for key in store.keys("")? {
        if let Some(record) = store.get(&key)? {
            let body = Zeroizing::new(record.body);
            items.push((key, STANDARD.encode(&*body)));
        }
    }
    let unwritable = |_| StoreError::Unavailable("the export can't be written".to_owned());
    let text = Zeroizing::new(serde_json::to_vec(&items).map_err(unwritable)?);
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|_| StoreError::Unavailable("the system gave no random bytes".to_owned()))?;
    let sealed = sealer
        .seal(place(&id), &text)
        .map_err(|why| StoreError::Unavailable(why.to_string()))?;
    let outer = Outer {
        sidekey_export: FORMAT,
        id: STANDARD.encode(id),
        sealed: STANDARD.encode(sealed),
    };
    serde_json::to_string(&outer).map_err(unwritable)
}

/// Writes the records of an export that the store does not have.
///
/// # Errors
/// When the text is no export, is sealed with another key, or the store can't
/// be written.
pub fn import(store: &dyn Store, sealer: &Sealer, text: &str) -> Result<Imported, StoreError> {
    let unreadable = |what: &str| StoreError::Unreadable(what.to_owned());
    let no_export = || unreadable("the file is no export of a store");
    let outer: Outer = serde_json::from_str(text).map_err(|_| no_export())?;
    if outer.sidekey_export != FORMAT {
        return Err(unreadable("the export was written by a newer version"));
    }
    let id = STANDARD.decode(outer.id).map_err(|_| no_export())?;
    let sealed = STANDARD.decode(outer.sealed).map_err(|_| no_export())?;
    let inner = sealer
        .open(place(&id), &sealed)
        .map_err(|_| unreadable("none of the keys in store.key opens the export"))?;
    let items: Vec<Item> = serde_json::from_slice(&inner).map_err(|_| no_export())?;
    let mut done = Imported {
        written: 0,
        kept: 0,
    };
    for (key, body) in items {
        let body = Zeroizing::new(STANDARD.decode(body).map_err(|_| no_export())?);
        match store.put(&key, None, None, &body) {
            Ok(_) => done.written += 1,
            Err(StoreError::Conflict) => done.kept += 1,
            Err(other) => return Err(other),
        }
    }
    Ok(done)
}

fn place(id: &[u8]) -> Place<'_> {
    Place {
        format: FORMAT,
        store: id,
        key: "export",
        version: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Imported, export, import};
    use crate::base::key::Key;
    use crate::store::memory::MemoryStore;
    use crate::store::seal::Sealer;
    use crate::store::{Store, StoreError};

    fn sealer() -> Sealer {
        Sealer::new(Key::random().unwrap(), Vec::new())
    }

    #[test]
    fn records_travel_sealed_and_overwrite_nothing() {
        let (from, to, sealer) = (MemoryStore::new(), MemoryStore::new(), sealer());
        from.put("account/a", None, None, b"hunter2").unwrap();
        from.put("account/b", None, None, b"theirs").unwrap();
        to.put("account/b", None, None, b"ours").unwrap();
        let text = export(&from, &sealer).unwrap();
        assert!(!text.contains("account") && !text.contains("hunter2"));
        let (written, kept) = (1, 1);
        assert_eq!(import(&to, &sealer, &text), Ok(Imported { written, kept }));
        assert_eq!(to.get("account/a").unwrap().unwrap().body, b"hunter2");
        assert_eq!(to.get("account/b").unwrap().unwrap().body, b"ours");
    }

    #[test]
    fn another_key_and_another_file_are_refused() {
        let store = MemoryStore::new();
        let text = export(&store, &sealer()).unwrap();
        for text in [text.as_str(), "{}", "a letter"] {
            let refused = import(&store, &sealer(), text);
            assert!(matches!(refused, Err(StoreError::Unreadable(_))), "{text}");
        }
    }
}
