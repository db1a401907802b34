//! What the program runs on: everything parsed, resolved and consistent.
//! Made only by `config::load`, which reports every mistake with its place.

pub mod callers;
pub mod connect;
pub mod edits;
pub mod listening;
pub mod outgoing;
pub mod served;
pub mod streams;
pub mod upstream;

use super::stamp::Stamps;
use crate::base::id::AccountKey;
use crate::base::key::Key;
use crate::base::outgoing::Outgoing;
use crate::base::secret::Secret;
use crate::base::template::{Template, UrlTemplate};
use crate::config::traces::Traces;
use callers::{Allowed, Speaks};
use edits::Edits;
use http::{HeaderName, Method};
use listening::Listener;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use streams::Streams;

/// A whole configuration without mistakes.
#[derive(Debug)]
pub struct Config {
    pub listeners: Vec<Listener>,
    pub admin: Admin,
    /// `/livez`, `/readyz`, `/metrics` and nothing else.
    pub probes: Option<SocketAddr>,
    pub store: Store,
    pub integrations: Vec<Arc<Integration>>,
    pub accounts: Vec<Account>,
    pub routes: Vec<Route>,
    /// Those of them whose accounts are created while the process runs.
    pub awaited: Vec<Awaited>,
    pub log: Log,
    pub workers: Workers,
    pub limits: Limits,
    pub refresh: RefreshSettings,
    pub drain: Drain,
    /// Accounts that `/readyz` waits for beyond their first attempt.
    pub readiness_require: Vec<AccountKey>,
    /// How many accounts get metric series of their own.
    pub metrics_max_accounts: usize,
    /// `None`: requests' traces are none of our business.
    pub traces: Option<Traces>,
    /// Things worth saying at every start, already worded for people.
    pub warnings: Vec<String>,
    /// Other files that values were taken from.
    pub files: Vec<PathBuf>,
    /// In which state those were that were read.
    pub stamps: Stamps,
}

#[derive(Debug, Clone)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Without a trailing slash.
    pub public_url: String,
    /// `None`: made in the state directory.
    pub token: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    Memory,
    File {
        /// `None`: the default place in the state directory.
        path: Option<PathBuf>,
        key: StoreKey,
    },
}

/// Where the store's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKey {
    /// From the file in the user's configuration directory; `generate`: made
    /// there where none is, also without a terminal.
    Own { generate: bool },
    /// The first seals, all open.
    Given { first: Key, others: Vec<Key> },
}

/// How one kind of service does OAuth 2.0.
#[derive(Debug, Clone)]
pub struct Integration {
    pub key: String,
    pub name: String,
    pub parameters: Vec<ParameterSpec>,
    pub oauth2: OAuth2,
    pub token: TokenTemplate,
    pub request_parameters: Vec<RequestParameter>,
    pub refresh: RefreshRules,
}

/// A parameter that an account fills in.
#[derive(Clone, PartialEq, Eq)]
pub struct ParameterSpec {
    pub name: String,
    pub title: Option<String>,
    /// Anchored at both ends.
    pub pattern: Option<String>,
    pub choices: Option<Vec<String>>,
    pub default: Option<String>,
    pub secret: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantType {
    AuthorizationCode,
    ClientCredentials,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenMethod {
    Post,
    Get,
}

/// RFC 7591, 2: `token_endpoint_auth_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    Basic,
    Post,
    None,
}

/// RFC 7636, 4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeChallenge {
    S256,
    Plain,
    None,
}

#[derive(Debug, Clone)]
pub struct OAuth2 {
    pub grant_type: GrantType,
    pub authorization_endpoint: Option<UrlTemplate>,
    pub token_endpoint: UrlTemplate,
    pub token_endpoint_method: TokenMethod,
    pub token_endpoint_auth_method: ClientAuth,
    pub revocation_endpoint: Option<UrlTemplate>,
    /// `None`: token requests go out by themselves.
    pub proxy: Option<Arc<Outgoing>>,
    pub redirect_uri: Option<UrlTemplate>,
    /// RFC 9207; compared letter by letter.
    pub issuer: Option<Template>,
    pub scope: Option<Template>,
    pub client_id: Template,
    pub client_secret: Option<ClientSecret>,
    pub code_challenge_method: CodeChallenge,
    pub authorization_parameters: Vec<(String, Template)>,
    pub token_parameters: Vec<(String, Template)>,
}

