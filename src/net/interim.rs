//! Answers before the answer (1xx) on a connection of HTTP/1.1. hyper passes over
//! them, and telling it to tell would cost each request an allocation; so they
//! are looked for where bytes come in, while a head is awaited.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// So many are remembered for one answer.
const MOST: usize = 64;

const BEGINNING: &[u8] = b"HTTP/1.1 1";

/// What has come before the answer that is awaited; clones are the same.
#[derive(Clone, Default)]
pub struct Interim(Rc<Inner>);

#[derive(Default)]
struct Inner {
    awaits: Cell<bool>,
    seen: RefCell<Vec<u16>>,
}

impl Interim {
    /// A request is sent: the next bytes are the head of an answer.
    pub fn await_head(&self) {
        self.0.awaits.set(true);
    }

    /// The answer is here; gives the statuses that came before it.
    #[must_use]
    pub fn answered(&self) -> Vec<u16> {
        self.0.awaits.set(false);
        self.0.seen.take()
    }

    /// Looks at what was read at once. A head whose first line comes in pieces
    /// is missed.
    pub(super) fn hear(&self, bytes: &[u8]) {
        if self.0.awaits.get() && bytes.starts_with(BEGINNING) {
            self.note(bytes);
        }
    }

    #[cold]
    fn note(&self, mut bytes: &[u8]) {
        let mut seen = self.0.seen.borrow_mut();
        while let Some(rest) = bytes.strip_prefix(BEGINNING)
            && let Some([tens @ b'0'..=b'9', ones @ b'0'..=b'9']) = rest.get(..2)
            && seen.len() < MOST
        {
            seen.push(100 + u16::from(tens - b'0') * 10 + u16::from(ones - b'0'));
            let end = memchr::memmem::find(rest, b"\r\n\r\n");
            bytes = end.map_or(&[], |end| &rest[end + 4..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Interim, MOST};

    #[test]
    fn each_is_heard_while_a_head_is_awaited() {
        let interim = Interim::default();
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        interim.hear(hint.as_bytes());
        assert!(interim.answered().is_empty(), "nobody has asked");
        interim.await_head();
        interim
            .hear(format!("{hint}HTTP/1.1 102 P\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{hint}").as_bytes());
        assert_eq!(interim.answered(), [103, 102]);
        interim.hear(hint.as_bytes());
        assert!(interim.answered().is_empty(), "that was a body");
    }

    #[test]
    fn what_is_cut_or_is_none_is_no_panic() {
        let all = b"HTTP/1.1 103 A\r\n\r\nHTTP/1.1 1x3\r\n\r\n";
        for end in 0..=all.len() {
            let interim = Interim::default();
            interim.await_head();
            interim.hear(&all[..end]);
            assert_eq!(interim.answered().len(), usize::from(end >= 12), "{end}");
        }
        let interim = Interim::default();
        interim.await_head();
        interim.hear("HTTP/1.1 100 \r\n\r\n".repeat(1000).as_bytes());
        assert_eq!(interim.answered().len(), MOST);
    }
}
