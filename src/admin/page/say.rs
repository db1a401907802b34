//! States, errors and events in plain words, with what to do about them.

use crate::refresh::{AccountState, AccountStatus, What};
use crate::telemetry::refreshes::{Outcome, Trigger};

/// Something that a person should read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// `calm`, `warn` or `bad`: how loudly it is shown.
    pub class: &'static str,
    pub what: String,
    pub advice: String,
    /// A `time` element, or nothing.
    pub when: String,
}

/// A state's name.
pub fn state(state: AccountState) -> &'static str {
    match state {
        AccountState::Waiting => "Waiting for a token",
        AccountState::NotConnected => "Not connected",
        AccountState::Connected => "Connected",
        AccountState::ReconnectRequired => "Reconnect required",
        AccountState::Misconfigured => "Refused",
    }
}

/// True for a state that only a person can change.
pub fn needs_attention(state: AccountState) -> bool {
    !matches!(state, AccountState::Connected | AccountState::Waiting)
}

/// `2 of 5 accounts need you`
pub fn summary(total: usize, attention: usize, waiting: usize) -> String {
    let accounts = |count: usize| match count {
        1 => "1 account".to_owned(),
        count => format!("{count} accounts"),
    };
    match (total, attention, waiting) {
        (0, ..) => "No account yet".to_owned(),
        (total, 0, 0) => format!("{}, all connected", accounts(total)),
        (total, 0, waiting) => format!("{}, {waiting} waiting for a token", accounts(total)),
        (total, 1, _) => format!("1 of {} needs you", accounts(total)),
        (total, attention, _) => format!("{attention} of {} need you", accounts(total)),
    }
}

/// What is wrong with an account, or soon will be.
pub fn trouble(account: &AccountStatus) -> Option<Trouble> {
    let error = account.last_error.as_ref().map(|error| error.what.clone());
    let of = |class, what: &str, advice: &str| {
        Some(Trouble {
            class,
            what: sentence(error.as_deref().unwrap_or(what)),
            advice: advice.to_owned(),
            when: String::new(),
        })
    };
    match account.state {
        AccountState::NotConnected => of(
            "calm",
            "Nobody has signed in for this account yet; requests that need it are answered 503.",
            "Press Connect and sign in at the service.",
        ),
        AccountState::ReconnectRequired => of(
            "warn",
            "The authorization server takes neither the token nor its refresh token any more.",
            "Press Reconnect and sign in again: sidekey can't do that by itself.",
        ),
        AccountState::Misconfigured => of(
            "bad",
            "The authorization server refuses the client.",
            remedy(error.as_deref().unwrap_or_default()),
        ),
        AccountState::Waiting if error.is_none() => None,
        AccountState::Waiting => of(
            "warn",
            "",
            "sidekey tries again by itself; see that the authorization server can be reached from here.",
        ),
        AccountState::Connected if error.is_some() => of(
            "calm",
            "",
            "The present token still serves, and sidekey tries again by itself.",
        ),
        AccountState::Connected => caution(account),
    }
}

/// What is well now and won't last.
fn caution(account: &AccountStatus) -> Option<Trouble> {
    let calm = |what: &str, advice: &str| {
        Some(Trouble {
            class: "calm",
            what: what.to_owned(),
            advice: advice.to_owned(),
            when: String::new(),
        })
    };
    if account.reconnect_at_expiry {
        return calm(
            "The authorization server gave no refresh token: somebody has to sign in again when this token expires.",
            "A scope such as offline_access, or authorization_parameters: {access_type: offline}, usually brings one.",
        );
    }
    if account.short_life {
        return calm(
            "Its tokens live less than 5 minutes. That works, but a slow authorization server will be noticed.",
            "Ask whoever runs the authorization server for longer ones, if you can.",
        );
    }
    None
}

/// What to do about a refused client, by what the server said.
fn remedy(error: &str) -> &'static str {
    if error.contains("invalid_client") || error.contains("unauthorized_client") {
        "sidekey tries again every 5 minutes, when the secret's file changes, and when you press \
         Refresh."
    } else if error.contains("invalid_scope") {
        "Compare oauth2.scope with the scopes that the service offers to this client."
    } else if error.contains("store") {
        "Look at the store that the configuration names; the log says more."
    } else {
        "Compare oauth2.token_endpoint and the client with what the service shows. sidekey tries \
         again every 5 minutes, and when you press Refresh."
    }
}

/// How a token request ended and why it was sent.
pub fn attempt(trigger: Trigger, outcome: Outcome) -> String {
    let outcome = match outcome {
        Outcome::Success => "new token",
        Outcome::SameToken => "same token again",
        Outcome::Transient => "failed",
        Outcome::Dead => "refused: reconnect",
        Outcome::Misconfigured => "refused: client",
    };
    let trigger = match trigger {
        Trigger::Initial => "at the start",
        Trigger::Scheduled => "on schedule",
        Trigger::Rejected => "after a 401 or 403",
        Trigger::Demand => "a request waited",
        Trigger::Manual => "by hand",
    };
    format!("{outcome}, {trigger}")
}

/// An event, and the class that it is shown with.
pub fn event(what: What) -> (String, &'static str) {
    match what {
        What::Expired => ("token expired".to_owned(), "bad"),
        What::Asked(trigger, outcome) => {
            let class = match outcome {
                Outcome::Success | Outcome::SameToken => "good",
                _ => "bad",
            };
            (attempt(trigger, outcome), class)
        }
    }
}

/// The text with a capital first letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase());
    let mut text: String = first.into_iter().flatten().chain(letters).collect();
    if !text.ends_with(['.', '!', '?']) && !text.is_empty() {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{sentence, summary};

    #[test]
    fn a_summary_reads_as_a_person_would_say_it() {
        assert_eq!(summary(0, 0, 0), "No account yet");
        assert_eq!(summary(1, 0, 0), "1 account, all connected");
        assert_eq!(summary(3, 0, 1), "3 accounts, 1 waiting for a token");
        assert_eq!(summary(5, 1, 2), "1 of 5 accounts needs you");
        assert_eq!(summary(5, 2, 0), "2 of 5 accounts need you");
    }

    #[test]
    fn errors_become_sentences() {
        assert_eq!(sentence("it broke"), "It broke.");
        assert_eq!(sentence("Really?"), "Really?");
        assert_eq!(sentence(""), "");
    }
}