/// A client secret and where it came from.
#[derive(Clone)]
pub enum ClientSecret {
    /// From a file, which is read again at every token request.
    File(PathBuf),
    /// From the environment or the file itself; may hold parameters.
    Text(SecretTemplate),
}

/// A template that is itself secret: no `Debug` of its text.
#[derive(Clone)]
pub struct SecretTemplate(pub Template);

/// How the token is written into a request.
#[derive(Debug, Clone)]
pub struct TokenTemplate {
    pub place: Placement,
    pub name: Template,
    /// Holds `{token}` exactly once or more.
    pub value: Template,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    Header,
    Query,
}

/// Added to every proxied request of the integration.
#[derive(Debug, Clone)]
pub struct RequestParameter {
    pub place: Placement,
    pub name: Template,
    pub value: Template,
}

/// gRPC's status for a credential that is missing or not valid; no HTTP status
/// is so small.
pub const GRPC_UNAUTHENTICATED: u16 = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRules {
    pub before_expiry: Duration,
    /// HTTP statuses that lead to a refresh and one replay, in order; before
    /// them [`GRPC_UNAUTHENTICATED`], where gRPC's own is one.
    pub retry_on: Vec<u16>,
    pub reuse_grace: Duration,
}

/// A connected account from the file.
#[derive(Debug, Clone)]
pub struct Account {
    pub key: AccountKey,
    pub integration: Arc<Integration>,
    /// Every declared parameter, defaults filled in; a secret one has its value here too.
    pub parameters: BTreeMap<String, ParameterValue>,
}

/// A parameter's value; `Debug` shows nothing of a secret one.
#[derive(Clone, PartialEq, Eq)]
pub enum ParameterValue {
    Plain(String),
    Secret(Secret),
}

/// Routes as the parts of the program share them: there may be very many.
pub type SharedRoutes = Arc<[Arc<Route>]>;

/// A route, its upstream filled in with its account's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub name: String,
    pub matcher: RouteMatch,
    pub upstream: Upstream,
    pub reach: upstream::Reach,
    pub account: AccountKey,
    /// Until response headers.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub replay_body_limit: usize,
    pub allow_plaintext: bool,
    /// Offer HTTP/2 to an `https` upstream (ALPN).
    pub http2: bool,
    /// Names of fields keep the spelling of either side, over HTTP/1.1.
    pub keep_header_case: bool,
    /// Origins (`scheme://host[:port]`, lower case) of pages that may call this route.
    pub allow_origins: Vec<String>,
    /// Bytes of a request's body; `None`: as [`Limits::max_body`] says.
    pub max_body: Option<u64>,
    /// `None`: whoever may use the listener.
    pub callers: Option<Arc<Allowed>>,
    pub speaks: Speaks,
    /// `None` where it changes nothing.
    pub edits: Option<Arc<Edits>>,
    pub streams: Streams,
}

