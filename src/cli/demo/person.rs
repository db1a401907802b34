//! The part of the demonstration's authorization server where a person signs
//! in: one person, no password, real codes, PKCE and rotating refresh tokens.

use crate::base::crypto::sha256_text;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The client that people connect; it has no secret, and PKCE in its place.
pub const CLIENT_ID: &str = "demo-person";
/// How long a person's access token lives.
const LIFE: Duration = Duration::from_mins(10);
/// Codes and tokens that are remembered; a demonstration needs few.
const MOST: usize = 256;

/// Codes, refresh tokens and access tokens that were given.
#[derive(Default)]
pub struct Person {
    given: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    /// Code → its redirect URI and PKCE challenge (RFC 7636, 4.2).
    codes: HashMap<String, (String, String)>,
    refresh_tokens: Vec<String>,
    access_tokens: Vec<(String, Instant)>,
}

/// What a token request brings.
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub life: Duration,
}

impl Person {
    /// The person agreed: a code for this request.
    pub fn agree(&self, redirect_uri: &str, challenge: &str) -> String {
        let code = format!("code-{:032x}", fastrand::u128(..));
        let mut given = self.given();
        if given.codes.len() < MOST {
            let bound = (redirect_uri.to_owned(), challenge.to_owned());
            given.codes.insert(code.clone(), bound);
        }
        code
    }

    /// Tokens for a code, which is good once, for the same address and verifier
    /// (RFC 6749, 4.1.3; RFC 7636, 4.6).
    pub fn redeem(&self, code: &str, redirect_uri: &str, verifier: &str) -> Option<Tokens> {
        let mut given = self.given();
        let (address, challenge) = given.codes.remove(code)?;
        (address == redirect_uri && challenge == sha256_text(verifier)).then(|| given.issue())
    }

    /// New tokens for a refresh token, which is good once (RFC 6749, 6).
    pub fn refresh(&self, token: &str) -> Option<Tokens> {
        let mut given = self.given();
        let at = given.refresh_tokens.iter().position(|t| t == token)?;
        given.refresh_tokens.swap_remove(at);
        Some(given.issue())
    }

    /// True for an access token that is still good.
    pub fn knows(&self, token: &str) -> bool {
        let now = Instant::now();
        let given = self.given();
        given
            .access_tokens
            .iter()
            .any(|(text, expires)| text == token && now < *expires)
    }

    /// True once somebody has connected an account.
    pub fn has_connected(&self) -> bool {
        !self.given().access_tokens.is_empty()
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Given {
    fn issue(&mut self) -> Tokens {
        let text = |what: &str| format!("{what}-{:032x}", fastrand::u128(..));
        let tokens = Tokens {
            access: text("person"),
            refresh: text("refresh"),
            life: LIFE,
        };
        self.access_tokens.truncate(MOST);
        self.access_tokens
            .insert(0, (tokens.access.clone(), Instant::now() + LIFE));
        self.refresh_tokens.push(tokens.refresh.clone());
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::Person;
    use crate::base::crypto::sha256_text;

    #[test]
    fn a_code_is_good_once_for_its_own_address_and_verifier() {
        let person = Person::default();
        let agree = || person.agree("http://a/", &sha256_text("verifier"));
        assert!(person.redeem(&agree(), "http://b/", "verifier").is_none());
        assert!(person.redeem(&agree(), "http://a/", "another").is_none());
        assert!(!person.has_connected());
        let code = agree();
        let tokens = person.redeem(&code, "http://a/", "verifier").unwrap();
        assert!(person.redeem(&code, "http://a/", "verifier").is_none());
        assert!(person.knows(&tokens.access) && person.has_connected());
    }

    #[test]
    fn a_refresh_token_is_good_once() {
        let person = Person::default();
        let code = person.agree("http://a/", &sha256_text("v"));
        let first = person.redeem(&code, "http://a/", "v").unwrap();
        let second = person.refresh(&first.refresh).unwrap();
        assert!(person.refresh(&first.refresh).is_none());
        assert!(person.knows(&second.access) && !person.knows("other"));
    }
}
