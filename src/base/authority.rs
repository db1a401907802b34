//! A local certificate authority: what it may vouch for, and the certificates
//! that it signs for hosts whose connections are intercepted (RFC 5280).

use super::crypto::sha256_of_parts;
use super::secret::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_RSA_SHA256,
    PKCS_RSA_SHA384, PKCS_RSA_SHA512, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
    SigningKey,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroize;

mod constraints;

use constraints::Constraints;

/// How long a certificate for an intercepted host is valid.
pub const LEAF_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Clocks that are slow by less do no harm.
const SKEW: Duration = Duration::from_secs(3600);
/// The subject of every certificate for a host: no host name, so that nobody
/// takes it for one.
const LEAF_SUBJECT: &str = "intercepted by sidekey";
/// Where no host is an address, or none a name: those of that kind that are
/// permitted. RFC 6761, 6.4: nobody has such a name.
const NO_NAME: &str = "invalid";

/// An authority that can sign; equal to another of the same files.
pub struct Authority {
    issuer: Issuer<'static, Key>,
    /// What goes with each certificate: those between it and the root.
    between: Vec<CertificateDer<'static>>,
    constraints: Constraints,
    from: SystemTime,
    until: SystemTime,
    digest: [u8; 32],
}

/// What is wrong with an authority's files, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorityMistake {
    Certificate(String),
    Key(String),
}

/// A new authority, as PEM.
pub struct Made {
    pub certificate: String,
    pub key: Secret,
    pub until: SystemTime,
}

impl Authority {
    /// Of a certificate, with those between it and the root behind it, and its key.
    ///
    /// # Errors
    /// When the certificate is none of an authority, or the key not its own.
    pub fn new(
        chain: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'_>,
    ) -> Result<Self, AuthorityMistake> {
        let of_certificate = |what: &str| AuthorityMistake::Certificate(what.to_owned());
        let unreadable = || of_certificate("the certificate can't be read");
        let own = chain.first().ok_or_else(unreadable)?;
        let (_, parsed) = X509Certificate::from_der(own).map_err(|_| unreadable())?;
        if !may_sign(&parsed) {
            return Err(of_certificate(
                "it is no authority's certificate: it may not sign others",
            ));
        }
        let constraints = Constraints::of(&parsed).ok_or_else(unreadable)?;
        let key = KeyPair::try_from(key).map(Key).map_err(|_| {
            AuthorityMistake::Key("it holds a key of no kind that is known".to_owned())
        })?;
        if key.subject_public_key_info() != parsed.public_key().raw {
            let what = "this key does not go with the authority's certificate";
            return Err(AuthorityMistake::Key(what.to_owned()));
        }
        let parts = chain.iter().map(|one| Some(one.as_ref()));
        let digest = sha256_of_parts(parts.chain([Some(key.0.serialized_der())]));
        let issuer = Issuer::from_ca_cert_der(own, key).map_err(|_| unreadable())?;
        let authority = Self {
            issuer,
            between: chain.iter().filter(|one| !is_root(one)).cloned().collect(),
            constraints,
            from: at(parsed.validity().not_before.timestamp()),
            until: at(parsed.validity().not_after.timestamp()),
            digest,
        };
        match authority.signs_as(parsed.subject().as_raw()) {
            true => Ok(authority),
            false => Err(of_certificate(
                "its subject has parts that can't be written into what it signs, such as one \
                 kind of name twice",
            )),
        }
    }

    /// Whether its name is written into a certificate as it stands in its own: else
    /// nobody would find out who has signed.
    fn signs_as(&self, subject: &[u8]) -> bool {
        let key = Key::generate().ok();
        let any = key.and_then(|key| self.issue("localhost", &key, self.from).ok());
        let issued = any.and_then(|any| any.cert.first().cloned());
        issued.is_some_and(|issued| {
            X509Certificate::from_der(&issued)
                .is_ok_and(|(_, issued)| issued.issuer().as_raw() == subject)
        })
    }