/// A route whose account is none of the configuration's: its upstream leads
/// nowhere until somebody has created it.
#[derive(Debug, Clone)]
pub struct Awaited {
    /// Its place among the routes.
    pub route: usize,
    /// One or more.
    pub upstreams: Vec<UrlTemplate>,
    pub integration: Arc<Integration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteMatch {
    pub host: Option<HostMatch>,
    pub path: PathMatch,
    /// Empty: any.
    pub methods: Vec<Method>,
    /// Exact values.
    pub headers: Vec<(HeaderName, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostMatch {
    Exact(String),
    /// `*.suffix`, held without the `*`: `.suffix`.
    Suffix(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// Held without a trailing slash: `/crm`; the root is the empty text.
    Prefix(String),
    Exact(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamScheme {
    Http,
    Https,
    /// HTTP/2 over plain TCP, known beforehand (RFC 9113, 3.3).
    H2c,
}

impl UpstreamScheme {
    /// As it begins a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upstream {
    pub scheme: UpstreamScheme,
    /// Host as it goes into `Host` and SNI: no brackets around IPv6 here.
    pub host: String,
    pub port: u16,
    /// `host[:port]`, the port only where it is not the scheme's own.
    pub authority: String,
    /// Percent-encoded, starts with `/`; as written, so `/api/` or `/api`.
    pub path: String,
    /// The upstream URL's own query, sent before the caller's; usually `None`.
    pub query: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
    pub access: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Fields that frame or route a message, or belong to one connection: writing
/// them would make a request ambiguous.
const NOT_OURS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// True of these; some servers read `_` as `-`.
#[must_use]
pub fn is_of_the_connection(name: &HeaderName) -> bool {
    NOT_OURS.contains(&name.as_str().replace('_', "-").as_str())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// OS threads for requests; at least 1.
    pub count: usize,
    pub io: Io,
    /// Whether they stay awake for answers that come at once; `None`: where that pays.
    pub spin: Option<bool>,
}

/// How workers wait for sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// The best that the machine allows.
    Auto,
    Epoll,
    /// Linux's `io_uring`.
    Ring,
}

/// Everything unbounded has a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All replay buffers together, in bytes.
    pub replay_buffer_total: usize,
    /// Open connections on all proxy listeners together.
    pub connections: usize,
    /// Of one IP address, or of one user over Unix sockets; `None`: any number.
    pub connections_per_caller: Option<usize>,
    /// Requests at once in the whole process.
    pub requests: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    pub header_count: usize,
    /// Bytes of a request target.
    pub uri_bytes: usize,
    /// Bytes of a request's body; `u64::MAX`: any number.
    pub max_body: u64,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// How long a kept-alive connection may be silent.
    pub idle_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams: usize,
    /// Open upstream connections per origin and worker; `None`: as many as are
    /// needed.
    pub pool_connections_per_origin: Option<usize>,
    /// Requests that wait for one of them, per origin and worker.
    pub pool_queue: usize,
    /// Idle upstream connections kept per origin and worker.
    pub pool_idle_per_origin: usize,
    /// How long an upstream connection may stay idle.
    pub pool_idle_timeout: Duration,
    /// An older upstream connection takes no new request; zero: none is too old.
    pub max_connection_age: Duration,
    /// How long an HTTP/2 upstream may be silent while it owes something
    /// before it gets a PING, and then how long that may go unanswered; zero: it
    /// gets none.
    pub http2_ping_after: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshSettings {
    /// Token requests at once per token endpoint.
    pub concurrency: usize,
    /// How long a request waits for a token.
    pub token_wait: Duration,
    /// How many may wait per account.
    pub token_waiters: usize,
    /// For one token request, until its answer is read.
    pub timeout: Duration,
}

#[derive(Debug, Clone)]
pub struct Drain {
    /// After `/readyz` fails and before listeners close.
    pub delay: Duration,
    /// For running requests.
    pub timeout: Duration,
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text([secret])"),
        }
    }
}

/// Shows nothing of a secret one's default.
impl fmt::Debug for ParameterSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.default.as_deref();
        let default = default.map(|text| if self.secret { "[secret]" } else { text });
        f.debug_struct("ParameterSpec")
            .field("name", &self.name)
            .field("title", &self.title)
            .field("pattern", &self.pattern)
            .field("choices", &self.choices)
            .field("default", &default)
            .field("secret", &self.secret)
            .finish()
    }
}

impl fmt::Debug for SecretTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Upstream {
    /// True for `https`.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.scheme == UpstreamScheme::Https
    }
}

impl Config {
    /// Where it listens, as far as that is written.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let proxy = self.listeners.iter().filter_map(|it| match it.address {
            listening::Address::Tcp(address) => Some(address),
            _ => None,
        });
        let others = [self.admin.listen].into_iter().chain(self.probes);
        proxy.chain(others).collect()
    }

    /// The redirect URIs that must be registered at authorization servers,
    /// exactly so, each with the accounts that use it.
    #[must_use]
    pub fn redirect_uris(&self) -> BTreeMap<String, Vec<&AccountKey>> {
        let mut uris: BTreeMap<String, Vec<&AccountKey>> = BTreeMap::new();
        let personal =
            |a: &&Account| a.integration.oauth2.grant_type == GrantType::AuthorizationCode;
        for account in self.accounts.iter().filter(personal) {
            let lookup = |name: &str| account.parameters.get(name).map(ParameterValue::text);
            let own = account.integration.oauth2.redirect_uri.as_ref();
            let own = own.and_then(|template| template.expand(&lookup).ok());
            let uri = own.map_or_else(|| self.admin.redirect_uri(), String::from);
            uris.entry(uri).or_default().push(&account.key);
        }
        uris
    }
}

impl Admin {
    /// Where authorization servers send browsers back to, unless an
    /// integration says otherwise.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("{}/oauth/callback", self.public_url)
    }
}

impl ParameterValue {
    /// The value, also of a secret one: write it into a request, nowhere else.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

impl fmt::Debug for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => write!(f, "{text:?}"),
            Self::Secret(_) => f.write_str("[secret]"),
        }
    }
}
