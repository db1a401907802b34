//! The names in a certificate that was verified already.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// More names than these, or longer ones, are not kept: they stay for as long
/// as their connection.
const MOST: usize = 64;
const LONGEST: usize = 1024;

/// DNS names, URIs and e-mail addresses of the subject's alternative names; a
/// certificate without any of them has its subject's common name (RFC 6125, 6.4.4).
#[must_use]
pub fn of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative
        .iter()
        .flat_map(|found| &found.value.general_names);
    let names: Vec<_> = alternative
        .filter_map(text)
        .filter(|name| fits(name))
        .take(MOST)
        .collect();
    if !names.is_empty() {
        return names;
    }
    let common = certificate.subject().iter_common_name();
    let common = common.filter_map(|name| name.as_str().ok().map(str::to_owned));
    common.filter(|name| fits(name)).take(1).collect()
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) => {
            Some((*text).to_owned())
        }
        _ => None,
    }
}

fn fits(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::of;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn names(alternative: Vec<SanType>, common: &str) -> Vec<String> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = alternative;
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate().unwrap();
        of(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn alternative_names_come_first_and_the_common_name_only_without_them() {
        let alternative = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::URI("spiffe://example/ns/a".try_into().unwrap()),
            SanType::Rfc822Name("a@example".try_into().unwrap()),
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
        ];
        assert_eq!(
            names(alternative, "common"),
            ["a.example", "spiffe://example/ns/a", "a@example"]
        );
        assert_eq!(names(Vec::new(), "some one"), ["some one"]);
        assert_eq!(names(Vec::new(), "line\nbreak"), [""; 0]);
        assert_eq!(of(&b"nonsense".to_vec().into()), [""; 0]);
    }
}
