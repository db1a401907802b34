//! Who issued a certificate, for people to read. Only names are taken from the
//! certificate here: whether it is to be trusted is judged elsewhere.

/// The longest name that is shown, in characters.
const LONGEST: usize = 200;

/// Attributes that are shown (X.520), by the last byte of 2.5.4.x.
const SHOWN: [(u8, &str); 4] = [(3, "CN"), (11, "OU"), (10, "O"), (6, "C")];

/// The issuer of a certificate in DER, as `CN=Example CA, O=Example`; `None`
/// for what is no certificate, or names nobody.
pub fn issuer(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (to_be_signed, _) = element(certificate, SEQUENCE)?;
    let rest = match element(to_be_signed, VERSION) {
        Some((_, rest)) => rest,
        None => to_be_signed,
    };
    let (_serial, rest) = element(rest, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (mut names, _) = element(rest, SEQUENCE)?;
    let mut parts = Vec::new();
    while let Some((set, rest)) = element(names, SET) {
        names = rest;
        parts.extend(element(set, SEQUENCE).and_then(|(pair, _)| attribute(pair)));
    }
    let shown = parts.join(", ");
    (!shown.is_empty()).then(|| shown.chars().take(LONGEST).collect())
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0] EXPLICIT`, of the certificate's version.
const VERSION: u8 = 0xa0;

fn attribute(pair: &[u8]) -> Option<String> {
    let (kind, rest) = element(pair, OBJECT_IDENTIFIER)?;
    let &[0x55, 0x04, kind] = kind else {
        return None;
    };
    let (_, name) = SHOWN.iter().find(|(shown, _)| *shown == kind)?;
    let (value, _) = element(rest, *rest.first()?)?;
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let value: String = String::from_utf8_lossy(value).chars().map(clean).collect();
    Some(format!("{name}={value}"))
}

/// The content of the element at the start, if it has this tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Long form: up to three bytes of length, which is more than any certificate has.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes.iter().fold(0, |sum, b| (sum << 8) | usize::from(*b));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (found == tag).then_some((content, rest))
}

#[cfg(test)]
mod tests {
    use super::issuer;
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

    fn issued(by: &str) -> Vec<u8> {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.distinguished_name.push(DnType::CommonName, by);
        authority
            .distinguished_name
            .push(DnType::OrganizationName, "Example");
        let authority = Issuer::new(authority, KeyPair::generate().unwrap());
        let leaf = CertificateParams::new(["a.example".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        leaf.signed_by(&key, &authority).unwrap().der().to_vec()
    }

    #[test]
    fn the_issuer_is_named() {
        let name = issuer(&issued("The Wörks\nCA")).unwrap();
        assert!(name.contains("CN=The Wörks\u{fffd}CA"), "{name}");
        assert!(name.contains("O=Example"), "{name}");
        assert!(issuer(&issued(&"x".repeat(1000))).unwrap().len() <= 200);
    }

    #[test]
    fn what_is_cut_or_changed_is_no_panic() {
        let whole = issued("CA");
        for end in 0..whole.len() {
            issuer(&whole[..end]);
        }
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                issuer(&changed);
            }
        }
    }
}
