//! An authorization server that rotates refresh tokens (RFC 6749, 6; RFC 9700,
//! 4.14.2), and accounts that a person has connected, as they lie in the store.

use super::conf::CLIENT_ID;
use super::gate::Gate;
use super::http::Request;
use super::server::{Answer, Server};
use sidekey::base::key::Key;
use sidekey::store::Store;
use sidekey::store::seal::Sealer;
use sidekey::store::sqlite::SqliteStore;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";

pub struct Rotating {
    pub server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    /// How long a refresh token is taken again after its first use; `None`:
    /// that ends its grant.
    grace: Option<Duration>,
    grants: Vec<Grant>,
    /// The grant and the number of each refresh token.
    tokens: HashMap<String, (usize, usize)>,
    life: u64,
    /// The next answers wait here, once their token is spent.
    held: Option<Gate>,
}

#[derive(Default)]
struct Grant {
    /// The number of the newest refresh token.
    newest: usize,
    ended: bool,
    /// When the refresh token of each number first came back.
    first_use: HashMap<usize, SystemTime>,
}

impl Rotating {
    pub fn start(grace: Option<Duration>) -> Self {
        let state = Arc::new(Mutex::new(State {
            grace,
            grants: Vec::new(),
            tokens: HashMap::new(),
            life: 1,
            held: None,
        }));
        let shared = state.clone();
        let server = Server::start(move |request| lock(&shared).answer(request));
        Self { server, state }
    }

    pub fn endpoint(&self) -> String {
        format!("{}/token", self.server.url())
    }

    /// A person consents: a refresh token.
    pub fn consent(&self) -> String {
        let mut state = lock(&self.state);
        state.grants.push(Grant::default());
        let grant = state.grants.len() - 1;
        state.new_token(grant, 0)
    }

    /// Seconds that access tokens live.
    pub fn life(&self, seconds: u64) {
        lock(&self.state).life = seconds;
    }

    /// From now on answers wait here, after their refresh token is spent.
    pub fn hold(&self) -> Gate {
        let gate = Gate::closed();
        lock(&self.state).held = Some(gate.clone());
        gate
    }

    pub fn let_go(&self) {
        if let Some(gate) = lock(&self.state).held.take() {
            gate.open();
        }
    }

    /// Rotations so far, of all grants.
    pub fn rotations(&self) -> usize {
        lock(&self.state).grants.iter().map(|g| g.newest).sum()
    }

    /// The refresh token that each rotation of the newest grant gave, and whether
    /// it came back; and whether an old one has ended that grant.
    #[cfg(feature = "fault-points")]
    pub fn newest_grant(&self) -> (Vec<(String, bool)>, bool) {
        let state = lock(&self.state);
        let at = state.grants.len() - 1;
        let grant = &state.grants[at];
        let given = state
            .tokens
            .iter()
            .filter(|(_, (of, number))| *of == at && *number > 0);
        let told = given.map(|(t, (_, number))| (t.clone(), grant.first_use.contains_key(number)));
        (told.collect(), grant.ended)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let form: HashMap<String, String> = request.form().into_iter().collect();
        let refused = || Answer::json(400, "{\"error\":\"invalid_grant\"}");
        let sent = form.get("refresh_token").and_then(|t| self.tokens.get(t));
        let Some(&(at, number)) = sent else {
            return refused();
        };
        let now = SystemTime::now();
        let grant = &mut self.grants[at];
        let first = *grant.first_use.entry(number).or_insert(now);
        let in_grace = self
            .grace
            .is_some_and(|grace| now.duration_since(first).unwrap_or_default() < grace);
        grant.ended |= number < grant.newest && !in_grace;
        if grant.ended {
            return refused();
        }
        grant.newest += 1;
        let newest = grant.newest;
        let refresh = self.new_token(at, newest);
        let body = format!(
            "{{\"access_token\":\"access-{}\",\"token_type\":\"Bearer\",\"expires_in\":{},\"refresh_token\":\"{refresh}\"}}",
            fastrand::u64(..),
            self.life,
        );
        match &self.held {
            Some(gate) => Answer::json(200, &body).after(gate),
            None => Answer::json(200, &body),
        }
    }

    fn new_token(&mut self, grant: usize, number: usize) -> String {
        let token = format!("refresh-{:016x}", fastrand::u64(..));
        self.tokens.insert(token.clone(), (grant, number));
        token
    }
}

fn open(store: &Path) -> SqliteStore {
    let sealer = Sealer::new(Key::parse(KEY).unwrap(), Vec::new());
    SqliteStore::open(store, sealer).unwrap()
}

/// The refresh token that lies in the store for the account `one`.
#[cfg(feature = "fault-points")]
pub fn stored_refresh_token(store: &Path) -> String {
    let record = open(store).get("account/one").unwrap().unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record.body).unwrap();
    record["tokens"]["refresh_token"].as_str().unwrap().into()
}

/// Puts the account `one` into the store as if a person had just connected it;
/// its access token is due for a refresh.
pub fn connect(store: &Path, endpoint: &str, refresh_token: &str) {
    connect_to(store, endpoint, CLIENT_ID, refresh_token);
}

/// The same for another client.
pub fn connect_to(store: &Path, endpoint: &str, client: &str, refresh_token: &str) {
    let store = open(store);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = u64::try_from(now.as_millis()).unwrap();
    let record = serde_json::json!({
        "format": 1,
        "binding": format!("{endpoint}\n{client}\nperson"),
        "generation": 1,
        "tokens": {
            "access_token": "access-of-the-connection",
            "refresh_token": refresh_token,
            "issued_at": now - 1_000,
            "expires_at": now,
            "refreshed_at": now,
        },
    });
    let record = serde_json::to_vec(&record).unwrap();
    loop {
        let version = store.get("account/one").unwrap().map(|r| r.version);
        if store.put("account/one", version, None, &record).is_ok() {
            return;
        }
    }
}
