//! A process from start to end.

use super::announce::{self, Addresses};
use super::failure::Failure;
use super::handover::{Offer, Predecessor, Succession};
use super::heap;
use super::held::Held;
use super::listeners::{self, Bound};
use super::own_proxies;
use super::pages;
use super::running::{End, Reloading, Running};
use super::signals::{Hangups, Signals};
use super::source::{Source, Watched};
use super::stored::{self, Surroundings};
use super::wings;
use crate::account::ConnectedAccount;
use crate::admin::token::{TokenError, find_or_make};
use crate::base::directories::state_directory;
use crate::base::secret::Secret;
use crate::config::checked::listening::Listener;
use crate::config::checked::{self, Config, LogFormat};
use crate::net::inherited::Inherited;
use crate::refresh::Handle;
use crate::store::Store;
use crate::telemetry::Format;
use crate::telemetry::access::AccessLog;
use crate::telemetry::log::{self, Log};
use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// Threads for everything that is not a proxied request.
const COLD_THREADS: usize = 2;
/// What the last lines of the logs may take, and whatever blocks at the end.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often it is looked whether all first token requests have ended.
const LOOK_AT_START: Duration = Duration::from_millis(500);

/// What is made before anything runs.
pub(super) struct Made {
    pub format: Format,
    pub log: Arc<Log>,
    pub access: Option<AccessLog>,
    pub bound: Bound,
    pub inherited: Arc<Inherited>,
    pub admin_token: Secret,
    pub accounts: Vec<Arc<ConnectedAccount>>,
    pub store: Arc<dyn Store>,
    /// Nobody is served before the first attempts at tokens have ended.
    pub tokens_first: bool,
}

/// Runs until asked to end, and drains. `config` is what was read of `source`
/// when its files were as `watched` says. With `take_over` it listens at the
/// sockets of the process that runs, which drains once this one serves.
///
/// # Errors
/// When the process can't start, or a part of it ended by itself.
pub fn run(
    config: Config,
    source: Source,
    watched: Watched,
    take_over: bool,
) -> Result<(), Failure> {
    // SAFETY: no thread was started yet, and what has read the configuration has
    // closed its files.
    let inherited = unsafe { Inherited::take() };
    let format = format_of(config.log.format);
    let log = Arc::new(log::start(&config.log.level, format).map_err(Failure::Log)?);
    if format == Format::Json {
        log::take_panics();
    }
    say_first(&config);
    let start = Start {
        take_over,
        log: log.clone(),
        inherited,
    };
    let ended = start_and_serve(config, start, (source, watched));
    log.flush(LAST_WORDS);
    ended
}

/// What is worth saying at every start.
fn say_first(config: &Config) {
    tracing::trace!(
        target: "sidekey",
        "libraries' lines below warn are left out at every level: they may hold tokens"
    );
    say_warnings(config);
}

/// What the configuration's reader remarked on.
pub(super) fn say_warnings(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!(target: "sidekey", "{warning}");
    }
}

/// What is there before the configuration is gone by.
struct Start {
    take_over: bool,
    log: Arc<Log>,
    inherited: Inherited,
}

fn start_and_serve(
    mut config: Config,
    mut start: Start,
    read: (Source, Watched),
) -> Result<(), Failure> {
    let format = format_of(config.log.format);
    // Fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut predecessor = match start.take_over {
        true => Predecessor::ask(config.admin.listen).map_err(Failure::TakeOver)?,
        false => None,
    };
    if let Some(before) = &mut predecessor {
        start.inherited.adopt(before.take_inherited());
    }
    let bound = listeners::bind_all(&config, &start.inherited, predecessor.as_mut());
    let bound = bound.map_err(Failure::Listen)?;
    let ours = addresses(&bound, &config.listeners)?;
    own_proxies::ignore(&mut config, &ours);
    let made = Made {
        bound,
        admin_token: admin_token(&config.admin)?,
        accounts: resolve(&config)?,
        access: access_log(&config.log, format)?,
        store: open_store(&config.store)?,
        format,
        log: start.log,
        inherited: Arc::new(start.inherited),
        tokens_first: predecessor.is_some(),
    };
    let cold = cold_runtime()?;
    let ended = cold.block_on(serve(config, made, read, predecessor));
    // A name that is still being resolved must not hold up the end.
    cold.shutdown_timeout(LAST_WORDS);
    ended
}

async fn serve(
    config: Config,
    made: Made,
    (source, watched): (Source, Watched),
    predecessor: Option<Predecessor>,
) -> Result<(), Failure> {
    let deaf = "signals can't be received";
    let mut signals = Signals::new().map_err(Failure::system(deaf))?;
    let hangups = Hangups::new().map_err(Failure::system(deaf))?;
    let format = made.format;
    let addresses = addresses(&made.bound, &config.listeners)?;
    listeners::refuse_own_upstreams(&config.routes, &addresses)?;
    announce::start(format, &addresses, &config);
    let reloading = Reloading {
        source,
        watched,
        hangups,
        addresses,
    };
    let admin = config.admin.listen;
    let mut running = Running::start(config, made, reloading).await?;
    let offer = match succeed(admin, predecessor, &running.held).await {
        Ok(offer) => offer,
        Err(why) => {
            tokio::spawn(end_at_once(signals));
            running.wind_down(End::Late).await;
            return Err(Failure::TakeOver(why));
        }
    };
    announce::page(format, running.page_link());
    tokio::spawn(announce::accounts(format, running.core.accounts.clone()));
    tokio::spawn(give_back(running.core.accounts.clone()));
    let held = running.held.clone();
    let end = tokio::select! {
        _ = signals.next() => End::Asked,
        () = taken(offer.as_ref(), &held) => End::Succeeded,
        what = running.ended() => return Err(Failure::Ended(what)),
    };
    drop(held);
    // Nobody is to ask a process that ends.
    drop(offer);
    // From now on a signal means: at once.
    tokio::spawn(end_at_once(signals));
    running.wind_down(end).await;
    Ok(())
}

