//! What a token endpoint may answer: status, two fields, body.

use sidekey::base::clock::Wall;
use sidekey::base::secret::Secret;
use sidekey::oauth::{RawAnswer, Redactor, read};
use std::time::Duration;
use zeroize::Zeroizing;

const SECRET: &str = "the-refresh-token-0123456789";
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// `STATUS`, `Content-Type`, `Retry-After`, each on a line of its own, then the body.
pub fn run(data: &[u8]) {
    let mut lines = data.splitn(4, |b| *b == b'\n');
    let mut text = || {
        let line = lines.next().unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    };
    let (status, content_type, retry_after) = (text(), text(), text());
    let raw = RawAnswer {
        status: status.trim().parse().unwrap_or(200),
        content_type: Some(content_type).filter(|t| !t.is_empty()),
        retry_after: Some(retry_after).filter(|t| !t.is_empty()),
        body: Zeroizing::new(lines.next().unwrap_or_default().to_vec()),
    };
    let mut redactor = Redactor::new();
    redactor.add(&Secret::new(SECRET.to_owned()));
    let sent = Wall::new(Duration::from_secs(1_700_000_000));
    for personal in [false, true] {
        match read(&raw, personal, sent, &redactor) {
            Ok(answer) => {
                assert!((200..300).contains(&raw.status));
                assert!(!answer.access_token.expose().is_empty());
                assert!(answer.life.is_none_or(|life| life > Duration::ZERO));
            }
            Err(failure) => {
                assert!(!failure.what.contains(SECRET), "a secret is repeated");
                assert!(
                    !failure.what.contains(['\n', '\r', '\u{1b}']),
                    "{:?}",
                    failure.what
                );
                assert!(failure.what.len() < 4096);
                assert!(failure.retry_after.is_none_or(|p| p <= LONGEST_PAUSE));
            }
        }
    }
}
