//! The keys of who may call.

use crate::config::keys::{Kind, Need, Section, key};
use Kind::{List, Text};
use Need::Required;

/// One of `callers`.
pub static CALLER: Section = Section {
    what: "a caller",
    keys: &[key(
        "key",
        Text,
        Required,
        "The name of a key in `callers_file`, sent as `Sidekey-Caller-Key`; `*` is every key of the file.",
    )],
};

/// A list of callers.
pub const CALLERS: Kind = List(&Kind::Section(&CALLER));
