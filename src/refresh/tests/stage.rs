//! Accounts, a clock that follows tokio's, and a server whose answers are given.

use crate::account::{AttachPlan, ConnectedAccount, OAuthClient, OAuthTerms, SecretSource};
use crate::base::clock::{Clock, Mono, Now, Wall};
use crate::base::id::AccountKey;
use crate::base::secret::Secret;
use crate::base::template::{Template, UrlTemplate};
use crate::config::checked::{
    ClientAuth, CodeChallenge, GrantType, Integration, OAuth2, Placement, RefreshRules,
    RefreshSettings, TokenMethod, TokenTemplate,
};
use crate::oauth::{Failure, Grant, TokenAnswer};
use crate::refresh::fetch::{Fetch, Fetching};
use crate::refresh::wing::start_with;
use crate::refresh::{Handle, Parts, Setup};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::telemetry::refreshes::{NamedAccounts, RefreshMetrics};
use crate::token::{Asker, Shared, channel, slot};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Follows tokio's time; the wall clock can be stepped.
pub struct TestClock {
    origin: Instant,
    pub stepped: AtomicI64,
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        let passed = self.origin.elapsed();
        let stepped = 1_700_000_000 + self.stepped.load(Ordering::Relaxed);
        Now {
            mono: Mono::new(passed),
            wall: Wall::new(Duration::from_secs(stepped.unsigned_abs()) + passed),
        }
    }
}

/// Gives tokens; counts, and holds requests back while it has no permits.
pub struct TestServer {
    pub life: Mutex<Option<u64>>,
    pub failure: Mutex<Option<Failure>>,
    pub same: Mutex<Option<String>>,
    pub gate: Arc<Semaphore>,
    pub begun: AtomicUsize,
    pub at_once: Arc<AtomicUsize>,
    pub most_at_once: Arc<AtomicUsize>,
    pub order: Mutex<Vec<String>>,
}

impl TestServer {
    fn new() -> Self {
        Self {
            life: Mutex::new(Some(3_600)),
            failure: Mutex::new(None),
            same: Mutex::new(None),
            gate: Arc::new(Semaphore::new(1_000_000)),
            begun: AtomicUsize::new(0),
            at_once: Arc::default(),
            most_at_once: Arc::default(),
            order: Mutex::new(Vec::new()),
        }
    }

    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Fetch for TestServer {
    fn fetch(&self, account: Arc<ConnectedAccount>, _: Grant, _: Now) -> Fetching {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        self.order.lock().unwrap().push(account.key.to_string());
        let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(now, Ordering::Relaxed);
        let failure = self.failure.lock().unwrap().clone();
        let life = *self.life.lock().unwrap();
        let same = self.same.lock().unwrap().clone();
        let (gate, at_once) = (self.gate.clone(), self.at_once.clone());
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            gate.acquire().await.unwrap().forget();
            at_once.fetch_sub(1, Ordering::Relaxed);
            match failure {
                Some(failure) => Err(failure),
                None => Ok(TokenAnswer {
                    access_token: Secret::new(same.unwrap_or_else(|| format!("token-{number}"))),
                    token_type: None,
                    life: life.map(Duration::from_secs),
                    refresh_token: None,
                    scope: None,
                }),
            }
        })
    }
}

pub struct Stage {
    pub handle: Handle,
    pub asker: Asker,
    pub shared: Vec<Shared>,
    pub server: Arc<TestServer>,
    pub clock: Arc<TestClock>,
    pub store: Arc<dyn Store>,
}

pub fn key(number: usize) -> AccountKey {
    AccountKey::new(&format!("account{number}")).unwrap()
}

impl Stage {
    pub fn new(accounts: usize) -> Self {
        Self::with(accounts, Arc::new(MemoryStore::new()), |_| {})
    }

    pub fn with(accounts: usize, store: Arc<dyn Store>, prepare: impl FnOnce(&TestServer)) -> Self {
        let accounts = (0..accounts).map(|number| account(number, None)).collect();
        Self::of(accounts, store, prepare)
    }

    pub fn of(
        accounts: Vec<ConnectedAccount>,
        store: Arc<dyn Store>,
        prepare: impl FnOnce(&TestServer),
    ) -> Self {
        let server = Arc::new(TestServer::new());
        prepare(&server);
        let clock = Arc::new(TestClock {
            origin: Instant::now(),
            stepped: AtomicI64::new(0),
        });
        let (asker, asks) = channel();
        let (publishers, shared): (Vec<_>, Vec<_>) = accounts.iter().map(|_| slot()).unzip();
        let setups = accounts.into_iter().zip(publishers);
        let parts = Parts {
            accounts: setups
                .map(|(account, publisher)| Setup {
                    account: Arc::new(account),
                    publisher,
                    created: false,
                })
                .collect(),
            asks,
            store: store.clone(),
            clock: clock.clone(),
            metrics: Arc::new(RefreshMetrics::new(NamedAccounts::default())),
            settings: settings(),
        };
        let handle = start_with(parts, server.clone());
        Self {
            handle,
            asker,
            shared,
            server,
            clock,
            store,
        }
    }

    /// Waits until every account's first attempt has ended.
    pub async fn ready(self) -> Self {
        while !self.handle.accounts().iter().all(|a| a.first_attempt_ended) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self
    }
}

fn settings() -> RefreshSettings {
    RefreshSettings {
        concurrency: 8,
        token_wait: Duration::from_secs(5),
        token_waiters: 1_024,
        timeout: Duration::from_secs(30),
    }
}

pub fn account(number: usize, secret: Option<SecretSource>) -> ConnectedAccount {
    let template = |text: &str| Template::parse(text).unwrap();
    let endpoint = "https://auth.example.com/token";
    let integration = Integration {
        key: "crm".to_owned(),
        name: "CRM".to_owned(),
        parameters: Vec::new(),
        oauth2: OAuth2 {
            grant_type: GrantType::ClientCredentials,
            authorization_endpoint: None,
            token_endpoint: UrlTemplate::parse(endpoint).unwrap(),
            token_endpoint_method: TokenMethod::Post,
            token_endpoint_auth_method: ClientAuth::Basic,
            revocation_endpoint: None,
            proxy: None,
            redirect_uri: None,
            issuer: None,
            scope: None,
            client_id: template("id"),
            client_secret: None,
            code_challenge_method: CodeChallenge::S256,
            authorization_parameters: Vec::new(),
            token_parameters: Vec::new(),
        },
        token: TokenTemplate {
            place: Placement::Header,
            name: template("Authorization"),
            value: template("Bearer {token}"),
        },
        request_parameters: Vec::new(),
        refresh: RefreshRules {
            before_expiry: Duration::from_mins(30),
            retry_on: vec![401, 403],
            reuse_grace: Duration::ZERO,
        },
    };
    ConnectedAccount {
        key: key(number),
        oauth: OAuthClient {
            token_endpoint: endpoint.parse::<url::Url>().unwrap().into(),
            client_id: "id".to_owned(),
            client_secret: secret.map(Arc::new),
            secret_values: Box::default(),
            terms: Arc::new(OAuthTerms::sample(GrantType::ClientCredentials, "api")),
        },
        attach: Arc::new(AttachPlan {
            place: Placement::Header,
            name: "authorization".to_owned(),
            value: template("Bearer {token}"),
            headers: Vec::new(),
            query: Vec::new(),
        }),
        integration: Arc::new(integration),
        parameters: Box::default(),
    }
}
