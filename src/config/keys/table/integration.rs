//! The keys of an integration.

use super::outgoing::VALUE;
use super::route::TLS;
use crate::config::keys::{Choice, Kind, Need, Section, key, later, now};
use Kind::{Bool, Duration, Either, List, Pairs, Template, Text, Url};
use Need::{Default, Optional, Required};

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
            "tls",
            Kind::Section(&TLS),
            Optional("the system's authorities, and no client certificate"),
            "TLS towards the upstreams of its routes, where a route has no `tls` of its own.",
        ),
        key(
            "proxy",
            VALUE,
            Optional("`proxy.upstreams`"),
            "The HTTP proxy for the upstreams of its routes.",
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
            "How the token is obtained. `authorization_code` needs a person to connect the account once, by `sidekey connect` or on the page; `sidekey check` prints the redirect URI to register for it.",
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
            "proxy",
            VALUE,
            Optional("`proxy.token_requests`"),
            "The HTTP proxy for its token and revocation requests.",
        ),
        key(
            "redirect_uri",
            Url,
            Optional("`admin.public_url` and `/oauth/callback`"),
            "The registered redirect URI, where it is another than the default.",
        ),
        key(
            "issuer",
            Template,
            Optional("answers need not name it"),
            "The authorization server's name for itself. Every answer to a person's consent must \
             carry it as `iss` then (RFC 9207): set it where the server's metadata says \
             `authorization_response_iss_parameter_supported`.",
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

/// What stands in `retry_on` for gRPC's UNAUTHENTICATED.
pub const GRPC: &str = "grpc:16";
static GRPC_STATUSES: &[Choice] = &[now(GRPC)];

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
            List(&Either(&[
                Kind::Number { min: 400, max: 499 },
                Kind::Choice(GRPC_STATUSES),
            ])),
            Default("[401, 403, \"grpc:16\"]"),
            "Statuses of the upstream that lead to a refresh and to one replay; `grpc:16` is gRPC's UNAUTHENTICATED, where nothing came before it.",
        ),
        key(
            "reuse_grace",
            Duration,
            Default("0s"),
            "How long the authorization server accepts a rotated refresh token once more.",
        ),
    ],
};
