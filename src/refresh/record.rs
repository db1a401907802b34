//! An account's record in the store: what must survive the process.

use crate::account::ConnectedAccount;
use crate::base::clock::Wall;
use crate::base::secret::Secret;
use crate::config::checked::GrantType;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// The format that this version writes; it reads no newer one.
const FORMAT: u32 = 1;

/// What is stored of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRecord {
    /// Which client at which server the tokens belong to. Tokens of another
    /// one, from before the configuration was changed, are never used.
    pub binding: String,
    pub generation: u64,
    pub tokens: Option<StoredTokens>,
    /// A refresh token was sent, and its answer is not stored yet.
    pub intent: Option<Intent>,
    /// A person has to connect this account again; why, in words.
    pub dead: Option<String>,
    /// Unreadable 400s and 401s in a row.
    pub unreadable: u32,
    pub last_error: Option<(Wall, String)>,
}

/// Tokens with the times they are good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTokens {
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
    pub scope: Option<String>,
    /// When the request was sent that brought the access token.
    pub issued_at: Wall,
    /// When it must no longer be sent; `None` when nobody knows.
    pub expires_at: Option<Wall>,
    /// When these tokens came.
    pub refreshed_at: Wall,
    /// When a person connected the account, which all refreshes since go back to;
    /// `None` for a client's own, and in records of versions before this field.
    pub connected_at: Option<Wall>,
}

impl StoredTokens {
    /// True when these replace the others: those of a later connection before
    /// those of a later refresh, for a refresh may answer long after a person
    /// has connected the account anew by another process.
    #[must_use]
    pub fn are_newer_than(&self, others: &Self) -> bool {
        (self.connected_at, self.refreshed_at) > (others.connected_at, others.refreshed_at)
    }
}

/// A rotation that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// When the refresh token was first sent without a stored answer.
    pub started_at: Wall,
    /// The lease under which it was last sent.
    pub fencing: u64,
    /// It has been sent once more, after an earlier sending's answer was lost.
    pub again: bool,
}

/// A body that can't be used; the text holds nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(pub String);

/// Which client at which server stored tokens must belong to.
pub trait Binding: Send + Sync {
    /// It as text; seldom wanted, so that none of very many accounts keeps it.
    fn text(&self) -> String;
}

impl Binding for ConnectedAccount {
    fn text(&self) -> String {
        binding(self)
    }
}

/// The text by which tokens are bound to their client.
#[must_use]
pub fn binding(account: &ConnectedAccount) -> String {
    let oauth = &account.oauth;
    let mut parts = vec![
        oauth.token_endpoint.as_str().to_owned(),
        oauth.client_id.clone(),
    ];
    // A person's grant outlives a change of what is asked for; a client's
    // token is asked for anew.
    if oauth.grant_type == GrantType::ClientCredentials {
        parts.push(oauth.scope.clone().unwrap_or_default());
        let parameters = oauth.token_parameters.iter();
        parts.extend(parameters.map(|(name, value)| format!("{name}={value}")));
    } else {
        parts.push("person".to_owned());
    }
    parts.join("\n")
}

impl AccountRecord {
    /// The record's bytes; they hold the tokens, so the store seals them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut form = Form::from(self);
        // Texts and numbers only: this can't fail.
        let bytes = serde_json::to_vec(&form).unwrap_or_default();
        form.wipe();
        Zeroizing::new(bytes)
    }

    /// What is secret in it.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        let tokens = self.tokens.iter();
        tokens
            .flat_map(|tokens| [Some(&tokens.access_token), tokens.refresh_token.as_ref()])
            .flatten()
            .collect()
    }

    /// Reads a record's bytes.
    ///
    /// # Errors
    /// When they are not such a record, or one of a newer format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_slice(bytes)
            .map_err(|_| Unreadable("it is not an account's record".to_owned()))?;
        if head.format > FORMAT {
            return Err(Unreadable(format!(
                "it has format {}, and this version reads up to {FORMAT}: run the newer version",
                head.format
            )));
        }
        let form: Form =
            serde_json::from_slice(bytes).map_err(|_| Unreadable("it is damaged".to_owned()))?;
        Ok(form.into())
    }
}

/// The record as it is written: times in milliseconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
struct Form {
    format: u32,
    binding: String,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<TokensForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<IntentForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead: Option<String>,
    #[serde(default)]
    unreadable: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<ErrorForm>,
}

