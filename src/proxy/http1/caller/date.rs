//! The `Date` of answers (RFC 9110, 6.6.1), written once a second.

use crate::net::turn;
use std::cell::RefCell;
use std::fmt::Write;
use std::time::UNIX_EPOCH;

/// `Sun, 06 Nov 1994 08:49:37 GMT`
const LENGTH: usize = 29;

struct Written {
    second: u64,
    text: String,
}

thread_local! {
    static WRITTEN: RefCell<Written> = const {
        RefCell::new(Written { second: 0, text: String::new() })
    };
}

/// Writes the time of now.
pub fn put(out: &mut Vec<u8>) {
    let now = turn::wall();
    let second = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    WRITTEN.with_borrow_mut(|written| {
        if written.second != second || written.text.len() != LENGTH {
            written.second = second;
            written.text.clear();
            // Nothing fails that is written to a string.
            let _ = write!(written.text, "{}", httpdate::HttpDate::from(now));
        }
        out.extend_from_slice(written.text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::{LENGTH, put};
    use std::time::{Duration, SystemTime};

    #[test]
    fn the_time_is_that_of_now() {
        for _ in 0..2 {
            let mut out = Vec::new();
            put(&mut out);
            assert_eq!(out.len(), LENGTH);
            let text = String::from_utf8(out).unwrap();
            let written = httpdate::parse_http_date(&text).unwrap();
            let passed = SystemTime::now().duration_since(written).unwrap();
            assert!(passed < Duration::from_secs(60));
        }
    }
}