    /// Whether those who trust it believe it for this host: a name or an address,
    /// without a port.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        match address(host) {
            Some(ip) => self.constraints.permit_address(ip),
            None => self.constraints.permit_name(host),
        }
    }

    /// False for one that is believed for every host.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.constraints.limit_both()
    }

    /// Whether its certificate is valid at this time.
    #[must_use]
    pub fn is_valid(&self, now: SystemTime) -> bool {
        (self.from..self.until).contains(&now)
    }

    /// When its certificate ends.
    #[must_use]
    pub fn until(&self) -> SystemTime {
        self.until
    }

    /// Whether making a signature costs it much more than a new key would: by RSA.
    #[must_use]
    pub fn signs_slowly(&self) -> bool {
        let key = self.issuer.key();
        [&PKCS_RSA_SHA256, &PKCS_RSA_SHA384, &PKCS_RSA_SHA512].contains(&key.algorithm())
    }

    /// A certificate for this host and key: valid for [`LEAF_LIFE`], but no longer
    /// than the authority's.
    ///
    /// # Errors
    /// In words, when the authority is not valid now, or the host no name.
    pub fn issue(&self, host: &str, key: &Key, now: SystemTime) -> Result<CertifiedKey, String> {
        if !self.is_valid(now) {
            return Err("its certificate is not valid now".to_owned());
        }
        let words = |why: rcgen::Error| why.to_string();
        let mut params = params(LEAF_SUBJECT);
        params.not_before = self.from.max(now - SKEW).into();
        params.not_after = self.until.min(now + LEAF_LIFE).into();
        params.subject_alt_names = vec![match address(host) {
            Some(ip) => SanType::IpAddress(ip),
            None => SanType::DnsName(host.try_into().map_err(words)?),
        }];
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let leaf = params.signed_by(key, &self.issuer).map_err(words)?;
        let mut chain = vec![leaf.into()];
        chain.extend(self.between.iter().cloned());
        let key = PrivatePkcs8KeyDer::from(key.0.serialize_der());
        CertifiedKey::from_der(chain, key.into(), &default_provider())
            .map_err(|why| why.to_string())
    }
}

/// Makes an authority that is believed for these hosts and no others: names,
/// `*.name` for all names under one, and addresses. By RFC 5280, 4.2.1.10 a name
/// stands for those under it, too.
///
/// # Errors
/// In words, when no certificate can be made for such hosts.
pub fn make(hosts: &[String], now: SystemTime, life: Duration) -> Result<Made, String> {
    let words = |why: rcgen::Error| why.to_string();
    let serial = serial()?;
    // Several of them may be trusted by one program, which tells them apart by this.
    let name = format!("sidekey local authority {}", hex(&serial[1..5]));
    let mut params = params(&name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = (now - SKEW).into();
    params.not_after = (now + life).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints = Some(limits(hosts));
    let key = Key::generate()?;
    let certificate = params.self_signed(&key).map_err(words)?;
    Ok(Made {
        certificate: certificate.pem(),
        key: Secret::new(key.0.serialize_pem()),
        until: now + life,
    })
}

/// Only what a server's certificate needs.
fn params(subject: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// A kind of which nothing is said would not be limited at all.
fn limits(hosts: &[String]) -> NameConstraints {
    let (addresses, names): (Vec<_>, Vec<_>) = hosts.iter().partition(|h| address(h).is_some());
    let names = names
        .iter()
        .map(|name| name.strip_prefix("*.").unwrap_or(name));
    let mut permitted: Vec<_> = names
        .map(|n| GeneralSubtree::DnsName(n.to_owned()))
        .collect();
    if permitted.is_empty() {
        permitted.push(GeneralSubtree::DnsName(NO_NAME.to_owned()));
    }
    let addresses: Vec<_> = addresses.iter().filter_map(|host| address(host)).collect();
    let whole = |ip: IpAddr| CidrSubnet::from_addr_prefix(ip, if ip.is_ipv4() { 32 } else { 128 });
    permitted.extend(
        addresses
            .iter()
            .map(|ip| GeneralSubtree::IpAddress(whole(*ip))),
    );
    let excluded = [
        (
            IpAddr::is_ipv4 as fn(&IpAddr) -> bool,
            CidrSubnet::V4([0; 4], [0; 4]),
        ),
        (IpAddr::is_ipv6, CidrSubnet::V6([0; 16], [0; 16])),
    ];
    let excluded = excluded
        .into_iter()
        .filter(|(is, _)| !addresses.iter().any(is));
    NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: excluded
            .map(|(_, all)| GeneralSubtree::IpAddress(all))
            .collect(),
    }
}

/// 16 random bytes, behind one that makes the number positive.
fn serial() -> Result<[u8; 17], String> {
    let mut serial = [0; 17];
    getrandom::fill(&mut serial[1..]).map_err(|why| why.to_string())?;
    serial[0] = 1;
    Ok(serial)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 5280, 4.2.1.9 and 4.2.1.3.
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage();
    certificate.is_ca()
        && usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

fn is_root(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, certificate)| certificate.subject() == certificate.issuer())
}

