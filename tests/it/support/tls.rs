//! Certificates that a test makes for itself, and curl with them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use std::path::Path;
use std::process::{Command, Output};

/// Somebody who issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For 127.0.0.1 and localhost.
    pub fn server(&self) -> Issued {
        let address = SanType::IpAddress("127.0.0.1".parse().unwrap());
        let name = SanType::DnsName("localhost".try_into().unwrap());
        self.issue(vec![address, name], "server")
    }

    /// For a caller with this URI.
    pub fn caller(&self, uri: &str) -> Issued {
        self.issue(vec![SanType::URI(uri.try_into().unwrap())], "caller")
    }

    /// With only a common name.
    pub fn called(&self, common: &str) -> Issued {
        self.issue(Vec::new(), common)
    }

    fn issue(&self, names: Vec<SanType>, common: &str) -> Issued {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// curl, with no proxy of the machine's.
pub fn curl(arguments: &[&str]) -> Output {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "--max-time", "60"]);
    curl.args(arguments);
    curl.output().unwrap()
}

/// What curl wrote; panics when it failed.
pub fn curled(arguments: &[&str]) -> String {
    let output = curl(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a file beside a test's other ones; gives its name for an argument.
pub fn put(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
