//! A caller that begins with HTTP/2, which is not served: told so in its own
//! words, for it would read no others.

use hyper::rt::Write;
use std::future::poll_fn;
use std::pin::Pin;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Empty SETTINGS, which come first, then GOAWAY with `HTTP_1_1_REQUIRED`
/// (RFC 9113, 3.4, 6.8 and 7): nothing has been looked at, all may be sent again.
const REFUSAL: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x1d\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d\
    HTTP/1.1 only, please";

/// Answers a connection that hyper has given up, if that was the reason.
pub async fn refuse<W: Write + Unpin>(io: &mut W, read: &[u8]) {
    if !read.starts_with(PREFACE) {
        return;
    }
    let mut left = REFUSAL;
    while !left.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, left)).await {
            Ok(written) if written > 0 => left = &left[written..],
            _ => return,
        }
    }
    // The caller is gone, then.
    let _ = poll_fn(|cx| Pin::new(&mut *io).poll_shutdown(cx)).await;
}

#[cfg(test)]
mod tests {
    use super::REFUSAL;

    #[test]
    fn the_frames_are_as_long_as_they_say() {
        let (settings, goaway) = REFUSAL.split_at(9);
        assert_eq!(settings[..4], [0, 0, 0, 4]);
        assert_eq!(usize::from(goaway[2]), goaway.len() - 9);
        assert_eq!(goaway[13..17], [0, 0, 0, 0x0d]);
    }
}
