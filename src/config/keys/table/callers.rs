//! The keys of who may call.

use crate::config::keys::{Kind, Need, Section, key};
use Kind::{Either, List, Number, Text};
use Need::{Default, Optional, Required};

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
            "jwt",
            Kind::Section(&JWT),
            Optional("who else is named here"),
            "Whoever sends a signed JWT that says so.",
        ),
        key(
            "name",
            Text,
            Optional("the certificate's name, `uid=1000`, `gid=1000`, the JWT's `name_claim`"),
            "With `certificate`, `uid`, `gid` or `jwt`: the caller's name for `{caller.name}` and in the access log.",
        ),
    ],
};

static JWT: Section = Section {
    what: "a caller's JWT",
    keys: &[
        key(
            "issuer",
            Text,
            Required,
            "`iss` of the token, which is compared byte for byte: `https://login.example.com`.",
        ),
        key(
            "audience",
            Either(&[Text, List(&Text)]),
            Required,
            "For whom the token must be (`aud`): a name of this sidekey, or several.",
        ),
        key(
            "claims",
            Kind::Choices,
            Optional("whatever the issuer issues for the audience"),
            "Claims and the value that each must have, or one of several. A name that begins with `/` is a JSON pointer: `/kubernetes.io/namespace`.",
        ),
        key(
            "name_claim",
            Text,
            Default("sub"),
            "The claim that is the caller's name where there is no `name`.",
        ),
        key(
            "header",
            Text,
            Default("Authorization"),
            "The header field with the token: `Authorization: Bearer TOKEN`, or another one with the token alone. It does not go on to the upstream.",
        ),
        key(
            "jwks_uri",
            Text,
            Optional("what `/.well-known/openid-configuration` at the issuer says"),
            "Where the issuer's keys are.",
        ),
        key(
            "jwks_file",
            Text,
            Optional("keys are fetched"),
            "A file with the issuer's keys, a JWK Set; read again when it changes.",
        ),
        key(
            "ca",
            Text,
            Optional("the system's authorities"),
            "The file with the authorities to believe where keys are fetched, PEM; read again when it changes.",
        ),
        key(
            "token_file",
            Text,
            Optional("keys are fetched without a token"),
            "A file with a token to fetch the keys with, as Kubernetes asks; read each time.",
        ),
    ],
};

/// A list of callers.
pub const CALLERS: Kind = List(&Kind::Section(&CALLER));
