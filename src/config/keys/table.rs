//! The table itself, in the order in which the reference shows it.

use super::{Choice, Kind, Need, Section, key, later, now};
use Kind::{Address, Any, Bool, Duration, Either, List, Pairs, Size, Template, Text, Url};
use Need::{Default, Optional, Required};

/// The whole file.
pub static ROOT: Section = Section {
    what: "the configuration",
    keys: &[
        key(
            "listen",
            Either(&[Address, List(&Kind::Section(&LISTENER))]),
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
            "Where connected accounts and their tokens live between restarts. This version keeps them in memory.",
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
    ],
};

/// The long form of `listen`.
pub static LISTENER: Section = Section {
    what: "a listener",
    keys: &[
        key(
            "address",
            Address,
            Required,
            "Address and port: `127.0.0.1:7480`, or `[::]:7480` for IPv6 and IPv4. `unix:/path` comes in a later version.",
        ),
        key(
            "hosts",
            List(&Text),
            Optional("loopback names and the hosts that routes name"),
            "Further host names by which callers may reach this listener.",
        ),
        key(
            "tls",
            Any,
            Optional("plain HTTP"),
            "The listener's certificate.",
        )
        .later(),
        key(
            "callers",
            Any,
            Optional("whoever can reach the listener"),
            "Who may call.",
        )
        .later(),
        key(
            "routes",
            Any,
            Optional("all routes"),
            "The routes that this listener serves.",
        )
        .later(),
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

/// One of `integrations`.
pub static INTEGRATION: Section = Section {
    what: "an integration",
    keys: &[
        key(
            "key",
            Text,
            Required,
            "Its unique key: letters and digits only.",
        ),
        key("name", Text, Optional("its key"), "Its name for people."),
        key(
            "parameters",
            List(&Either(&[Text, Kind::Section(&PARAMETER)])),
            Optional("none"),
            "What an account fills in. `{name}` stands for the value in every input of the integration and in the upstream of its routes; each must be used somewhere.",
        ),
        key(
            "oauth2",
            Kind::Section(&OAUTH2),
            Required,
            "How the service does OAuth 2.0.",
        ),
        key(
            "token",
            Kind::Section(&TOKEN),
            Optional("the header `Authorization: Bearer {token}`"),
            "How the token is written into a request.",
        ),
        key(
            "request_parameters",
            List(&Kind::Section(&REQUEST_PARAMETER)),
            Optional("none"),
            "What is added to every proxied request of the integration.",
        ),
        key(
            "refresh",
            Kind::Section(&REFRESH_RULES),
            Optional("the defaults of its keys"),
            "When a token is refreshed.",
        ),
    ],
};

/// The long form of a parameter.
pub static PARAMETER: Section = Section {
    what: "a parameter",
    keys: &[
        key(
            "name",
            Text,
            Required,
            "Letters, digits and `_`; not `token`, which is the token itself.",
        ),
        key("title", Text, Optional("its name"), "Its name for people."),
        key(
            "pattern",
            Text,
            Optional("any value"),
            "A regular expression that the whole value must match.",
        ),
        key(
            "enum",
            List(&Text),
            Optional("any value"),
            "The values that are allowed.",
        ),
        key(
            "default",
            Text,
            Optional("every account gives a value"),
            "The value where an account gives none.",
        ),
        key("secret", Bool, Default("false"), "Never show its value."),
    ],
};

static GRANTS: &[Choice] = &[now("authorization_code"), now("client_credentials")];
static METHODS: &[Choice] = &[now("POST"), now("GET")];
static CLIENT_AUTH: &[Choice] = &[
    now("client_secret_basic"),
    now("client_secret_post"),
    now("none"),
    later("client_secret_jwt"),
    later("private_key_jwt"),
    later("tls_client_auth"),
    later("self_signed_tls_client_auth"),
];
static CHALLENGES: &[Choice] = &[now("S256"), now("plain"), now("none")];

/// `oauth2` of an integration.
pub static OAUTH2: Section = Section {
    what: "an `oauth2` block",
    keys: &[
        key(
            "grant_type",
            Kind::Choice(GRANTS),
            Required,
            "How the token is obtained. `authorization_code` needs a person to connect the account once, which comes in a later version: such an account loads and is shown as not connected.",
        ),
        key(
            "authorization_endpoint",
            Url,
            Optional("needed with `authorization_code`"),
            "Where a person gives consent.",
        ),
        key("token_endpoint", Url, Required, "Where tokens are fetched."),
        key(
            "token_endpoint_method",
            Kind::Choice(METHODS),
            Default("POST"),
            "The HTTP method of a token request. POST sends a form, GET a query.",
        ),
        key(
            "token_endpoint_auth_method",
            Kind::Choice(CLIENT_AUTH),
            Default("client_secret_basic"),
            "How the client authenticates: HTTP Basic, in the body (or query), or not at all.",
        ),
        key(
            "revocation_endpoint",
            Url,
            Optional("tokens are not revoked"),
            "Where tokens are revoked (RFC 7009).",
        ),
        key(
            "redirect_uri",
            Url,
            Optional("`admin.public_url` and `/oauth/callback`"),
            "The registered redirect URI, where it is another than the default.",
        ),
        key(
            "scope",
            Template,
            Optional("no scope is asked for"),
            "The scopes, separated by spaces.",
        ),
        key("client_id", Template, Required, "The client's identifier."),
        key(
            "client_secret",
            Template,
            Optional("needed unless the authentication method is `none`"),
            "The client's secret: `{file: PATH}` (read again at each token request), `{env: NAME}`, or a literal, which is warned about.",
        )
        .secret(),
        key(
            "code_challenge_method",
            Kind::Choice(CHALLENGES),
            Default("S256"),
            "PKCE (RFC 7636) of an authorization request.",
        ),
        key(
            "authorization_parameters",
            Pairs,
            Optional("none"),
            "Further parameters of an authorization request.",
        ),
        key(
            "token_parameters",
            Pairs,
            Optional("none"),
            "Further parameters of a token request.",
        ),
    ],
};

static PLACES: &[Choice] = &[now("header"), now("query")];

/// `token` of an integration.
pub static TOKEN: Section = Section {
    what: "a token template",
    keys: &[
        key(
            "in",
            Kind::Choice(PLACES),
            Default("header"),
            "Whether the token goes into a header or a URL query parameter.",
        ),
        key(
            "name",
            Template,
            Optional("`Authorization` in a header; must be written for a query parameter"),
            "The header's or query parameter's name.",
        ),
        key(
            "value",
            Template,
            Optional("`Bearer {token}` in a header, `{token}` in the query"),
            "The value; `{token}` stands for the token.",
        ),
    ],
};

/// One of `request_parameters`.
pub static REQUEST_PARAMETER: Section = Section {
    what: "a request parameter",
    keys: &[
        key(
            "in",
            Kind::Choice(PLACES),
            Required,
            "Whether it is a header or a URL query parameter.",
        ),
        key("name", Template, Required, "Its name."),
        key("value", Template, Required, "Its value."),
    ],
};

static REFRESH_RULES: Section = Section {
    what: "refresh rules",
    keys: &[
        key(
            "before_expiry",
            Duration,
            Default("30m"),
            "A token is refreshed when less than this is left of its life, but never before half of it.",
        ),
        key(
            "retry_on",
            List(&Kind::Number { min: 400, max: 499 }),
            Default("[401, 403]"),
            "Statuses of the upstream that lead to a refresh and to one replay.",
        ),
        key(
            "reuse_grace",
            Duration,
            Default("0s"),
            "How long the authorization server accepts a rotated refresh token once more.",
        ),
    ],
};

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
            Url,
            Required,
            "Where the request goes: an `http` or `https` URL. `h2c` comes in a later version.",
        ),
        key(
            "account",
            Text,
            Required,
            "The key of the account that speaks for the request.",
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
            "For connecting to the upstream, TLS included.",
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
            "allow_origins",
            List(&Text),
            Optional("none"),
            "Origins of browsers' pages that may call this route, as `https://app.example.com`.",
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
        key("exact", Text, Optional("see `prefix`"), "The whole path."),
    ],
};

static LEVELS: &[Choice] = &[
    now("error"),
    now("warn"),
    now("info"),
    now("debug"),
    now("trace"),
];
static FORMATS: &[Choice] = &[now("text"), now("json")];

static LOG: Section = Section {
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
static IO: &[Choice] = &[now("auto"), now("epoll"), later("io_uring")];

static WORKERS: Section = Section {
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
            "How workers wait for sockets.",
        ),
    ],
};

static LIMITS: Section = Section {
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
            "header_bytes",
            Size,
            Default("64KiB"),
            "Bytes of a request's head.",
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
            "header_timeout",
            Duration,
            Default("10s"),
            "From the first byte of a request's head to its last.",
        ),
        key(
            "idle_timeout",
            Duration,
            Default("120s"),
            "How long a caller's kept-alive connection may be silent.",
        ),
        key(
            "pool_idle_per_origin",
            Kind::Number {
                min: 0,
                max: 1_000_000,
            },
            Default("256"),
            "Idle upstream connections that each worker keeps per origin.",
        ),
        key(
            "pool_idle_timeout",
            Duration,
            Default("30s"),
            "How long an upstream connection is kept idle.",
        ),
    ],
};

static REFRESH: Section = Section {
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

static DRAIN: Section = Section {
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

static READINESS: Section = Section {
    what: "readiness settings",
    keys: &[key(
        "require",
        List(&Text),
        Optional("none"),
        "Accounts that must be connected before /readyz answers 200; of the others it waits for the first attempt only.",
    )],
};

static METRICS: Section = Section {
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
