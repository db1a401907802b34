//! The keys of what stands for itself: log, workers, limits.

use super::edits::{MAX_BODY, NONE};
use crate::config::keys::{Choice, Kind, Need, Section, key, now};
use Kind::{Bool, Duration, Either, List, Size, Text};
use Need::{Default, Optional};

static LEVELS: &[Choice] = &[
    now("error"),
    now("warn"),
    now("info"),
    now("debug"),
    now("trace"),
];
static FORMATS: &[Choice] = &[now("text"), now("json")];

pub(super) static LOG: Section = Section {
    what: "the log's settings",
    keys: &[
        key(
            "level",
            Kind::Choice(LEVELS),
            Default("info"),
            "The least level that is logged.",
        ),
        key(
            "format",
            Kind::Choice(FORMATS),
            Default("text"),
            "For people or for machines.",
        ),
        key("access", Bool, Default("true"), "A line for every request."),
    ],
};

static AUTO: &[Choice] = &[now("auto")];
static SPIN: &[Choice] = &[now("auto"), now("on"), now("off")];
static IO: &[Choice] = &[now("auto"), now("epoll"), now("io_uring")];

pub(super) static WORKERS: Section = Section {
    what: "the workers' settings",
    keys: &[
        key(
            "count",
            Either(&[Kind::Choice(AUTO), Kind::Number { min: 1, max: 1024 }]),
            Default("auto"),
            "How many threads carry requests; `auto` is one per core.",
        ),
        key(
            "io",
            Kind::Choice(IO),
            Default("auto"),
            "How workers wait for sockets; `auto` is `io_uring` where Linux (6.0 or later) allows it, \
             else `epoll`.",
        ),
        key(
            "spin",
            Kind::Choice(SPIN),
            Default("auto"),
            "Whether a worker stays awake for an answer, for at most 50 µs a request, while answers come \
             within 80 µs on the average, as from an upstream on the same machine; `off` lets it sleep at \
             once, `auto` does so where the process has a quota of processor time or one processor is all.",
        ),
    ],
};

pub(super) static LIMITS: Section = Section {
    what: "limits",
    keys: &[
        key(
            "replay_buffer_total",
            Size,
            Default("64MiB"),
            "All bodies kept for replay together; past it a request goes through, but can't be replayed.",
        ),
        key(
            "connections",
            Kind::Number {
                min: 1,
                max: 10_000_000,
            },
            Default("10000"),
            "Open connections of callers, all listeners together.",
        ),
        key(
            "connections_per_caller",
            Either(&[
                Kind::Number {
                    min: 1,
                    max: 1_000_000,
                },
                Kind::Choice(NONE),
            ]),
            Default("none"),
            "Of these, open connections of one IP address, or of one user over Unix sockets; `none`: any number.",
        ),
        key(
            "requests",
            Kind::Number {
                min: 1,
                max: 10_000_000,
            },
            Default("10000"),
            "Requests that run at once in the whole process, on all connections; a WebSocket or other tunnel counts as a connection alone.",
        ),
        key(
            "header_bytes",
            Size,
            Default("32KiB"),
            "Bytes of a request's head, and of a connection's read buffer.",
        ),
        key(
            "header_count",
            Kind::Number {
                min: 1,
                max: 10_000,
            },
            Default("100"),
            "Headers of a request.",
        ),
        key(
            "uri_bytes",
            Size,
            Default("16KiB"),
            "Bytes of a request's path and query.",
        ),
        key(
            "max_body",
            MAX_BODY,
            Default("none"),
            "Bytes of a request's body, where its route does not say otherwise; `none`: any number.",
        ),
        key(
            "header_timeout",
            Duration,
            Default("10s"),
            "From the first byte of a request's head to its last.",
        ),
        key(
            "idle_timeout",
            Duration,
            Default("120s"),
            "How long a caller's connection may be silent between requests, or take nothing of an answer.",
        ),
        key(
            "http2_streams",
            Kind::Number {
                min: 1,
                max: 10_000,
            },
            Default("100"),
            "Requests at once on one HTTP/2 connection of a caller's.",
        ),
        key(
            "pool_connections_per_origin",
            Either(&[
                Kind::Number {
                    min: 1,
                    max: 1_000_000,
                },
                Kind::Choice(NONE),
            ]),
            Default("none"),
            "Open upstream connections that each worker has per origin, busy and idle ones and WebSockets; past it requests wait for one. Routes that differ in `http2`, `tls`, `proxy` or `keep_header_case` have so many each. `none`: as many as are needed.",
        ),
        key(
            "pool_queue",
            Kind::Number {
                min: 0,
                max: 1_000_000,
            },
            Default("1024"),
            "Requests of each worker that wait for a connection, per origin and as these are counted, where `pool_connections_per_origin` is reached; each waits up to its route's `connect_timeout`.",
        ),
        key(
            "pool_idle_per_origin",
            Kind::Number {
                min: 0,
                max: 1_000_000,
            },
            Default("1024"),
            "Idle upstream connections that each worker keeps per origin.",
        ),
        key(
            "pool_idle_timeout",
            Duration,
            Default("30s"),
            "How long an upstream connection is kept idle.",
        ),
        key(
            "max_connection_age",
            Duration,
            Default("1h"),
            "An older upstream connection takes no new request, so that names are resolved anew; 0 for none.",
        ),
        key(
            "http2_ping_after",
            Duration,
            Default("20s"),
            "How long an HTTP/2 upstream may be silent while it owes an answer before it gets a PING; \
             without a sign of life for as long again, its connection is closed. 0 for none.",
        ),
    ],
};

pub(super) static REFRESH: Section = Section {
    what: "refresh settings",
    keys: &[
        key(
            "concurrency",
            Kind::Number { min: 1, max: 1_000 },
            Default("8"),
            "Token requests at once per token endpoint.",
        ),
        key(
            "token_wait",
            Duration,
            Default("5s"),
            "How long a request waits for a token before it is answered with `token_unavailable`.",
        ),
        key(
            "token_waiters",
            Kind::Number {
                min: 0,
                max: 1_000_000,
            },
            Default("1024"),
            "How many requests may wait per account.",
        ),
        key(
            "timeout",
            Duration,
            Default("10s"),
            "For one token request, until its answer is read.",
        ),
    ],
};

pub(super) static DRAIN: Section = Section {
    what: "drain settings",
    keys: &[
        key(
            "delay",
            Duration,
            Default("0s"),
            "Between /readyz failing and the listeners closing, so that load balancers take notice.",
        ),
        key(
            "timeout",
            Duration,
            Default("30s"),
            "How long running requests may take to end.",
        ),
    ],
};

pub(super) static READINESS: Section = Section {
    what: "readiness settings",
    keys: &[key(
        "require",
        List(&Text),
        Optional("none"),
        "Accounts that must be connected before /readyz answers 200; of the others it waits for the first attempt only.",
    )],
};

pub(super) static METRICS: Section = Section {
    what: "metrics settings",
    keys: &[key(
        "max_accounts",
        Kind::Number {
            min: 0,
            max: 1_000_000,
        },
        Default("1000"),
        "How many accounts have metric series of their own; the rest are under `_other`.",
    )],
};
