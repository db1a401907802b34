//! Listeners for applications.

use super::callers::{self, Proofs};
use super::settings::Placed;
use super::tls;
use super::{connect, served};
use crate::base::caller_keys::CallerKey;
use crate::base::hosts::host_name;
use crate::config::checked::listening::{Address, Listener};
use crate::config::keys::table::listener::LISTENER;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar, is_source};
use crate::config::values;
use crate::config::written::Node;
use std::path::PathBuf;

/// Bytes of a Unix socket's path that every system takes (`sun_path` of the
/// BSDs and macOS is 104 long, Linux' is 108; the last is NUL).
const LONGEST_PATH: usize = 103;

/// The files of those at Unix sockets.
pub(super) fn sockets(listeners: &[Placed<Listener>]) -> Vec<PathBuf> {
    let paths = listeners
        .iter()
        .filter_map(|listener| match &listener.value.address {
            Address::Unix { path, .. } => Some(path.clone()),
            _ => None,
        });
    paths.collect()
}

/// What callers can prove at any of them.
pub(super) fn proofs(listeners: &[Placed<Listener>]) -> Proofs {
    let listeners = listeners.iter();
    listeners.fold(Proofs::default(), |all, listener| {
        all.or(Proofs::at(&listener.value))
    })
}

/// All of them, and the routes that they name; what they are warned about is reported.
pub(super) fn read(
    reader: &Reader<'_, '_>,
    keys: Option<&[CallerKey]>,
) -> (Vec<Placed<Listener>>, Vec<Scalar>) {
    let mut asked = Vec::new();
    let place = reader.key_place("listen");
    let listeners = match reader.node("listen") {
        Some(Node::Sequence(place, items)) => {
            if items.is_empty() {
                let mistake = Mistake::error(*place, "`listen` has no listener");
                reader.ctx.report(mistake.expected("at least one"));
            }
            let listeners = items.iter();
            listeners
                .filter_map(|i| long(reader.ctx, i, keys, &mut asked))
                .collect()
        }
        Some(node @ Node::Map(..)) if !is_source(node) => {
            let what = "`listen` is one listener without its list";
            let expected = "an address, or a list: `- address: …`";
            reader
                .ctx
                .report(Mistake::error(place, what).expected(expected));
            Vec::new()
        }
        _ => Vec::from_iter(short(reader)),
    };
    for listener in &listeners {
        warn_off_loopback(reader.ctx, listener);
    }
    (listeners, asked)
}

/// `listen: ADDRESS`
fn short(reader: &Reader<'_, '_>) -> Option<Placed<Listener>> {
    let address = address_of(reader, "listen")?;
    let value = Listener {
        address: address.value,
        hosts: Vec::new(),
        tls: None,
        callers: None,
        connect: None,
        routes: None,
    };
    let place = address.place;
    Some(Placed { value, place })
}

fn long(
    ctx: &Context<'_>,
    node: &Node,
    keys: Option<&[CallerKey]>,
    asked: &mut Vec<Scalar>,
) -> Option<Placed<Listener>> {
    let reader = Reader::open(ctx, &LISTENER, node, node.place())?;
    let mut hosts = Vec::new();
    for host in reader.texts("hosts") {
        match host_name(&host.text) {
            Some(name) => hosts.push(name),
            None => ctx.report(
                Mistake::error(host.place, format!("{} is no host name", host.named()))
                    .expected("a name such as `api.internal`, without a port"),
            ),
        }
    }
    // All of them before the first `?`: a mistake in one must not hide another's.
    let tls = reader.node("tls").map(|_| tls::read(&reader));
    let connect = connect::read(&reader);
    let routes = served::read(&reader, asked);
    let mode = mode(&reader);
    let mut address = address_of(&reader, "address")?;
    let written = reader.node("mode").is_some();
    match &mut address.value {
        Address::Unix { mode: own, .. } => *own = mode.unwrap_or(*own),
        _ if written => {
            let what = "`mode` is of a Unix socket's file, and this listener has none";
            let mistake = Mistake::error(reader.key_place("mode"), what);
            ctx.report(mistake.expected("no `mode`, or an `address: unix:/path`"));
        }
        _ => {}
    }
    let mut value = Listener {
        address: address.value,
        hosts,
        // Written, and not to be had: the mistake is reported.
        tls: tls.map_or(Some(None), |tls| tls.map(Some))?,
        callers: None,
        connect,
        routes,
    };
    value.callers = callers::of_listener(&reader, keys, Proofs::at(&value));
    let place = address.place;
    Some(Placed { value, place })
}

fn address_of(reader: &Reader<'_, '_>, name: &str) -> Option<Placed<Address>> {
    let scalar = match reader.node(name) {
        Some(_) => reader.text(name)?,
        None => reader.default_scalar(name)?,
    };
    let refuse = |what: String, expected: &str| {
        let mistake = Mistake::error(scalar.place, what);
        reader.ctx.report(mistake.expected(expected));
    };
    let Some(mut value) = Address::parse(&scalar.text) else {
        let what = format!("`{name}` can't be {}", scalar.named());
        refuse(what, values::LISTENING);
        return None;
    };
    if let Address::Unix { path, .. } = &mut value {
        *path = reader.ctx.path(&path.to_string_lossy());
        if path.as_os_str().len() > LONGEST_PATH {
            let what = format!("the path {} is too long for a socket", path.display());
            refuse(what, &format!("at most {LONGEST_PATH} bytes"));
        }
    }
    let place = scalar.place;
    Some(Placed { value, place })
}

/// `0660`, `"660"`: octal, as chmod(1) takes it.
fn mode(reader: &Reader<'_, '_>) -> Option<u32> {
    let scalar = reader.text("mode")?;
    let digits = scalar.text.strip_prefix("0o").unwrap_or(&scalar.text);
    let octal = !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = u32::from_str_radix(digits, 8).ok();
    let mode = mode.filter(|mode| octal && *mode <= 0o777);
    if mode.is_none() {
        let what = format!("`mode` can't be {}", scalar.named());
        let mistake = Mistake::error(scalar.place, what);
        reader.ctx.report(mistake.expected(values::MODE));
    }
    mode
}

fn warn_off_loopback(ctx: &Context<'_>, listener: &Placed<Listener>) {
    if listener.value.is_exposed() {
        let what = listener.value.exposure(&listener.value.address);
        ctx.report(Mistake::warning(listener.place, what));
    }
}
