//! Writing a token into its place: once for each token and reader of it.

use crate::account::AttachPlan;
use crate::base::secret::Secret;
use crate::base::template::encode_pair;
use crate::config::checked::Placement;
use crate::token::{Attach, QueryPair, TokenPlace, Way, own_copy};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A token that can't be written at its place; the text holds nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachError(String);

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AttachError {}

impl Way for AttachPlan {
    fn attach(&self, token: &Secret) -> Result<Attach, String> {
        build(self, token).map_err(|error| error.0)
    }
}

/// Prebuilds what an account writes into each request.
///
/// # Errors
/// When the token does not fit into a header's value (RFC 9110, 5.5), or the
/// name is none.
pub fn build(plan: &AttachPlan, token: &Secret) -> Result<Attach, AttachError> {
    let text = expand(plan, token)?;
    let token = match plan.place {
        Placement::Header => TokenPlace::Header {
            name: HeaderName::from_bytes(plan.name.as_bytes()).map_err(|_| {
                AttachError(format!(
                    "'{}' is not a header's name",
                    plan.name.escape_debug()
                ))
            })?,
            value: header_value(text)?,
        },
        Placement::Query => TokenPlace::Query(pair(&plan.name, &text)),
    };
    Ok(Attach {
        token,
        headers: (plan.headers.iter())
            .map(|(name, value)| (name.clone(), own_copy(value)))
            .collect(),
        query: plan.query.iter().map(|(n, v)| pair(n, v)).collect(),
    })
}

fn expand(plan: &AttachPlan, token: &Secret) -> Result<Zeroizing<String>, AttachError> {
    let lookup = |name: &str| (name == "token").then(|| token.expose());
    plan.value
        .expand(&lookup)
        .map(Zeroizing::new)
        // The template engine's own text never holds a value.
        .map_err(|error| AttachError(format!("the token can't be written: {error}")))
}

fn header_value(text: Zeroizing<String>) -> Result<HeaderValue, AttachError> {
    struct Owner(Zeroizing<String>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    // RFC 9110, 5.5: visible ASCII, space and tab; nothing that HTTP would
    // strip, and nothing whose charset the two sides could read differently.
    let fits = text.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'));
    let bytes = Bytes::from_owner(Owner(text));
    let value = HeaderValue::from_maybe_shared(bytes).ok().filter(|_| fits);
    let mut value = value.ok_or_else(|| {
        AttachError("the token holds characters that a header's value can't hold".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn pair(name: &str, value: &str) -> QueryPair {
    QueryPair {
        name: Arc::from(name),
        encoded: Secret::new(encode_pair(name, value)),
    }
}
