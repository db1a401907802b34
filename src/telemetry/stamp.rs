//! Times as the access log writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time in RFC 3339; the part down to the second is made once a second.
#[derive(Default)]
pub(super) struct Stamp {
    /// Many lines have the same time.
    at: Option<SystemTime>,
    second: u64,
    text: String,
    millis: u16,
}

impl Stamp {
    pub fn set(&mut self, at: SystemTime) {
        if self.at.replace(at) == Some(at) {
            return;
        }
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.millis = since.subsec_millis() as u16;
        if since.as_secs() != self.second || self.text.is_empty() {
            self.second = since.as_secs();
            self.text = i64::try_from(self.second)
                .ok()
                .and_then(|second| jiff::Timestamp::from_second(second).ok())
                .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
                .to_string();
            // "…:19Z": the fraction goes before the Z.
            self.text.pop();
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text.as_bytes());
        out.push(b'.');
        three_digits(out, self.millis);
        out.push(b'Z');
    }
}

/// A number below 1,000, with leading zeros.
pub(super) fn three_digits(out: &mut Vec<u8>, value: u16) {
    let digit = |value: u16| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[digit(value / 100), digit(value / 10), digit(value)]);
}
