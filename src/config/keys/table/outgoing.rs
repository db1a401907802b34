//! The keys of proxies that connections go out through.

use crate::config::keys::{Kind, Need, Section, key};
use Kind::{Either, List, Text};
use Need::{Default, Optional, Required};

/// One of the settings: a word, a URL, or the long form.
pub(super) const VALUE: Kind = Either(&[Text, Kind::Section(&PROXY)]);

/// `proxy` at the top.
pub static PROXIES: Section = Section {
    what: "a `proxy` block",
    keys: &[
        key(
            "upstreams",
            VALUE,
            Default("environment"),
            "The HTTP proxy that requests to upstreams go through: `environment` (as `https_proxy` and its like say), `none`, or its URL.",
        ),
        key(
            "token_requests",
            VALUE,
            Default("environment"),
            "The HTTP proxy that token and revocation requests go through, likewise.",
        ),
    ],
};

/// The long form of a proxy.
pub static PROXY: Section = Section {
    what: "a proxy",
    keys: &[
        key(
            "url",
            Text,
            Required,
            "`http://proxy:3128`, or `https://proxy:3129` for TLS to the proxy itself.",
        ),
        key(
            "ca",
            Text,
            Optional("no other than are trusted anyway"),
            "A file with the certificates of authorities, in PEM, that are trusted too: for TLS to the proxy, and for what answers through it.",
        ),
        key(
            "username",
            Text,
            Optional("the proxy is told no user"),
            "The user that the proxy is told (`Proxy-Authorization: Basic`).",
        ),
        key("password", Text, Optional("empty"), "That user's password.").secret(),
        key(
            "except",
            List(&Text),
            Optional("none"),
            "Hosts that need no proxy, as `NO_PROXY` lists them: names with all below them, addresses, blocks, with a port if need be.",
        ),
    ],
};
