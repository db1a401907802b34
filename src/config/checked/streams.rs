//! What a route says of exchanges that go on for long: WebSockets, event
//! streams, other streamed answers.

use crate::base::template::encode_json;
use serde_json::Value;
use std::time::Duration;
use zeroize::Zeroizing;

/// A route's settings for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streams {
    /// How long both directions of a WebSocket may be silent.
    pub tunnel_idle_timeout: Duration,
    /// Sent to the upstream before anything of the caller's.
    pub first_message: Option<FirstMessage>,
    pub on_expiry: OnExpiry,
    /// How long a stream that is to end may take for it.
    pub expiry_grace: Duration,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            tunnel_idle_timeout: Duration::from_hours(1),
            first_message: None,
            on_expiry: OnExpiry::Keep,
            expiry_grace: Duration::from_secs(30),
        }
    }
}

/// What becomes of a stream when its token is no longer good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnExpiry {
    #[default]
    Keep,
    Close,
}

/// A text with the token in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstMessage {
    /// What stands before, between and behind the tokens; at least two.
    pieces: Vec<String>,
    /// The whole is JSON, and the token stands in texts of it.
    is_json: bool,
}

/// Where the token goes.
const PLACE: &str = "{token}";

impl FirstMessage {
    /// `None` where `{token}` does not occur. Other braces mean themselves.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let pieces: Vec<String> = text.split(PLACE).map(str::to_owned).collect();
        // As a number it is no part of a text: then JSON has no room for a token.
        let filled = pieces.join("x");
        let is_json = serde_json::from_str::<Value>(&filled).is_ok();
        (pieces.len() > 1).then_some(Self { pieces, is_json })
    }

    /// The message with this token in it; in JSON (RFC 8259, 7) what would end
    /// the text that it stands in is escaped.
    #[must_use]
    pub fn with(&self, token: &str) -> Zeroizing<String> {
        let quoted = encode_json(token);
        let token = match self.is_json {
            true => &quoted[1..quoted.len() - 1],
            false => token,
        };
        let length = self.pieces.iter().map(|piece| piece.len() + token.len());
        let mut message = Zeroizing::new(String::with_capacity(length.sum()));
        for (at, piece) in self.pieces.iter().enumerate() {
            if at > 0 {
                message.push_str(token);
            }
            message.push_str(piece);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::FirstMessage;
    use crate::base::counting::left_behind;

    #[test]
    fn in_json_the_token_is_escaped() {
        let message = FirstMessage::parse(r#"{"op":"auth","token":"{token}"}"#).unwrap();
        let token = "a\"b\\c\n";
        let json: serde_json::Value = serde_json::from_str(&message.with(token)).unwrap();
        assert_eq!(json["token"], token);
        assert_eq!(json["op"], "auth");
    }

    #[test]
    fn elsewhere_it_stands_as_it_is() {
        let message = FirstMessage::parse("AUTH {token} {x} {token}").unwrap();
        assert_eq!(*message.with("a\"b"), "AUTH a\"b {x} a\"b");
    }

    #[test]
    fn no_copy_of_the_token_stays_in_memory() {
        for text in [r#"{"token":"{token}"}"#, "AUTH {token}"] {
            let message = FirstMessage::parse(text).unwrap();
            let token = format!("s3cret\"{}", "x".repeat(900));
            let left = left_behind("s3cret", || drop(message.with(&token)));
            assert_eq!(left, 0, "{text}");
        }
    }

    #[test]
    fn there_must_be_a_token() {
        assert_eq!(FirstMessage::parse("{\"op\":\"hello\"}"), None);
    }
}
