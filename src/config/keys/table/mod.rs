//! The table itself, in the order in which the reference shows it.

pub mod callers;
pub mod edits;
pub mod integration;
pub mod listener;
pub mod outgoing;
pub mod route;
mod settings;
mod traces;

use super::{Kind, Need, Section, key};
use Kind::{Address, Bool, Either, List, Listening, Text};
use Need::{Default, Optional, Required};
use integration::INTEGRATION;
use listener::LISTENER;
use outgoing::PROXIES;
use route::{ACCOUNT, ROUTE};
use settings::{DRAIN, LIMITS, LOG, METRICS, READINESS, REFRESH, WORKERS};
use traces::TRACES;

/// The whole file.
pub static ROOT: Section = Section {
    what: "the configuration",
    keys: &[
        key(
            "listen",
            Either(&[Listening, List(&Kind::Section(&LISTENER))]),
            Default("127.0.0.1:7480"),
            "Where applications call: an address, or a list of listeners.",
        ),
        key(
            "admin",
            Kind::Section(&ADMIN),
            Optional("the defaults of its keys"),
            "The listener for people and scripts: connect page, account API, health and metrics.",
        ),
        key(
            "probes",
            Kind::Section(&PROBES),
            Optional("no such listener; the admin listener answers them too"),
            "A listener for /livez, /readyz and /metrics and nothing else, for kubelet and Prometheus.",
        ),
        key(
            "store",
            Kind::Section(&STORE),
            Optional("a file in the state directory"),
            "Where connected accounts and their tokens live between restarts.",
        ),
        key(
            "callers_file",
            Text,
            Optional("no caller has a key"),
            "The file with the digests of callers' keys, which `sidekey callers` writes; read again when it changes. A relative path starts at the configuration's folder.",
        ),
        key(
            "integrations",
            List(&Kind::Section(&INTEGRATION)),
            Optional("none"),
            "How each kind of service does OAuth 2.0.",
        ),
        key(
            "accounts",
            List(&Kind::Section(&ACCOUNT)),
            Optional("none"),
            "Connected accounts: an integration each, with its parameters filled in.",
        ),
        key(
            "routes",
            List(&Kind::Section(&ROUTE)),
            Optional("none: every call is answered with 404"),
            "Which requests go to which upstream, and which account speaks for them.",
        ),
        key(
            "proxy",
            Kind::Section(&PROXIES),
            Optional("the proxies of the environment"),
            "The HTTP proxies that sidekey's own requests go through.",
        ),
        key(
            "log",
            Kind::Section(&LOG),
            Optional("the defaults of its keys"),
            "What is logged, and how.",
        ),
        key(
            "workers",
            Kind::Section(&WORKERS),
            Optional("the defaults of its keys"),
            "The threads that carry requests.",
        ),
        key(
            "limits",
            Kind::Section(&LIMITS),
            Optional("the defaults of its keys"),
            "Bounds on everything that a caller or an upstream could make grow.",
        ),
        key(
            "refresh",
            Kind::Section(&REFRESH),
            Optional("the defaults of its keys"),
            "How tokens are fetched, for all accounts together.",
        ),
        key(
            "drain",
            Kind::Section(&DRAIN),
            Optional("the defaults of its keys"),
            "How a stop (SIGTERM) goes.",
        ),
        key(
            "readiness",
            Kind::Section(&READINESS),
            Optional("the defaults of its keys"),
            "What /readyz waits for.",
        ),
        key(
            "metrics",
            Kind::Section(&METRICS),
            Optional("the defaults of its keys"),
            "Bounds on metrics.",
        ),
        key(
            "traces",
            Kind::Section(&TRACES),
            Optional("no traces: `traceparent` and `tracestate` go through untouched"),
            "Spans of requests, sent to a collector over OTLP.",
        ),
    ],
};

static ADMIN: Section = Section {
    what: "the admin listener",
    keys: &[
        key(
            "listen",
            Address,
            Default("127.0.0.1:7481"),
            "Address and port of the connect page and the account API.",
        ),
        key(
            "public_url",
            Text,
            Optional("`http://` and the admin listener's address"),
            "The URL at which browsers reach the admin listener; may hold a path prefix. The redirect URI is this and `/oauth/callback`.",
        ),
        key(
            "token",
            Text,
            Optional("made with mode 0600 in the state directory"),
            "The token that the account API asks for.",
        )
        .secret(),
    ],
};

static PROBES: Section = Section {
    what: "the probes listener",
    keys: &[key(
        "listen",
        Address,
        Required,
        "Address and port, for example `[::]:7482`.",
    )],
};

/// `store`.
pub static STORE: Section = Section {
    what: "the store",
    keys: &[
        key(
            "path",
            Text,
            Optional("in the state directory"),
            "The store's file; a relative path starts at the configuration's folder.",
        ),
        key(
            "key",
            Either(&[Text, List(&Text), Kind::Section(&STORE_KEY)]),
            Optional("made in the user's configuration directory"),
            "The key that seals records: 32 bytes as 64 hex digits or base64. Of a list the first seals and all open.",
        )
        .secret(),
        key(
            "memory",
            Bool,
            Default("false"),
            "Keep everything in memory: nothing outlives the process.",
        ),
    ],
};

/// The long form of `store.key`.
pub static STORE_KEY: Section = Section {
    what: "a key to be made",
    keys: &[key(
        "generate",
        Bool,
        Required,
        "Make a key where none is, also without a terminal.",
    )],
};

/// What stands for a scalar instead of its text.
pub static SOURCE: Section = Section {
    what: "a value from elsewhere",
    keys: &[
        key(
            "env",
            Text,
            Optional("see `file`"),
            "The environment variable that holds the value.",
        ),
        key(
            "default",
            Text,
            Optional("the variable must be set"),
            "The value where the variable is not set.",
        ),
        key(
            "file",
            Text,
            Optional("see `env`"),
            "The file that holds the value; a relative path starts at the configuration's folder.",
        ),
    ],
};
