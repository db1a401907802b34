//! TLS towards an upstream, and the Unix socket that stands for its address.

use super::integrations::IntegrationDraft;
use crate::base::client_tls::{ClientTls, Pem, Setting, TlsMistake};
use crate::config::checked::upstream::Reach;
use crate::config::checked::{Upstream, UpstreamScheme};
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Scalar, read_file};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The longest path that a Unix socket can have, in bytes.
const LONGEST_PATH: usize = 107;

/// How the upstream of a route is reached; its integration says what it does not.
pub(super) fn read(
    route: &Reader<'_, '_>,
    upstream: Option<&Upstream>,
    integration: Option<&IntegrationDraft>,
    own: &[PathBuf],
) -> Reach {
    let written = tls(route);
    let plain = upstream.is_some_and(|upstream| upstream.scheme != UpstreamScheme::Https);
    if plain && route.node("tls").is_some() {
        let what = "`tls` beside an upstream without TLS";
        let mistake = Mistake::error(route.key_place("tls"), what);
        route.ctx.report(mistake.expected("`upstream: https://…`"));
    }
    let default = integration.and_then(|integration| integration.tls.clone());
    Reach {
        tls: written.or(default).filter(|_| !plain),
        proxy: integration.and_then(|integration| integration.proxy.clone()),
        unix_socket: unix_socket(route, own),
        others: Vec::new(),
    }
}

/// The `tls` of a route or an integration.
pub(super) fn tls(reader: &Reader<'_, '_>) -> Option<Arc<ClientTls>> {
    reader.node("tls")?;
    let tls = reader.section("tls")?;
    let read = |name| {
        let scalar = tls.text(name)?;
        let content = read_file(tls.ctx, &scalar)?;
        Some((scalar, content))
    };
    let (ca, certificate, key) = (read("ca"), read("certificate"), read("key"));
    for (one, other) in [("certificate", "key"), ("key", "certificate")] {
        if tls.node(one).is_some() && tls.node(other).is_none() {
            let what = format!("`{one}` without `{other}`");
            let mistake = Mistake::error(tls.key_place(one), what);
            tls.ctx.report(mistake.expected("both, or none"));
        }
    }
    let server_name = tls.text("server_name");
    let made = ClientTls::new(&Pem {
        ca: content(&ca),
        identity: content(&certificate).zip(content(&key)),
        server_name: server_name.as_ref().map(|name| name.text.as_str()),
    });
    let mistakes = match made {
        Ok(made) => return Some(Arc::new(made)),
        Err(mistakes) => mistakes,
    };
    for mistake in mistakes {
        let scalar = match mistake.of {
            Setting::Ca => ca.as_ref().map(|(scalar, _)| scalar),
            Setting::Certificate => certificate.as_ref().map(|(scalar, _)| scalar),
            Setting::Key => key.as_ref().map(|(scalar, _)| scalar),
            Setting::ServerName => server_name.as_ref(),
        };
        if let Some(scalar) = scalar {
            report(&tls, scalar, &mistake);
        }
    }
    None
}

type Read = Option<(Scalar, Zeroizing<Vec<u8>>)>;

fn content(read: &Read) -> Option<&[u8]> {
    read.as_ref().map(|(_, content)| content.as_slice())
}

fn report(tls: &Reader<'_, '_>, scalar: &Scalar, mistake: &TlsMistake) {
    let (what, expected) = match mistake.of {
        Setting::ServerName => (
            format!("{} is {}", scalar.named(), mistake.what),
            "a host name as it stands in the certificate",
        ),
        of => (
            format!(
                "the file {} {}",
                tls.ctx.path(&scalar.text).display(),
                mistake.what
            ),
            match of {
                Setting::Ca => "certificates of authorities, in PEM",
                Setting::Certificate => {
                    "the client's certificate and what leads from it to its authority, in PEM"
                }
                _ => "the private key of `certificate`, in PEM",
            },
        ),
    };
    tls.ctx
        .report(Mistake::error(scalar.place, what).expected(expected));
}

fn unix_socket(route: &Reader<'_, '_>, own: &[PathBuf]) -> Option<Arc<Path>> {
    let scalar = route.text("unix_socket")?;
    let path = route.ctx.path(&scalar.text);
    let length = path.as_os_str().len();
    if scalar.text.is_empty() || length > LONGEST_PATH || scalar.text.contains('\0') {
        let what = format!("{} can't be a Unix socket's path", scalar.named());
        let expected = format!("a path of up to {LONGEST_PATH} bytes");
        route
            .ctx
            .report(Mistake::error(scalar.place, what).expected(expected));
        return None;
    }
    if let Some(ours) = own.iter().find(|ours| is_same_file(&path, ours)) {
        let what = format!("this is sidekey's own listener unix:{}", ours.display());
        let mistake = Mistake::error(scalar.place, what);
        route
            .ctx
            .report(mistake.expected("another server's socket"));
        return None;
    }
    Some(path.into())
}

/// Whether two paths lead to one file: now, or once it has been made.
fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => to_be(one) == to_be(other),
    }
}

/// Where a file will be that need not be there yet, links followed.
fn to_be(path: &Path) -> PathBuf {
    let target =
        fs::read_link(path).map(|link| path.parent().map_or(link.clone(), |p| p.join(link)));
    let path = target.as_deref().unwrap_or(path);
    let parent = path
        .parent()
        .and_then(|folder| fs::canonicalize(folder).ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}
