//! A caller that begins with HTTP/2, without a word before (RFC 9113, 3.3).
//!
//! Nobody looks for it: it can't be read as HTTP/1.1, and only then is it clear
//! what has come.

use super::http1::caller::{Fault, Wire, bare_answer};
use super::refusal::Refusal;
use super::worker::Worker;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a last word may take that the caller does not read.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Looks at what is no head. True for HTTP/2, which is to be served as such;
/// anything else is told so, which ends the connection.
pub async fn look(worker: &Worker, wire: &Wire, fault: Fault) -> bool {
    let connection = &wire.connection;
    let mut words = bare_answer(fault.status());
    if wire.look(begins) {
        let begun = connection.is_unheard();
        if begun && comes_whole(wire).await {
            connection.speak_http2();
            return true;
        }
        if !begun {
            let refusal = "HTTP/2 begins with its connection, and not behind another request";
            words = Refusal::bad_request(refusal).into_bytes();
        }
    }
    let _ = worker.deadlines.within(REFUSAL_TIME, wire.say(words)).await;
    false
}

/// True for the preface, or the beginning of it.
fn begins(read: &[u8]) -> bool {
    let length = read.len().min(PREFACE.len());
    !read.is_empty() && read[..length] == PREFACE[..length]
}

/// Reads on until the preface is here; false when it is none after all, or
/// when the connection is to be closed before.
async fn comes_whole(wire: &Wire) -> bool {
    wire.begins_head();
    while wire.look(<[u8]>::len) < PREFACE.len() {
        let more = poll_fn(|cx| {
            wire.connection.wake_with(cx);
            match wire.connection.is_closing() {
                true => Poll::Ready(false),
                false => wire.poll_more(cx),
            }
        });
        if !more.await || !wire.look(begins) {
            return false;
        }
    }
    true
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