#[derive(Serialize, Deserialize)]
struct TokensForm {
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    issued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    refreshed_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct IntentForm {
    started_at: u64,
    fencing: u64,
    #[serde(default)]
    again: bool,
}

#[derive(Serialize, Deserialize)]
struct ErrorForm {
    at: u64,
    what: String,
}

impl Form {
    fn wipe(&mut self) {
        if let Some(tokens) = &mut self.tokens {
            tokens.access_token.zeroize();
            tokens.refresh_token.zeroize();
        }
    }
}

impl From<&AccountRecord> for Form {
    fn from(record: &AccountRecord) -> Self {
        Self {
            format: FORMAT,
            binding: record.binding.clone(),
            generation: record.generation,
            tokens: record.tokens.as_ref().map(TokensForm::from),
            intent: record.intent.as_ref().map(|intent| IntentForm {
                started_at: millis(intent.started_at),
                fencing: intent.fencing,
                again: intent.again,
            }),
            dead: record.dead.clone(),
            unreadable: record.unreadable,
            last_error: record.last_error.as_ref().map(|(at, what)| ErrorForm {
                at: millis(*at),
                what: what.clone(),
            }),
        }
    }
}

impl From<&StoredTokens> for TokensForm {
    fn from(tokens: &StoredTokens) -> Self {
        Self {
            access_token: tokens.access_token.expose().to_owned(),
            refresh_token: tokens.refresh_token.as_ref().map(|t| t.expose().to_owned()),
            scope: tokens.scope.clone(),
            issued_at: millis(tokens.issued_at),
            expires_at: tokens.expires_at.map(millis),
            refreshed_at: millis(tokens.refreshed_at),
            connected_at: tokens.connected_at.map(millis),
        }
    }
}

impl From<Form> for AccountRecord {
    fn from(form: Form) -> Self {
        Self {
            binding: form.binding,
            generation: form.generation,
            tokens: form.tokens.map(StoredTokens::from),
            intent: form.intent.map(|intent| Intent {
                started_at: wall(intent.started_at),
                fencing: intent.fencing,
                again: intent.again,
            }),
            dead: form.dead,
            unreadable: form.unreadable,
            last_error: form.last_error.map(|e| (wall(e.at), e.what)),
        }
    }
}

impl From<TokensForm> for StoredTokens {
    fn from(form: TokensForm) -> Self {
        Self {
            access_token: Secret::new(form.access_token),
            refresh_token: form.refresh_token.map(Secret::new),
            scope: form.scope,
            issued_at: wall(form.issued_at),
            expires_at: form.expires_at.map(wall),
            refreshed_at: wall(form.refreshed_at),
            connected_at: form.connected_at.map(wall),
        }
    }
}

/// There is room for any time that [`Wall`] can say.
fn millis(at: Wall) -> u64 {
    u64::try_from(at.passed().as_millis()).unwrap_or(u64::MAX)
}

fn wall(millis: u64) -> Wall {
    Wall::new(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::{AccountRecord, Intent, StoredTokens, wall};
    use crate::base::secret::Secret;

    fn record() -> AccountRecord {
        AccountRecord {
            binding: "https://a.example/token\nclient".to_owned(),
            generation: 7,
            tokens: Some(StoredTokens {
                access_token: Secret::new("a\"\u{1f512}".to_owned()),
                refresh_token: Some(Secret::new("r".to_owned())),
                scope: Some("api".to_owned()),
                issued_at: wall(1_700_000_000_123),
                expires_at: Some(wall(1_700_003_600_123)),
                refreshed_at: wall(1_700_000_000_456),
                connected_at: Some(wall(1_600_000_000_789)),
            }),
            intent: Some(Intent {
                started_at: wall(5),
                fencing: 9,
                again: true,
            }),
            dead: Some("gone".to_owned()),
            unreadable: 2,
            last_error: Some((wall(6), "what".to_owned())),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for record in [record(), AccountRecord::default()] {
            let read = AccountRecord::from_bytes(&record.to_bytes());
            assert_eq!(read, Ok(record));
        }
    }

    #[test]
    fn other_bytes_are_refused_without_repeating_them() {
        let newer = br#"{"format":2,"tokens":"hunter2"}"#;
        let error = AccountRecord::from_bytes(newer).unwrap_err();
        assert!(error.0.contains("format 2"), "{error:?}");
        let cut = &record().to_bytes()[..60];
        for bad in [&b""[..], b"\xff\xfe", b"[]", b"{\"format\":1}", cut] {
            let error = AccountRecord::from_bytes(bad).unwrap_err();
            assert!(error.0.len() < 60, "{error:?}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", record());
        assert!(!shown.contains("1f512") && !shown.contains('\u{1f512}'));
    }
}
