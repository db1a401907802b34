//! The `Date` of answers (RFC 9110, 6.6.1), written once a second.

use crate::net::turn;
use std::cell::RefCell;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

struct Written {
    /// Many answers have the same time.
    at: SystemTime,
    second: u64,
    text: String,
}

thread_local! {
    static WRITTEN: RefCell<Written> = const {
        RefCell::new(Written { at: UNIX_EPOCH, second: 0, text: String::new() })
    };
}

/// Writes the time of now.
pub fn put(out: &mut Vec<u8>) {
    let now = turn::wall();
    WRITTEN.with_borrow_mut(|written| {
        if written.at != now || written.text.is_empty() {
            written.renew(now);
        }
        out.extend_from_slice(written.text.as_bytes());
    });
}

impl Written {
    fn renew(&mut self, now: SystemTime) {
        self.at = now;
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            self.text.clear();
            // Nothing fails that is written to a string.
            let _ = write!(self.text, "{}", httpdate::HttpDate::from(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::put;
    use std::time::{Duration, SystemTime};

    #[test]
    fn the_time_is_that_of_now() {
        for _ in 0..2 {
            let mut out = Vec::new();
            put(&mut out);
            assert_eq!(out.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len());
            let text = String::from_utf8(out).unwrap();
            let written = httpdate::parse_http_date(&text).unwrap();
            let passed = SystemTime::now().duration_since(written).unwrap();
            assert!(passed < Duration::from_secs(60));
        }
    }
}