fn addresses(bound: &Bound, listeners: &[Listener]) -> Result<Addresses, Failure> {
    Addresses::of(bound, listeners).map_err(Failure::system("a listener is gone"))
}

async fn end_at_once(mut signals: Signals) {
    std::process::exit(signals.next().await.exit_code())
}

/// Lets the process before end, then waits for one that is to take over.
///
/// # Errors
/// Why the process before goes on.
async fn succeed(
    admin: SocketAddr,
    predecessor: Option<Predecessor>,
    held: &Held,
) -> Result<Option<Offer>, String> {
    let succession = match predecessor {
        Some(predecessor) => take_place(predecessor, held).await?,
        None => None,
    };
    let offer = Offer::open(admin);
    drop(succession);
    if let Err(why) = &offer {
        tracing::info!(target: "sidekey", "no other process can take over from this one: {why}");
    }
    Ok(offer.ok())
}

async fn take_place(predecessor: Predecessor, held: &Held) -> Result<Option<Succession>, String> {
    let told = tokio::task::spawn_blocking(|| predecessor.ready()).await;
    let succession = told.map_err(|why| why.to_string())??;
    held.keep_files();
    match succession {
        Some(_) => tracing::info!(target: "sidekey", "took over; the process before drains"),
        None => tracing::warn!(target: "sidekey", "took over from a process that is gone already"),
    }
    Ok(succession)
}

async fn taken(offer: Option<&Offer>, held: &Held) {
    match offer {
        Some(offer) => offer.taken(held).await,
        None => std::future::pending().await,
    }
}

/// Gives back the code and the memory that only the start needed, once that is over; the
/// code once more after the first looks at the process and its first requests, which come
/// at once.
async fn give_back(accounts: Handle) {
    wings::first_attempts(&accounts, LOOK_AT_START).await;
    // What belonged to the last of them is free soon after.
    sleep(LOOK_AT_START).await;
    heap::give_back();
    pages::give_back();
    pages::give_back_at_rest().await;
}

/// What the accounts of a configuration are; those of an integration share what is equal.
///
/// A thread of its own does it, for threads share no pages of small blocks: what stays
/// must not lie scattered among the rest of the configuration, which goes.
pub(super) fn resolve(config: &Config) -> Result<Vec<Arc<ConnectedAccount>>, Failure> {
    thread::scope(|scope| {
        let resolving = thread::Builder::new().name("accounts".to_owned());
        match resolving.spawn_scoped(scope, || resolve_here(config)) {
            Ok(resolving) => resolving
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => resolve_here(config),
        }
    })
}

fn resolve_here(config: &Config) -> Result<Vec<Arc<ConnectedAccount>>, Failure> {
    let mut errors = Vec::new();
    let mut resolved = Vec::with_capacity(config.accounts.len());
    let mut firsts: HashMap<String, Arc<ConnectedAccount>> = HashMap::new();
    for account in &config.accounts {
        let integration = &account.integration.key;
        let first = firsts.get(integration);
        match ConnectedAccount::resolve_like(account, first.map(|first| &**first)) {
            Ok(made) => {
                let made = Arc::new(made);
                if first.is_none() {
                    firsts.insert(integration.clone(), made.clone());
                }
                resolved.push(made);
            }
            Err(why) => errors.push((account.key.clone(), why)),
        }
    }
    if errors.is_empty() {
        Ok(resolved)
    } else {
        Err(Failure::Accounts(errors))
    }
}

pub(super) fn admin_token(admin: &checked::Admin) -> Result<Secret, Failure> {
    if let Some(token) = &admin.token {
        return Ok(token.clone());
    }
    let env = |name: &str| std::env::var(name).ok();
    state_directory(&env)
        .ok_or(TokenError::NoDirectory)
        .and_then(|directory| find_or_make(&directory))
        .map_err(Failure::AdminToken)
}

fn open_store(store: &checked::Store) -> Result<Arc<dyn Store>, Failure> {
    let around = Surroundings {
        env: &|name| std::env::var(name).ok(),
        has_terminal: io::stderr().is_terminal(),
    };
    stored::open(store, &around).map_err(Failure::Store)
}

fn access_log(log: &checked::Log, format: Format) -> Result<Option<AccessLog>, Failure> {
    if !log.access {
        return Ok(None);
    }
    AccessLog::start(format, Box::new(io::stdout()))
        .map(Some)
        .map_err(Failure::system("the access log can't be started"))
}

fn cold_runtime() -> Result<Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(COLD_THREADS.min(cores))
        .thread_name("cold")
        .enable_all()
        .build()
        .map_err(Failure::system("the event loop can't be started"))
}

fn format_of(format: LogFormat) -> Format {
    match format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}
