//! The keys of accounts and routes.

use super::callers::CALLERS;
use super::edits::{FIELDS, MAX_BODY};
use crate::config::keys::{Choice, Kind, Need, Section, key, now};
use Kind::{Bool, Duration, Either, List, Pairs, Size, Text, UpstreamUrl};
use Need::{Default, Optional, Required};

/// One of `accounts`.
pub static ACCOUNT: Section = Section {
    what: "an account",
    keys: &[
        key(
            "key",
            Text,
            Required,
            "Its unique key: letters, digits, `-` and `_`.",
        ),
        key("integration", Text, Required, "The key of its integration."),
        key(
            "parameters",
            Pairs,
            Optional("every parameter has its default"),
            "A value for each parameter of the integration that has no default.",
        ),
    ],
};

static HTTP2: &[Choice] = &[now("auto"), now("off")];
static ON_EXPIRY: &[Choice] = &[now("keep"), now("close")];

/// One of `routes`.
pub static ROUTE: Section = Section {
    what: "a route",
    keys: &[
        key(
            "name",
            Text,
            Optional("made from its host and path"),
            "Its unique name in logs and metrics.",
        ),
        key(
            "path",
            Text,
            Optional("see `match`"),
            "A path prefix, short for `match: {path: …}`. The longest prefix wins; it is replaced by the upstream's own path.",
        ),
        key(
            "match",
            Kind::Section(&MATCH),
            Optional("see `path`"),
            "What a request must look like.",
        ),
        key(
            "upstream",
            Either(&[UpstreamUrl, List(&UpstreamUrl)]),
            Required,
            "Where the request goes: an `http`, `https` or `h2c` URL; `h2c` is HTTP/2 without TLS. Or a list of 2 to 16 that differ in host and port alone: requests go to them in turn, past those that fail.",
        ),
        key(
            "account",
            Text,
            Required,
            "The key of the account that speaks for the request. `{caller.name}` is the account of the caller's own name, of the route's `integration`.",
        ),
        key(
            "integration",
            Text,
            Optional("the account is one of `accounts`"),
            "The key of the account's integration, where the account is created on the page or by the API; until it is, the route answers `account_not_connected`.",
        ),
        key(
            "timeout",
            Duration,
            Default("60s"),
            "From sending the request until the response's headers.",
        ),
        key(
            "connect_timeout",
            Duration,
            Default("5s"),
            "For connecting to the upstream, the look-up of its name and TLS included.",
        ),
        key(
            "tls",
            Kind::Section(&TLS),
            Optional("the integration's `tls`"),
            "TLS towards the upstream.",
        ),
        key(
            "unix_socket",
            Text,
            Optional("the host and port of `upstream`"),
            "The path of a Unix socket to connect to; `upstream` still gives scheme, `Host` and path: `http://localhost/base/`.",
        ),
        key(
            "replay_body_limit",
            Size,
            Default("64KiB"),
            "Up to which size a request's body is kept, so that the request can be sent once more.",
        ),
        key(
            "allow_plaintext",
            Bool,
            Default("false"),
            "Send the token over plain HTTP to a host that is not this machine.",
        ),
        key(
            "http2",
            Kind::Choice(HTTP2),
            Default("auto"),
            "Whether HTTP/2 is offered to an `https` upstream (by ALPN), which then chooses.",
        ),
        key(
            "keep_header_case",
            Bool,
            Default("false"),
            "Names of header fields keep the capitals that caller and upstream have given them, over HTTP/1.1: for software that tells `SOAPAction` from `soapaction`.",
        ),
        key(
            "allow_origins",
            List(&Text),
            Optional("none"),
            "Origins of browsers' pages that may call this route, as `https://app.example.com`.",
        ),
        key(
            "callers",
            CALLERS,
            Optional("whoever may use the listener"),
            "Who may call; everybody else is refused with `caller_not_allowed`.",
        ),
        key(
            "max_body",
            MAX_BODY,
            Optional("`limits.max_body`"),
            "Up to which size a request's body goes on; a larger one is answered with `payload_too_large`. `none`: any size.",
        ),
        key(
            "preserve_host",
            Bool,
            Default("false"),
            "Send the caller's `Host` to the upstream, instead of the upstream's own.",
        ),
        key(
            "request_headers",
            Kind::Section(&FIELDS),
            Optional("as the caller sent them"),
            "Headers of requests to set and to remove.",
        ),
        key(
            "response_headers",
            Kind::Section(&FIELDS),
            Optional("as the upstream sent them"),
            "Headers of the upstream's answers to set and to remove.",
        ),
        key(
            "rewrite_addresses",
            Bool,
            Default("false"),
            "Turn addresses of the upstream in `Location`, `Content-Location`, `Refresh`, `Link` and `Set-Cookie` into the route's own, so that callers stay with sidekey.",
        ),
        key(
            "strip_cookies",
            Bool,
            Default("false"),
            "Let cookies through in neither direction.",
        ),
        key(
            "tunnel_idle_timeout",
            Duration,
            Default("1h"),
            "How long a WebSocket may be silent in both directions.",
        ),
        key(
            "websocket_first_message",
            Text,
            Optional("none"),
            "A text message with `{token}` in it that goes to the upstream as the first of every WebSocket. In JSON the token is escaped.",
        ),
        key(
            "on_expiry",
            Kind::Choice(ON_EXPIRY),
            Default("keep"),
            "What becomes of a running WebSocket, event stream or other streamed answer when its token expires, is revoked, or is replaced because it was rejected: `close` ends it, so that the caller comes again with a new one.",
        ),
        key(
            "expiry_grace",
            Duration,
            Default("30s"),
            "How long a stream that `on_expiry: close` ends may take to come to the end of a frame, of an event, or of itself, before it is cut.",
        ),
    ],
};

/// `tls` of a route or an integration. The files are read again when they change.
pub static TLS: Section = Section {
    what: "a `tls` block",
    keys: &[
        key(
            "ca",
            Text,
            Optional("the system's authorities"),
            "A file with the certificates of the authorities to trust, in PEM, instead of the system's.",
        ),
        key(
            "certificate",
            Text,
            Optional("no client certificate"),
            "A file with the client's certificate, and the chain after it, in PEM.",
        ),
        key(
            "key",
            Text,
            Optional("no client certificate"),
            "A file with the private key of `certificate`, in PEM.",
        ),
        key(
            "server_name",
            Text,
            Optional("the upstream's host"),
            "The name that is asked for (SNI) and that the upstream's certificate must have.",
        ),
    ],
};

/// `match` of a route.
pub static MATCH: Section = Section {
    what: "a `match` block",
    keys: &[
        key(
            "host",
            Text,
            Optional("any host that the listener accepts"),
            "The request's host: a name, or `*.` and a suffix.",
        ),
        key(
            "path",
            Either(&[Text, Kind::Section(&PATH)]),
            Optional("any path"),
            "A path prefix on segment boundaries, or `{prefix: …}`, or `{exact: …}`.",
        ),
        key(
            "methods",
            List(&Text),
            Optional("any method"),
            "The request's method is one of these.",
        ),
        key(
            "headers",
            Pairs,
            Optional("any headers"),
            "Headers that the request must have, with exactly these values.",
        ),
    ],
};

/// The long form of `match.path`.
pub static PATH: Section = Section {
    what: "a path matcher",
    keys: &[
        key(
            "prefix",
            Text,
            Optional("see `exact`"),
            "A prefix on segment boundaries.",
        ),
        key(
            "exact",
            Text,
            Optional("see `prefix`"),
            "The whole path; all of it goes on, after the upstream's own path.",
        ),
    ],
};
