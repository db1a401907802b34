//! Keeps what a server says from repeating a secret to whoever reads the log.

use crate::base::secret::Secret;
use crate::base::template::encode_json;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// So many bytes of a secret in a row count as repeating it.
const WINDOW: usize = 12;
/// Longest text that is shown, in characters.
const LONGEST: usize = 300;

/// The secrets of one token request, in the forms in which a server may repeat them.
#[derive(Default)]
pub struct Redactor {
    forms: Vec<Zeroizing<String>>,
}

impl Redactor {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret: as it is, in base64, in JSON's and in a URL's escaping.
    pub fn add(&mut self, secret: &Secret) {
        self.add_text(secret.expose());
    }

    /// Adds the pair that HTTP Basic sends (RFC 7617), in its base64.
    pub fn add_pair(&mut self, id: &str, secret: &Secret) {
        self.add_text(secret.expose());
        let pair = Zeroizing::new(format!("{id}:{}", secret.expose()));
        self.push(STANDARD_NO_PAD.encode(pair.as_bytes()));
        self.push(URL_SAFE_NO_PAD.encode(pair.as_bytes()));
    }

    fn add_text(&mut self, text: &str) {
        self.push(text.to_owned());
        self.push(STANDARD_NO_PAD.encode(text));
        self.push(URL_SAFE_NO_PAD.encode(text));
        // All at once: no copy is to stay behind.
        let mut encoded = String::with_capacity(3 * text.len());
        encoded.extend(utf8_percent_encode(text, NON_ALPHANUMERIC));
        self.push(encoded);
        self.push(encode_json(text).trim_matches('"').to_owned());
    }

    fn push(&mut self, form: String) {
        let form = Zeroizing::new(form);
        if !form.is_empty() && !self.forms.contains(&form) {
            self.forms.push(form);
        }
    }

    /// The text without control characters, bounded, or nothing where it is
    /// empty or repeats a secret.
    #[must_use]
    pub fn clean(&self, text: &str) -> Option<String> {
        let kept: String = text
            .chars()
            .filter(|c| !is_hidden(*c))
            .take(LONGEST)
            .collect();
        let kept = kept.trim();
        (!kept.is_empty() && !self.repeats(kept)).then(|| kept.to_owned())
    }

    fn repeats(&self, text: &str) -> bool {
        let decoded: Cow<'_, str> = percent_decode_str(text).decode_utf8_lossy();
        let plus: String = decoded.replace('+', " ");
        self.forms.iter().any(|form| {
            [text, &decoded, &plus]
                .iter()
                .any(|seen| shares_window(form.as_bytes(), seen.as_bytes()))
        })
    }
}

/// Control characters, and those that hide or turn around what follows.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn shares_window(secret: &[u8], text: &[u8]) -> bool {
    if secret.len() <= WINDOW {
        return memchr::memmem::find(text, secret).is_some();
    }
    // The text is the shorter of the two: walk its windows.
    text.windows(WINDOW)
        .any(|window| memchr::memmem::find(secret, window).is_some())
}

#[cfg(test)]
mod tests {
    use super::Redactor;
    use crate::base::secret::Secret;

    const SECRET: &str = "p@ss/w\"rd+0123456789abcdef";

    fn redactor() -> Redactor {
        let mut redactor = Redactor::new();
        redactor.add_pair("my-client", &Secret::new(SECRET.into()));
        redactor
    }

    #[test]
    fn an_innocent_text_is_kept() {
        let text = "Client authentication failed (unknown client)";
        assert_eq!(redactor().clean(text).as_deref(), Some(text));
    }

    #[test]
    fn every_form_of_a_secret_is_found() {
        use base64::Engine;
        let plain = base64::engine::general_purpose::STANDARD;
        let forms = [
            SECRET.to_owned(),
            SECRET[4..20].to_owned(),
            plain.encode(SECRET),
            plain.encode(format!("my-client:{SECRET}")),
            "p%40ss%2Fw%22rd%2B0123456789abcdef".to_owned(),
            "p%40ss%2fw%22rd%2b01234".to_owned(),
            "p@ss/w\\\"rd+0123456".to_owned(),
        ];
        for form in forms {
            let said = format!("bad credentials: {form}.");
            assert_eq!(redactor().clean(&said), None, "{said}");
        }
    }

    #[test]
    fn control_characters_cannot_hide_one() {
        let said = SECRET.replace("0123", "01\u{200b}\u{7}23");
        assert_eq!(redactor().clean(&said), None);
        let said = "two\r\nlines\u{1b}[31m";
        assert_eq!(redactor().clean(said).as_deref(), Some("twolines[31m"));
    }

    #[test]
    fn texts_are_bounded() {
        let long = "ä ".repeat(5_000);
        assert!(redactor().clean(&long).unwrap().chars().count() <= 300);
    }
}
