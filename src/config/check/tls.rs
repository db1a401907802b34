//! A listener's certificate, its key, and whose certificates callers show. All
//! of it is read here, so that what can't work is a mistake with a place.

use crate::base::crypto::sha256_of_parts;
use crate::config::checked::listening::{Clients, Tls};
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar, read_file};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

/// A file that a key names.
pub(super) struct Named {
    path: PathBuf,
    from: Scalar,
    bytes: Zeroizing<Vec<u8>>,
}

impl Named {
    pub(super) fn mistake(&self, ctx: &Context<'_>, what: &str, expected: &str) {
        let what = format!("{}: {what}", self.path.display());
        ctx.report(Mistake::error(self.from.place, what).expected(expected));
    }

    pub(super) fn warning(&self, ctx: &Context<'_>, what: &str) {
        let what = format!("{}: {what}", self.path.display());
        ctx.report(Mistake::warning(self.from.place, what));
    }
}

/// What is written under `tls`; `None` where there is a mistake in it.
pub(super) fn read(listener: &Reader<'_, '_>) -> Option<Tls> {
    let reader = listener.section("tls")?;
    let ctx = reader.ctx;
    let certificate = file(&reader, "certificate");
    let key = file(&reader, "key");
    let authority = file(&reader, "client_ca");
    let required = reader.choice("client_certificate") != "optional";
    // All of them before the first `?`: a mistake in one must not hide another's.
    let roots = authority.as_ref().map(|file| roots(ctx, file));
    let chain = certificate.as_ref().and_then(|file| chain(ctx, file));
    let private = key.as_ref().and_then(|file| private(ctx, file));
    if reader.node("client_certificate").is_some() && reader.node("client_ca").is_none() {
        let what = "`client_certificate` says nothing without `client_ca`";
        let mistake = Mistake::error(reader.key_place("client_certificate"), what);
        ctx.report(mistake.expected("`client_ca`: the file of those who issue them"));
    }
    let (certificate, key) = (certificate?, key?);
    let (chain, private) = (chain?, private?);
    let clients = match reader.node("client_ca") {
        None => None,
        Some(_) => Some(Clients {
            roots: roots??,
            required,
            digest: digest(&[authority.as_ref()], required),
        }),
    };
    let own = match CertifiedKey::from_der(chain, private, &default_provider()) {
        Ok(own) => Arc::new(own),
        Err(why) => {
            key.mistake(
                ctx,
                &format!("this key does not go with the certificate: {why}"),
                "the private key of the first certificate in `certificate`",
            );
            return None;
        }
    };
    warn_of_expiry(ctx, &certificate, &own);
    Some(Tls {
        own,
        clients,
        digest: digest(
            &[Some(&certificate), Some(&key), authority.as_ref()],
            required,
        ),
    })
}

/// Another one for other contents.
fn digest(files: &[Option<&Named>], required: bool) -> [u8; 32] {
    let files = files
        .iter()
        .map(|file| file.map(|file| file.bytes.as_slice()));
    sha256_of_parts(files.chain([Some(&[u8::from(required)][..])]))
}

/// The file that a key names; it is watched from now on.
pub(super) fn file(reader: &Reader<'_, '_>, name: &str) -> Option<Named> {
    let from = reader.text(name)?;
    let path = reader.ctx.path(&from.text);
    let bytes = read_file(reader.ctx, &from)?;
    if name == "key" {
        warn_if_readable(reader.ctx, &path, &from);
    }
    Some(Named { path, from, bytes })
}

fn warn_if_readable(ctx: &Context<'_>, path: &std::path::Path, from: &Scalar) {
    let mode = std::fs::metadata(path).map(|seen| seen.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        let what = format!(
            "others than its owner may use the key file {}; `chmod 600` keeps it",
            path.display()
        );
        ctx.report(Mistake::warning(from.place, what));
    }
}

pub(super) fn chain(ctx: &Context<'_>, file: &Named) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file.bytes).collect();
    match read {
        Ok(chain) if !chain.is_empty() => return Some(chain),
        Ok(_) => file.mistake(ctx, "there is no certificate in it", CERTIFICATES),
        Err(why) => file.mistake(ctx, &format!("it is no PEM: {why}"), CERTIFICATES),
    }
    None
}

const CERTIFICATES: &str = "PEM with `-----BEGIN CERTIFICATE-----`, the key's own first";
const KEY: &str = "PEM with an unencrypted private key, such as `-----BEGIN PRIVATE KEY-----`";
const AUTHORITIES: &str = "PEM with the certificates of those who issue callers' certificates";

pub(super) fn private(ctx: &Context<'_>, file: &Named) -> Option<PrivateKeyDer<'static>> {
    if memchr::memmem::find(&file.bytes, b"-----BEGIN ENCRYPTED PRIVATE KEY-----").is_some() {
        file.mistake(ctx, "the key is encrypted", KEY);
        return None;
    }
    // What is wrong in it is not said: it could be part of a key.
    let key = PrivateKeyDer::from_pem_slice(&file.bytes).ok();
    if key.is_none() {
        file.mistake(ctx, "there is no private key in it", KEY);
    }
    key
}

fn roots(ctx: &Context<'_>, file: &Named) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&file.bytes) {
        let added = certificate.map_err(|why| why.to_string());
        let added = added.and_then(|one| roots.add(one).map_err(|why| why.to_string()));
        if let Err(why) = added {
            file.mistake(ctx, &why, AUTHORITIES);
            return None;
        }
    }
    let roots = Arc::new(roots);
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider).build();
    if let Err(why) = verifier {
        file.mistake(ctx, &why.to_string(), AUTHORITIES);
        return None;
    }
    Some(roots)
}

fn warn_of_expiry(ctx: &Context<'_>, file: &Named, own: &CertifiedKey) {
    let first = own.cert.first();
    let parsed = first.and_then(|der| X509Certificate::from_der(der).ok());
    let Some((_, certificate)) = parsed else {
        return;
    };
    let validity = certificate.validity();
    if !validity.is_valid() {
        let what = format!(
            "{}: the certificate is valid from {} to {}, and callers will refuse it now",
            file.path.display(),
            validity.not_before,
            validity.not_after
        );
        ctx.report(Mistake::warning(file.from.place, what));
    }
}
