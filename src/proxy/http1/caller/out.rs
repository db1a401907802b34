//! What is to be written to a caller: a head, and pieces of a body. Small ones are
//! copied behind each other and go out at once, large ones go from where they are.

use super::answer::{self, Framing};
use crate::proxy::http1::outflow::Outflow;
use bytes::Bytes;
use http::HeaderMap;
use std::io::Write;

const LINE_END: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const LAST_CHUNK_BEHIND: &[u8] = b"\r\n0\r\n\r\n";

/// An answer's bytes.
pub struct Out {
    pub flow: Outflow,
    /// Whether pieces may go out where they are.
    is_vectored: bool,
}

impl Out {
    #[must_use]
    pub fn new(is_vectored: bool) -> Self {
        Self {
            flow: Outflow::default(),
            is_vectored,
        }
    }

    /// Adds a piece of the body, which is the `last` one or not; false where the
    /// body is longer, or shorter, than its head has said. Not while it is full.
    pub fn push(&mut self, mut piece: Bytes, framing: &mut Framing, last: bool) -> bool {
        match framing {
            Framing::Length(left) => {
                let fits = piece.len() as u64 <= *left;
                if !fits {
                    // No further, whatever it says: the rest would be another answer.
                    piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                }
                *left -= piece.len() as u64;
                self.add(piece, b"");
                fits && (!last || *left == 0)
            }
            Framing::ToTheEnd => {
                self.add(piece, b"");
                true
            }
            Framing::Chunks(_) if piece.is_empty() => {
                if last {
                    self.flow.buffer().extend_from_slice(LAST_CHUNK);
                }
                true
            }
            Framing::Chunks(_) => {
                // Nothing fails that is written to memory.
                let _ = write!(self.flow.buffer(), "{:X}\r\n", piece.len());
                self.add(piece, if last { LAST_CHUNK_BEHIND } else { LINE_END });
                true
            }
        }
    }

    /// Ends a body in chunks with its trailers.
    pub fn push_trailers(&mut self, trailers: &HeaderMap, framing: &Framing, spells: bool) {
        if let Framing::Chunks(named) = framing {
            answer::put_trailers(self.flow.buffer(), trailers, named, spells);
        }
    }

    fn add(&mut self, piece: Bytes, behind: &'static [u8]) {
        match self.is_vectored {
            true => self.flow.put(piece, behind),
            false => self.flow.copy(&piece, behind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Out;
    use crate::proxy::http1::caller::answer::Framing;
    use crate::proxy::http1::chunks::{Chunks, Decoded};
    use crate::proxy::http1::outflow::tests::Slow;
    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};
    use std::task::{Context, Waker};

    fn sent(pieces: &[Vec<u8>], mut framing: Framing, vectored: bool, takes: &[usize]) -> Vec<u8> {
        let mut out = Out::new(vectored);
        let takes = takes.to_vec();
        let mut to = Slow {
            takes,
            ..Slow::default()
        };
        let mut cx = Context::from_waker(Waker::noop());
        for (number, piece) in pieces.iter().enumerate() {
            let last = number + 1 == pieces.len();
            assert!(out.push(Bytes::from(piece.clone()), &mut framing, last));
            while !out.flow.has_room() || last && !out.flow.is_empty() {
                let _ = out.flow.poll_write(&mut to, &mut cx);
            }
        }
        to.out
    }

    proptest! {
        /// However little is taken at a time, everything goes out in its order.
        #[test]
        fn all_goes_out(
            lengths in vec(1..24 * 1024_usize, 1..5),
            taken in vec(1..8 * 1024_usize, 0..5),
            vectored in any::<bool>(),
        ) {
            let pieces: Vec<Vec<u8>> = lengths.iter().enumerate()
                .map(|(number, length)| vec![number as u8; *length]).collect();
            let whole = pieces.concat();
            let length = Framing::Length(whole.len() as u64);
            assert_eq!(sent(&pieces, length, vectored, &taken), whole);
            let chunked = sent(&pieces, Framing::Chunks(vec![]), vectored, &taken);
            let (mut chunks, mut at, mut content) = (Chunks::new(), 0, Vec::new());
            loop {
                match chunks.decode(&chunked[at..]).unwrap() {
                    Decoded::Data(range) => {
                        content.extend_from_slice(&chunked[at..][range.clone()]);
                        at += range.end;
                    }
                    Decoded::End(used, None) => break assert_eq!(at + used, chunked.len()),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(content, whole);
        }
    }

    #[test]
    fn no_more_goes_out_than_was_said_and_less_is_noticed() {
        let mut out = Out::new(true);
        let mut framing = Framing::Length(3);
        assert!(!out.push(Bytes::from_static(b"abcd"), &mut framing, false));
        assert_eq!(out.flow.buffer(), b"abc");
        let mut framing = Framing::Length(3);
        assert!(!out.push(Bytes::from_static(b"ab"), &mut framing, true));
    }
}
