//! What comes back from the authorization server (RFC 6749, 4.1.2), read;
//! no I/O.

use super::attempts::Bad;
use super::words;
use crate::base::secret::Secret;
use ::url::form_urlencoded;
use std::fmt;

/// No parameter that matters is longer, in bytes.
const LONGEST: usize = 4 * 1024;

/// The parameters of a callback that matter.
#[derive(Debug)]
pub struct Callback {
    pub state: Secret,
    pub answer: Answer,
    /// Which authorization server it says it comes from (RFC 9207, 2).
    pub issuer: Option<Secret>,
}

/// What the authorization server answers.
#[derive(Debug)]
pub enum Answer {
    Code(Secret),
    /// In plain words.
    Error(String),
}

/// Why a callback is not accepted; nothing is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It can't be read.
    Unreadable(&'static str),
    State(Bad),
    /// Its code is for another account than was asked for.
    OtherAccount,
    /// The authorization server said no, in plain words.
    Denied {
        account: String,
        what: String,
    },
    /// The code was good for no token, in plain words.
    Failed {
        account: String,
        what: String,
    },
}

/// An account that was connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub account: String,
    /// The token can be refreshed without a person.
    pub has_refresh_token: bool,
    /// What to do where it can't.
    pub advice: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(what) => f.write_str(what),
            Self::State(bad) => f.write_str(words::of_state(*bad)),
            Self::OtherAccount => f.write_str(
                "this answer belongs to the connecting of another account; nothing was stored",
            ),
            Self::Denied { account, what } | Self::Failed { account, what } => {
                write!(f, "{account} was not connected: {what}")
            }
        }
    }
}

/// Reads the query of a callback.
///
/// # Errors
/// When `state`, `code` or `error` is missing, or one of them or `iss` comes twice
/// (RFC 6749, 3.1).
pub fn read(query: &str) -> Result<Callback, Refusal> {
    let state = only(query, "state")?.ok_or(Refusal::Unreadable(
        "this address carries no `state`, so it does not come from a connecting that was begun here; nothing was stored",
    ))?;
    let answer = match (only(query, "code")?, only(query, "error")?) {
        (_, Some(code)) => {
            let described = only(query, "error_description")?;
            Answer::Error(words::of_error(code.expose(), described.as_ref()))
        }
        (Some(code), None) => Answer::Code(code),
        (None, None) => {
            return Err(Refusal::Unreadable(
                "this address carries neither a `code` nor an `error`; nothing was stored",
            ));
        }
    };
    let issuer = only(query, "iss")?;
    Ok(Callback {
        state,
        answer,
        issuer,
    })
}

fn only(query: &str, name: &str) -> Result<Option<Secret>, Refusal> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name);
    let value = values.next().filter(|(_, value)| !value.is_empty());
    if values.next().is_some() {
        return Err(Refusal::Unreadable(
            "this address carries a parameter twice; nothing was stored",
        ));
    }
    match value {
        Some((_, value)) if value.len() > LONGEST => Err(Refusal::Unreadable(
            "this address carries a parameter of more than 4 KiB; nothing was stored",
        )),
        value => Ok(value.map(|(_, value)| Secret::new(value.into_owned()))),
    }
}
