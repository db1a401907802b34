//! A route's settings for exchanges that go on for long.

use crate::config::checked::streams::{FirstMessage, OnExpiry, Streams};
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;

/// More is no greeting.
const MOST_BYTES: usize = 4096;

pub(super) fn read(reader: &Reader<'_, '_>) -> Streams {
    Streams {
        tunnel_idle_timeout: reader.duration("tunnel_idle_timeout"),
        first_message: first_message(reader),
        on_expiry: match reader.choice("on_expiry") {
            "close" => OnExpiry::Close,
            _ => OnExpiry::Keep,
        },
        expiry_grace: reader.duration("expiry_grace"),
    }
}

fn first_message(reader: &Reader<'_, '_>) -> Option<FirstMessage> {
    let written = reader.text("websocket_first_message")?;
    let message = FirstMessage::parse(&written.text).filter(|_| written.text.len() <= MOST_BYTES);
    if message.is_none() {
        let what = format!("{} can't be the first message", written.named());
        let mistake = Mistake::error(written.place, what);
        let expected = "a text of up to 4,096 bytes with `{token}` in it";
        reader.ctx.report(mistake.expected(expected));
    }
    message
}
