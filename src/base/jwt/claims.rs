//! What an issuer has said of a caller.

use super::Fault;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// How far clocks may be apart, in seconds.
pub const LEEWAY: i64 = 60;

/// A caller's name has at most so many bytes.
const LONGEST_NAME: usize = 256;

/// The claims of a token with a good signature.
pub struct Verified {
    claims: Value,
    /// Seconds since the epoch.
    from: Option<i64>,
    until: i64,
}

impl Verified {
    /// Without `exp` a token would hold for ever, so it must be there.
    pub(super) fn of(claims: &Map<String, Value>) -> Result<Self, Fault> {
        let until = claims.get("exp").and_then(seconds);
        let from = claims
            .get("nbf")
            .map(|from| seconds(from).ok_or(Fault::NotYet));
        Ok(Self {
            until: until.ok_or(Fault::NoExpiry)?,
            from: from.transpose()?,
            claims: Value::Object(claims.clone()),
        })
    }

    /// Whether it holds `now`, in seconds since the epoch.
    ///
    /// # Errors
    /// When it does not, give or take [`LEEWAY`].
    pub fn holds(&self, now: i64) -> Result<(), Fault> {
        if now >= self.until.saturating_add(LEEWAY) {
            return Err(Fault::Expired);
        }
        match self.from {
            Some(from) if now.saturating_add(LEEWAY) < from => Err(Fault::NotYet),
            _ => Ok(()),
        }
    }

    /// True where it is for one of these (RFC 7519, 4.1.3).
    #[must_use]
    pub fn is_for(&self, audiences: &[String]) -> bool {
        self.says("aud", audiences)
    }

    /// True where the claim, or one of a list, is one of these texts. `scope`
    /// and `scp` are lists of words (RFC 9068, 2.2.3).
    #[must_use]
    pub fn says(&self, claim: &str, wanted: &[String]) -> bool {
        let is = |text: &str| wanted.iter().any(|wanted| wanted == text);
        match self.claim(claim) {
            Some(Value::Array(all)) => all.iter().filter_map(text).any(|text| is(&text)),
            Some(Value::String(words)) if matches!(claim, "scope" | "scp") => {
                words.split(' ').any(is)
            }
            Some(one) => text(one).is_some_and(|text| is(&text)),
            None => false,
        }
    }

    /// A text or number that may be somebody's name.
    #[must_use]
    pub fn name(&self, claim: &str) -> Option<Cow<'_, str>> {
        let name = text(self.claim(claim)?)?;
        let fits = (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control);
        fits.then_some(name)
    }

    /// By its name, or by a JSON pointer (RFC 6901), which begins with `/`.
    fn claim(&self, name: &str) -> Option<&Value> {
        match name.starts_with('/') {
            true => self.claims.pointer(name),
            false => self.claims.get(name),
        }
    }
}

/// Texts, numbers and booleans, as the configuration writes them.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(yes) => Some(if *yes { "true" } else { "false" }.into()),
        _ => None,
    }
}

/// A time may have a fraction (RFC 7519, 2).
#[allow(clippy::cast_possible_truncation)]
fn seconds(value: &Value) -> Option<i64> {
    let float = || value.as_f64().filter(|n| n.is_finite()).map(|n| n as i64);
    value.as_i64().or_else(float)
}
