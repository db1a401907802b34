//! The parts that stand for themselves: listeners, store, log, limits.

use super::accounts::Accounts;
use super::edits;
use crate::base::key::{self, Key};
use crate::base::secret::Secret;
use crate::config::checked::listening::{Address, Listener};
use crate::config::checked::{
    Admin, Drain, Io, Limits, Log, LogFormat, RefreshSettings, Store, StoreKey, Workers,
};
use crate::config::keys::table::STORE_KEY;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Origin, Scalar, is_source, resolve};
use crate::config::values;
use crate::config::written::{Node, Place};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::Url;

/// As the table of keys has it.
const MOST_CONNECTIONS: u64 = 1_000_000;

/// A value and the place that decided it.
pub(super) struct Placed<T> {
    pub value: T,
    pub place: Place,
}

/// The address under a key, or its default.
fn address_of(reader: &Reader<'_, '_>, name: &str) -> Option<Placed<SocketAddr>> {
    let scalar = match reader.node(name) {
        Some(_) => reader.text(name)?,
        None => reader.default_scalar(name)?,
    };
    let Some(value) = values::address(&scalar.text) else {
        let what = format!("`{name}` can't be {}", scalar.named());
        let mistake = Mistake::error(scalar.place, what);
        reader.ctx.report(mistake.expected(values::ADDRESS));
        return None;
    };
    let place = scalar.place;
    Some(Placed { value, place })
}

pub(super) fn admin(reader: &Reader<'_, '_>) -> Option<Placed<Admin>> {
    let admin = reader.section("admin")?;
    let listen = address_of(&admin, "listen");
    let public_url = match admin.text("public_url") {
        Some(scalar) => public_url(reader.ctx, &scalar),
        None => listen.as_ref().map(|l| default_public_url(l.value)),
    };
    let token = match admin.text("token") {
        Some(scalar) => Some(admin_token(reader.ctx, scalar)?),
        None => None,
    };
    let listen = listen?;
    Some(Placed {
        value: Admin {
            listen: listen.value,
            public_url: public_url?,
            token,
        },
        place: listen.place,
    })
}

fn default_public_url(mut listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{listen}")
}

fn public_url(ctx: &Context<'_>, scalar: &Scalar) -> Option<String> {
    let parsed = Url::parse(&scalar.text).ok().filter(|url| {
        let bare = url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && bare && nobody
    });
    match parsed {
        Some(url) => Some(url.as_str().trim_end_matches('/').to_owned()),
        None => {
            let what = format!("`public_url` can't be {}", scalar.named());
            let expected = "an `http` or `https` URL without user, query and fragment";
            ctx.report(Mistake::error(scalar.place, what).expected(expected));
            None
        }
    }
}

fn admin_token(ctx: &Context<'_>, scalar: Scalar) -> Option<Secret> {
    if !scalar.text.is_empty() && scalar.text.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(Secret::new(scalar.text));
    }
    let mistake = Mistake::error(scalar.place, "this value can't be a token");
    ctx.report(mistake.expected("visible ASCII characters, without spaces"));
    None
}

pub(super) fn probes(reader: &Reader<'_, '_>) -> Option<Placed<SocketAddr>> {
    reader.node("probes")?;
    let probes = reader.section("probes")?;
    probes.node("listen")?;
    address_of(&probes, "listen")
}

/// All our listeners; two on one address are a mistake.
pub(super) fn own_addresses(
    ctx: &Context<'_>,
    listeners: &[Placed<Listener>],
    admin: Option<&Placed<Admin>>,
    probes: Option<&Placed<SocketAddr>>,
) -> Vec<SocketAddr> {
    let proxy = listeners.iter().map(|l| (l.value.address.clone(), l.place));
    let admin = admin
        .iter()
        .map(|a| (Address::Tcp(a.value.listen), a.place));
    let probes = probes.iter().map(|p| (Address::Tcp(p.value), p.place));
    let mut seen: Vec<Address> = Vec::new();
    for (address, place) in proxy.chain(admin).chain(probes) {
        if seen.iter().any(|other| is_same(other, &address)) {
            let what = format!("{address} is listened on twice");
            ctx.report(Mistake::error(place, what).expected("an address of its own"));
        }
        seen.push(address);
    }
    let tcp = seen.into_iter().filter_map(|address| match address {
        Address::Tcp(address) => Some(address),
        _ => None,
    });
    tcp.collect()
}

fn is_same(one: &Address, other: &Address) -> bool {
    match (one, other) {
        // Port 0 is a new port for each.
        (Address::Tcp(address), _) if address.port() == 0 => false,
        // systemd may hand over several of one name.
        (Address::Systemd(_), _) => false,
        (Address::Unix { path, .. }, Address::Unix { path: other, .. }) => path == other,
        _ => one == other,
    }
}

pub(super) fn store(reader: &Reader<'_, '_>) -> Option<Store> {
    let store = reader.section("store")?;
    let path = store.text("path");
    let key = store_keys(&store);
    if !store.boolean("memory") {
        let path = path.map(|p| reader.ctx.path(&p.text));
        return Some(Store::File { path, key: key? });
    }
    for other in ["path", "key"] {
        if store.node(other).is_some() {
            let what = format!("`{other}` has no meaning beside `memory: true`");
            let mistake = Mistake::error(store.key_place(other), what);
            reader.ctx.report(mistake.expected("one of the two"));
        }
    }
    Some(Store::Memory)
}

