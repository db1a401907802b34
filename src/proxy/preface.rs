//! A caller that begins with HTTP/2, without a word before (RFC 9113, 3.3).
//!
//! Nobody looks for it: hyper fails to read it as HTTP/1.1, and what it would
//! answer is held back until it is clear what has come.

use super::accept::Watched;
use super::refusal::Refusal;
use super::worker::Worker;
use bytes::{Bytes, BytesMut};
use hyper::rt::{Read, ReadBuf, Write};
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a last word may take that the caller does not read.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Looks at what hyper gave up. What is HTTP/2 comes back, to be served as
/// such; anything else is told what hyper would have said.
pub async fn look(worker: &Worker, mut io: Watched) -> Option<Watched> {
    if begins(&io.rest) {
        let begun = io.connection.is_unheard();
        if begun && comes_whole(&mut io).await {
            io.connection.speak_http2();
            return Some(io);
        }
        if !begun {
            let refusal = "HTTP/2 begins with its connection, and not behind another request";
            io.last_word = Refusal::bad_request(refusal).into_bytes();
        }
    }
    let _ = worker.deadlines.within(REFUSAL_TIME, say(io)).await;
    None
}

/// True for the preface, or the beginning of it.
fn begins(read: &[u8]) -> bool {
    let length = read.len().min(PREFACE.len());
    !read.is_empty() && read[..length] == PREFACE[..length]
}

/// Reads on until the preface is here; false when it is none after all, or
/// when the connection is to be closed before.
async fn comes_whole(io: &mut Watched) -> bool {
    while io.rest.len() < PREFACE.len() {
        let more = poll_fn(|cx| {
            io.connection.wake_with(cx);
            if io.connection.is_closing() {
                return Poll::Ready(None);
            }
            let mut space = [MaybeUninit::uninit(); PREFACE.len()];
            let mut some = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut io.stream).poll_read(cx, some.unfilled())) {
                Ok(()) if !some.filled().is_empty() => {
                    Poll::Ready(Some(Bytes::copy_from_slice(some.filled())))
                }
                _ => Poll::Ready(None),
            }
        });
        let Some(more) = more.await else { return false };
        let mut rest = BytesMut::from(&*io.rest);
        rest.extend_from_slice(&more);
        io.rest = rest.freeze();
        if !begins(&io.rest) {
            return false;
        }
    }
    true
}

/// Says the last word, and ends the connection.
async fn say(mut io: Watched) {
    let mut left = &*io.last_word;
    if left.is_empty() {
        return;
    }
    let stream = &mut io.stream;
    while !left.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, left)).await {
            Ok(written) if written > 0 => left = &left[written..],
            _ => return,
        }
    }
    // The caller is gone where one of these fails.
    let _ = poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await;
    let _ = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await;
}

#[cfg(test)]
mod tests {
    use super::{PREFACE, begins};

    #[test]
    fn every_beginning_of_the_preface_is_one_and_nothing_else() {
        for length in 1..=PREFACE.len() {
            assert!(begins(&PREFACE[..length]));
            let mut other = PREFACE[..length].to_vec();
            *other.last_mut().unwrap() ^= 1;
            assert!(!begins(&other));
        }
        assert!(begins(&[PREFACE, b"\0\0\0\x04"].concat()));
        assert!(!begins(b""));
        assert!(!begins(b"PRI * HTTP/1.1\r\n"));
    }
}
