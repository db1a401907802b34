//! What a token endpoint gave.

use crate::base::secret::Secret;
use std::time::Duration;

/// A successful token answer (RFC 6749, 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAnswer {
    pub access_token: Secret,
    pub token_type: Option<String>,
    /// Counted from the moment the request was sent. From `expires_in`, else
    /// from a JWT's `exp`; `None` when neither makes sense.
    pub life: Option<Duration>,
    pub refresh_token: Option<Secret>,
    pub scope: Option<String>,
}