/// `127.0.0.1`, `[::1]`; `None` for a name.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

fn at(timestamp: i64) -> SystemTime {
    let seconds = Duration::from_secs(timestamp.unsigned_abs());
    let time = match timestamp {
        0.. => UNIX_EPOCH.checked_add(seconds),
        _ => UNIX_EPOCH.checked_sub(seconds),
    };
    time.unwrap_or(UNIX_EPOCH)
}

/// A private key that is zeroed when it is dropped.
pub struct Key(KeyPair);

impl Key {
    /// A new one, ECDSA over P-256.
    ///
    /// # Errors
    /// In words, when the system has no randomness.
    pub fn generate() -> Result<Self, String> {
        KeyPair::generate().map(Self).map_err(|why| why.to_string())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Authority {}

/// Shows no key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Authority, AuthorityMistake, Key, Made, make};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::time::{Duration, SystemTime};
    use x509_parser::certificate::X509Certificate;
    use x509_parser::prelude::FromDer;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn made(hosts: &[&str], now: SystemTime) -> Made {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        make(&hosts, now, 100 * DAY).unwrap()
    }

    fn read(certificate: &str, key: &str) -> Result<Authority, AuthorityMistake> {
        let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Authority::new(&[chain], &key)
    }

    fn of(made: &Made) -> Authority {
        read(&made.certificate, made.key.expose()).unwrap()
    }

    #[test]
    fn it_covers_the_hosts_that_it_was_made_for() {
        let now = SystemTime::now();
        let names = of(&made(&["api.example.com", "*.crm.example.com"], now));
        let addresses = of(&made(&["127.0.0.1", "[::1]"], now));
        assert!(names.is_limited() && addresses.is_limited());
        for (host, by_name, by_address) in [
            ("api.example.com", true, false),
            ("a.crm.example.com", true, false),
            ("example.com", false, false),
            ("api.example.org", false, false),
            ("127.0.0.1", false, true),
            ("[::1]", false, true),
            ("127.0.0.2", false, false),
            ("[::2]", false, false),
        ] {
            assert_eq!(names.covers(host), by_name, "{host}");
            assert_eq!(addresses.covers(host), by_address, "{host}");
        }
    }

    #[test]
    fn what_it_issues_lives_for_a_day_at_most() {
        let now = SystemTime::now();
        let authority = of(&made(&["api.example.com"], now));
        let key = Key::generate().unwrap();
        for (later, life) in [(DAY, DAY), (99 * DAY + DAY / 2, DAY / 2)] {
            let leaf = authority
                .issue("api.example.com", &key, now + later)
                .unwrap();
            let (_, leaf) = X509Certificate::from_der(&leaf.cert[0]).unwrap();
            let until = (now + later + life).duration_since(SystemTime::UNIX_EPOCH);
            let until = i64::try_from(until.unwrap().as_secs()).unwrap();
            assert_eq!(leaf.validity().not_after.timestamp(), until);
        }
        for bad in [now + 101 * DAY, now - DAY] {
            assert!(authority.issue("api.example.com", &key, bad).is_err());
        }
    }

    #[test]
    fn files_that_are_of_no_authority_are_told_apart() {
        let now = SystemTime::now();
        let (one, other) = (made(&["a.example"], now), made(&["a.example"], now));
        let wrong = read(&one.certificate, other.key.expose()).unwrap_err();
        assert!(matches!(wrong, AuthorityMistake::Key(_)), "{wrong:?}");
        let leaf = of(&one)
            .issue("a.example", &Key::generate().unwrap(), now)
            .unwrap();
        let leaf = Authority::new(
            &leaf.cert,
            &PrivateKeyDer::from_pem_slice(one.key.expose().as_bytes()).unwrap(),
        );
        let wrong = leaf.unwrap_err();
        assert!(
            matches!(wrong, AuthorityMistake::Certificate(_)),
            "{wrong:?}"
        );
    }

    #[test]
    fn authorities_are_equal_by_their_files_and_show_no_key() {
        let now = SystemTime::now();
        let (one, other) = (made(&["a.example"], now), made(&["a.example"], now));
        assert!(of(&one) == of(&one) && of(&one) != of(&other));
        let shown = format!("{:?}", of(&one));
        assert!(
            shown.starts_with("Authority") && shown.len() < 120,
            "{shown}"
        );
    }
}