fn store_keys(store: &Reader<'_, '_>) -> Option<StoreKey> {
    match store.node("key") {
        None => Some(StoreKey::Own { generate: false }),
        Some(node @ Node::Map(place, _)) if !is_source(node) => {
            let key = Reader::open(store.ctx, &STORE_KEY, node, *place)?;
            let generate = key.boolean("generate");
            Some(StoreKey::Own { generate })
        }
        Some(Node::Sequence(place, items)) => {
            if items.is_empty() {
                let mistake = Mistake::error(*place, "`key` is an empty list");
                store.ctx.report(mistake.expected("at least one key"));
            }
            // All of them before the first that is none: each is told of.
            let keys: Vec<_> = items.iter().map(|i| store_key(store.ctx, i)).collect();
            let mut keys = keys.into_iter();
            let first = keys.next()??;
            let others = keys.collect::<Option<_>>()?;
            Some(StoreKey::Given { first, others })
        }
        Some(node) => Some(StoreKey::Given {
            first: store_key(store.ctx, node)?,
            others: Vec::new(),
        }),
    }
}

fn store_key(ctx: &Context<'_>, node: &Node) -> Option<Key> {
    let scalar = resolve(ctx, node, true)?;
    let key = Key::parse(&scalar.text);
    if key.is_none() {
        let what = match &scalar.origin {
            Origin::Written { .. } => "this value is no key".to_owned(),
            Origin::Env(name) => format!("the environment variable {name} holds no key"),
            Origin::File(path) => format!("{} holds no key", path.display()),
        };
        ctx.report(Mistake::error(scalar.place, what).expected(key::EXPECTED));
    }
    key
}

pub(super) fn log(reader: &Reader<'_, '_>) -> Option<Log> {
    let log = reader.section("log")?;
    Some(Log {
        level: log.choice("level").to_owned(),
        format: match log.choice("format") {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        },
        access: log.boolean("access"),
    })
}

pub(super) fn workers(reader: &Reader<'_, '_>) -> Option<Workers> {
    let workers = reader.section("workers")?;
    let io = match workers.choice("io") {
        "epoll" => Io::Epoll,
        "io_uring" => Io::Ring,
        _ => Io::Auto,
    };
    let spin = match workers.choice("spin") {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(scalar) = workers.text("count").filter(|s| s.text != "auto") else {
        return Some(Workers {
            count: cores,
            io,
            spin,
        });
    };
    let count = values::number(&scalar.text).filter(|n| (1..=1024).contains(n));
    if count.is_none() {
        let what = format!("`count` can't be {}", scalar.named());
        let expected = "`auto`, or a number from 1 to 1024";
        reader
            .ctx
            .report(Mistake::error(scalar.place, what).expected(expected));
    }
    let count = usize::try_from(count?).ok()?;
    Some(Workers { count, io, spin })
}

pub(super) fn limits(reader: &Reader<'_, '_>) -> Option<Limits> {
    let limits = reader.section("limits")?;
    Some(Limits {
        replay_buffer_total: limits.size("replay_buffer_total"),
        connections: limits.number("connections"),
        connections_per_caller: number_or_none(&limits, "connections_per_caller"),
        requests: limits.number("requests"),
        header_bytes: limits.size("header_bytes"),
        header_count: limits.number("header_count"),
        uri_bytes: limits.size("uri_bytes"),
        max_body: edits::max_body(&limits).unwrap_or(edits::NO_LIMIT),
        header_timeout: limits.duration("header_timeout"),
        idle_timeout: limits.duration("idle_timeout"),
        http2_streams: limits.number("http2_streams"),
        pool_connections_per_origin: number_or_none(&limits, "pool_connections_per_origin"),
        pool_queue: limits.number("pool_queue"),
        pool_idle_per_origin: limits.number("pool_idle_per_origin"),
        pool_idle_timeout: limits.duration("pool_idle_timeout"),
        max_connection_age: limits.duration("max_connection_age"),
        http2_ping_after: limits.duration("http2_ping_after"),
    })
}

/// `None` for `none`, and where it is not written.
fn number_or_none(reader: &Reader<'_, '_>, name: &str) -> Option<usize> {
    let written = reader.text(name)?;
    if written.text == "none" {
        return None;
    }
    let number = values::number(&written.text).filter(|n| (1..=MOST_CONNECTIONS).contains(n));
    if number.is_none() {
        let what = format!("`{name}` can't be {}", written.named());
        let expected = format!("`none`, or a number from 1 to {MOST_CONNECTIONS}");
        let mistake = Mistake::error(written.place, what);
        reader.ctx.report(mistake.expected(expected));
    }
    number.and_then(|number| usize::try_from(number).ok())
}

pub(super) fn refresh(reader: &Reader<'_, '_>) -> Option<RefreshSettings> {
    let refresh = reader.section("refresh")?;
    Some(RefreshSettings {
        concurrency: refresh.number("concurrency"),
        token_wait: refresh.duration("token_wait"),
        token_waiters: refresh.number("token_waiters"),
        timeout: refresh.duration("timeout"),
    })
}

pub(super) fn drain(reader: &Reader<'_, '_>) -> Option<Drain> {
    let drain = reader.section("drain")?;
    Some(Drain {
        delay: drain.duration("delay"),
        timeout: drain.duration("timeout"),
    })
}

pub(super) fn readiness(
    reader: &Reader<'_, '_>,
    accounts: &Accounts,
) -> Option<Vec<crate::base::id::AccountKey>> {
    let required = reader.section("readiness")?.texts("require");
    let found = required.iter().filter_map(|scalar| {
        let draft = accounts.find(reader.ctx, scalar)?;
        draft.built.as_ref().map(|account| account.key.clone())
    });
    Some(found.collect())
}
