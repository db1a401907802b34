//! Which authorization server an answer comes from (RFC 9207): the defence
//! against one server's answer being taken for another's (mix-up).

use crate::base::secret::Secret;

/// No issuer that is shown is longer, in bytes.
const LONGEST_SHOWN: usize = 200;

/// Compares what an answer says with what the integration names, letter by
/// letter (RFC 9207, 2.4; RFC 3986, 6.2.1). Where it names none, nothing is
/// known to compare with.
///
/// # Errors
/// In words, when the answer names another, or none.
pub fn check(expected: Option<&str>, said: Option<&Secret>) -> Result<(), String> {
    match (expected, said.map(Secret::expose)) {
        (None, _) => Ok(()),
        (Some(expected), Some(said)) if said == expected => Ok(()),
        (Some(expected), Some(said)) => Err(format!(
            "the answer comes from another authorization server ({}) than the integration names \
             ({expected}); its code was sent nowhere and nothing was stored: if the server is the \
             right one, correct issuer in the integration, then begin again",
            shown(said)
        )),
        (Some(expected), None) => Err(format!(
            "the answer does not say which authorization server it comes from (no iss), and the \
             integration names one ({expected}); its code was sent nowhere and nothing was \
             stored: if this server never says so, remove issuer from the integration, then \
             begin again"
        )),
    }
}

/// Anyone may have written it: only what looks like an issuer is shown.
fn shown(said: &str) -> &str {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b":/.-_~%".contains(&b);
    let is_url = said.starts_with("https://") || said.starts_with("http://");
    match is_url && said.len() <= LONGEST_SHOWN && said.bytes().all(is_plain) {
        true => said,
        false => "with a name that is none",
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::base::secret::Secret;

    fn said(expected: Option<&str>, said: &str) -> Result<(), String> {
        check(expected, Some(&Secret::new(said.to_owned())))
    }

    #[test]
    fn letters_are_compared_and_nonsense_is_not_repeated() {
        let ours = Some("https://a.example");
        assert_eq!(said(ours, "https://a.example"), Ok(()));
        assert_eq!(said(None, "https://b.example"), Ok(()));
        assert_eq!(check(None, None), Ok(()));
        for other in [
            "https://a.example/",
            "https://A.example",
            "https://b.example",
        ] {
            let why = said(ours, other).unwrap_err();
            assert!(why.contains(&format!("({other})")), "{why}");
        }
        let why = said(ours, "https://<script>").unwrap_err();
        assert!(!why.contains("script"), "{why}");
        assert!(check(ours, None).unwrap_err().contains("no iss"));
    }
}
