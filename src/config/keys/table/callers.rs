//! The keys of who may call.

use crate::config::keys::{Kind, Need, Section, key};
use Kind::{List, Number, Text};
use Need::Optional;

/// The highest number of a user or group; the next one stands for none.
const HIGHEST: u64 = u32::MAX as u64 - 1;

/// One of `callers`.
pub static CALLER: Section = Section {
    what: "a caller",
    keys: &[
        key(
            "key",
            Text,
            Optional("who else is named here"),
            "The name of a key in `callers_file`, sent as `Sidekey-Caller-Key`; `*` is every key of the file.",
        ),
        key(
            "certificate",
            Text,
            Optional("who else is named here"),
            "A name in the client's certificate, which the listener has verified: a DNS name, a URI such as `spiffe://…`, an e-mail address or, without any of them, the common name. `*` is every verified certificate.",
        ),
        key(
            "uid",
            Number {
                min: 0,
                max: HIGHEST,
            },
            Optional("who else is named here"),
            "The user, as a number, of the process that calls over a Unix socket.",
        ),
        key(
            "gid",
            Number {
                min: 0,
                max: HIGHEST,
            },
            Optional("who else is named here"),
            "The group, as a number, of the process that calls over a Unix socket.",
        ),
        key(
            "name",
            Text,
            Optional("the certificate's name, `uid=1000`, `gid=1000`"),
            "With `certificate`, `uid` or `gid`: the caller's name for `{caller.name}` and in the access log.",
        ),
    ],
};

/// A list of callers.
pub const CALLERS: Kind = List(&Kind::Section(&CALLER));
