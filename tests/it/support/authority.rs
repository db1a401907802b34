//! Authorities and TLS servers, made by each test for itself.

use super::sidekey::command;
use super::{RUNTIME, local};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// For servers of these names, and clients of the first.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_until(names, None)
    }

    /// One that expired at the beginning of this year.
    pub fn expired(&self, names: &[&str], year: i32) -> Pair {
        self.issue_until(names, Some(year))
    }

    fn issue_until(&self, names: &[&str], year: Option<i32>) -> Pair {
        let all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(all).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0]);
        if let Some(year) = year {
            params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// The certificate and the key that `sidekey ca init` makes for these hosts.
pub fn for_callers(hosts: &[&str]) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    let mut init = command(&home);
    init.args(["ca", "init", "--out", "."]);
    for host in hosts {
        init.args(["--host", host]);
    }
    let output = init.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    (read("ca.pem"), read("ca-key.pem"))
}

/// TLS in front of another server; it ends with this value.
pub struct TlsFront {
    pub address: SocketAddr,
    accepting: tokio::task::JoinHandle<()>,
}

impl TlsFront {
    /// With `clients`, only those come in who show a certificate of that authority.
    pub fn start(pair: &Pair, clients: Option<&Authority>, to: SocketAddr) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config(pair, clients)));
        let listener = RUNTIME.block_on(TcpListener::bind(local(0))).unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = RUNTIME.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that is not let in, or goes away, is no concern of ours.
                    let Ok(mut tls) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut behind = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut behind).await;
                });
            }
        });
        Self { address, accepting }
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn config(pair: &Pair, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    builder.with_single_cert(chain, key).unwrap()
}
