//! What a client goes by in TLS: whom it believes, what it shows of itself,
//! and the name that it expects.

use super::crypto::sha256_of_parts;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// Settings of a client; two are equal when all that they hold is.
pub struct ClientTls {
    /// Instead of the system's authorities.
    pub roots: Option<Arc<RootCertStore>>,
    /// What the client shows when it is asked for a certificate.
    pub identity: Option<Arc<CertifiedKey>>,
    /// Instead of the upstream's host: asked for (SNI), and expected in the certificate.
    pub server_name: Option<ServerName<'static>>,
    digest: [u8; 32],
    /// What they come to, made when it is first needed.
    made: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// The settings as they are read: PEM files.
#[derive(Default)]
pub struct Pem<'a> {
    pub ca: Option<&'a [u8]>,
    /// A chain, the client's own certificate first, and its key.
    pub identity: Option<(&'a [u8], &'a [u8])>,
    pub server_name: Option<&'a str>,
}

/// What is wrong with the settings, and in which of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsMistake {
    pub of: Setting,
    /// In words for people.
    pub what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Ca,
    Certificate,
    Key,
    ServerName,
}

impl ClientTls {
    /// Takes the settings.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn new(pem: &Pem<'_>) -> Result<Self, Vec<TlsMistake>> {
        let mut mistakes = Vec::new();
        let mut note = |of, what| mistakes.push(TlsMistake { of, what });
        let roots = pem.ca.and_then(|ca| {
            let read = certificates(ca).and_then(|list| authorities(&list));
            read.map_err(|what| note(Setting::Ca, what)).ok()
        });
        let identity = pem.identity.and_then(|(chain, key)| {
            let chain = certificates(chain).map_err(|what| note(Setting::Certificate, what));
            let key = private_key(key).map_err(|what| note(Setting::Key, what));
            let made = certified(chain.ok()?, key.ok()?);
            made.map_err(|(of, what)| note(of, what)).ok()
        });
        let server_name = pem.server_name.and_then(|name| {
            let read = ServerName::try_from(name.to_owned());
            let what = "no DNS name or IP address".to_owned();
            read.map_err(|_| note(Setting::ServerName, what)).ok()
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Self {
            roots: roots.map(Arc::new),
            identity: identity.map(Arc::new),
            server_name,
            digest: pem.digest(),
            made: OnceLock::new(),
        })
    }

    /// What they come to; `make` is called once.
    ///
    /// # Errors
    /// What `make` said.
    pub fn config(
        &self,
        make: impl FnOnce() -> Result<ClientConfig, String>,
    ) -> Result<Arc<ClientConfig>, String> {
        self.made.get_or_init(|| make().map(Arc::new)).clone()
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for ClientTls {}

impl Hash for ClientTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// Shows no certificate and no key.
impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("own_roots", &self.roots.is_some())
            .field("identity", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl Pem<'_> {
    /// Of everything.
    fn digest(&self) -> [u8; 32] {
        let (chain, key) = self.identity.unzip();
        let name = self.server_name.map(str::as_bytes);
        sha256_of_parts([self.ca, chain, key, name])
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(list) if list.is_empty() => Err("holds no certificate in PEM".to_owned()),
        Ok(list) => Ok(list),
        Err(_) => Err("is not well-formed PEM".to_owned()),
    }
}

fn authorities(list: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in list.iter().enumerate() {
        let added = roots.add(certificate.clone());
        added.map_err(|_| format!("its certificate {} can't be read", at + 1))?;
    }
    Ok(roots)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    if memchr::memmem::find(pem, encrypted).is_some() {
        return Err("is encrypted; it must be readable without a password".to_owned());
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| "holds no private key in PEM".to_owned())
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, (Setting, String)> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| (Setting::Key, "holds a key of no known kind".to_owned()))?;
    let made = CertifiedKey::new(chain, key);
    match made.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(made)
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err((
            Setting::Key,
            "is not the key of the certificate's own public key".to_owned(),
        )),
        Err(_) => Err((
            Setting::Certificate,
            "holds a certificate that can't be read".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientTls, Pem, Setting};
    use rcgen::{CertificateParams, KeyPair};

    fn pair(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn settings(ca: &str, chain: &str, key: &str) -> Result<ClientTls, Vec<Setting>> {
        let made = ClientTls::new(&Pem {
            ca: Some(ca.as_bytes()),
            identity: Some((chain.as_bytes(), key.as_bytes())),
            server_name: None,
        });
        made.map_err(|mistakes| mistakes.into_iter().map(|m| m.of).collect())
    }

    #[test]
    fn settings_are_equal_by_what_they_hold() {
        let ((a, a_key), (b, b_key)) = (pair("a"), pair("b"));
        let one = settings(&a, &a, &a_key).unwrap();
        assert_eq!(one, settings(&a, &a, &a_key).unwrap());
        assert_ne!(one, settings(&b, &a, &a_key).unwrap());
        assert_ne!(one, settings(&a, &b, &b_key).unwrap());
        let named = |server_name| {
            ClientTls::new(&Pem {
                server_name,
                ..Pem::default()
            })
            .unwrap()
        };
        assert_ne!(named(Some("a")), named(Some("b")));
        assert_ne!(named(Some("a")), named(None));
    }

    #[test]
    fn each_mistake_is_of_its_setting() {
        let ((a, a_key), (_, b_key)) = (pair("a"), pair("b"));
        assert_eq!(settings("", &a, &a_key).unwrap_err(), [Setting::Ca]);
        assert_eq!(settings(&a, &a, &b_key).unwrap_err(), [Setting::Key]);
        assert_eq!(settings(&a, &a, &a).unwrap_err(), [Setting::Key]);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let all = settings(broken, broken, &a_key).unwrap_err();
        assert_eq!(all, [Setting::Ca, Setting::Certificate]);
        let name = ClientTls::new(&Pem {
            server_name: Some("a b"),
            ..Pem::default()
        });
        assert_eq!(name.unwrap_err()[0].of, Setting::ServerName);
    }

    #[test]
    fn debug_shows_nothing_of_a_key() {
        let (a, key) = pair("a");
        let shown = format!("{:?}", settings(&a, &a, &key).unwrap());
        assert!(
            shown.contains("identity: true") && shown.len() < 200,
            "{shown}"
        );
    }
}
