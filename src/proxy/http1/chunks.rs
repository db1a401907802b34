//! A body in chunks (RFC 9112, 7.1), decoded as it comes.
//!
//! Lines end with CR LF and with nothing else: what another reader could take for
//! the end of a line, or of the body, is an error.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::ops::Range;

/// What of a body may be neither size nor content, in bytes: extensions, white
/// space and leading zeros, of all of its chunks together.
const MOST_OVERHEAD: usize = 16 * 1024;
/// What trailers may have where nobody says otherwise, in bytes, their line ends included.
const MOST_TRAILERS: usize = 16 * 1024;
/// And in fields.
const MOST_FIELDS: usize = 100;

/// The decoder of one body; it keeps no content.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    /// Of a size line: the size so far. Within a chunk: what is left of it.
    left: u64,
    overhead: usize,
    /// The trailers so far, their line ends included.
    trailers: Vec<u8>,
    /// Their bytes and fields at most.
    most: (usize, usize),
}

/// What a decoder makes of its input.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// All of the input is used, and the body goes on.
    More,
    /// This part of the input is content, never an empty one; the input is used
    /// up to its end.
    Data(Range<usize>),
    /// The body has ended; this much of the input was used.
    End(usize, Option<HeaderMap>),
}

/// Why a body is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// The line of a chunk's size.
    Size,
    /// What follows a chunk's content is no line end.
    LineEnd,
    /// Extensions that are too long, or hold what may not be there.
    Extensions,
    /// Trailers that are malformed, too long or too many.
    Trailers,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "a chunk's size is malformed",
            Self::LineEnd => "a chunk is longer or shorter than its size",
            Self::Extensions => "chunk extensions are malformed or too long",
            Self::Trailers => "the trailers are malformed or too long",
        })
    }
}

impl std::error::Error for ChunkError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    Start,
    Size,
    /// White space behind a size, before an extension or the line's end.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line of trailers.
    Line,
    Trailer,
    TrailerLf,
    /// In the line end that ends the body.
    EndLf,
    Ended,
}

impl Default for Chunks {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunks {
    #[must_use]
    pub fn new() -> Self {
        Self::with_trailers(MOST_TRAILERS, MOST_FIELDS)
    }

    /// Of a body whose trailers may have this many bytes and fields.
    #[must_use]
    pub fn with_trailers(bytes: usize, fields: usize) -> Self {
        Self {
            state: State::Start,
            left: 0,
            overhead: 0,
            trailers: Vec::new(),
            most: (bytes, fields),
        }
    }

    #[cfg(test)]
    /// How much content is still to come for sure, in bytes.
    #[must_use]
    pub fn left(&self) -> u64 {
        match self.state {
            State::Data => self.left,
            _ => 0,
        }
    }

    #[cfg(test)]
    /// True behind the body's end.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Goes through the input up to the end of the next content in it.
    ///
    /// # Errors
    /// When it is no body in chunks, or one with too much beside its content.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, ChunkError> {
        let mut at = 0;
        while let Some(byte) = input.get(at) {
            match self.state {
                State::Data => return Ok(self.content(at..input.len())),
                State::Ended => return Ok(Decoded::End(at, None)),
                _ => self.step(*byte)?,
            }
            at += 1;
            if self.state == State::Ended {
                return Ok(Decoded::End(at, self.take_trailers()?));
            }
        }
        Ok(Decoded::More)
    }

    fn content(&mut self, here: Range<usize>) -> Decoded {
        let length = usize::try_from(self.left).map_or(here.len(), |left| left.min(here.len()));
        self.left -= length as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        Decoded::Data(here.start..here.start + length)
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::Start | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digit(byte)?
            }
            (State::Size | State::Space | State::Extension, b'\r') => State::SizeLf,
            (State::Size | State::Space, b' ' | b'\t') => self.passed(State::Space)?,
            (State::Size | State::Space, b';') => self.passed(State::Extension)?,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.passed(State::Extension)?,
            (State::Extension, _) => return Err(ChunkError::Extensions),
            (State::SizeLf, b'\n') if self.left == 0 => State::Line,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Start,
            (State::DataCr | State::DataLf, _) => return Err(ChunkError::LineEnd),
            (State::Line, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Ended,
            (State::Line | State::Trailer | State::TrailerLf | State::EndLf, _) => {
                self.trailer(byte)?
            }
            _ => return Err(ChunkError::Size),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<State, ChunkError> {
        if self.left == 0 && self.state == State::Size {
            self.passed(State::Size)?;
        }
        let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Size)?;
        let shifted = self.left.checked_mul(16).ok_or(ChunkError::Size)?;
        self.left = shifted | u64::from(digit);
        Ok(State::Size)
    }

    /// Counts a byte that says nothing.
    fn passed(&mut self, next: State) -> Result<State, ChunkError> {
        self.overhead += 1;
        match self.overhead <= MOST_OVERHEAD {
            true => Ok(next),
            false => Err(ChunkError::Extensions),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, ChunkError> {
        let next = match (self.state, byte) {
            (State::Line | State::Trailer, b'\n') | (State::EndLf, _) => None,
            (State::Trailer, b'\r') => Some(State::TrailerLf),
            (State::Line | State::Trailer, _) => Some(State::Trailer),
            (State::TrailerLf, b'\n') => Some(State::Line),
            _ => None,
        };
        let next = next.filter(|_| self.trailers.len() < self.most.0);
        self.trailers.push(byte);
        next.ok_or(ChunkError::Trailers)
    }

    fn take_trailers(&mut self) -> Result<Option<HeaderMap>, ChunkError> {
        if self.trailers.is_empty() {
            return Ok(None);
        }
        let mut lines = std::mem::take(&mut self.trailers);
        lines.extend_from_slice(b"\r\n");
        fields(&lines, self.most.1)
            .map(Some)
            .ok_or(ChunkError::Trailers)
    }
}

fn fields(lines: &[u8], most: usize) -> Option<HeaderMap> {
    let count = memchr::memchr_iter(b'\n', lines).count().min(most);
    let mut fields = vec![httparse::EMPTY_HEADER; count];
    let parsed = httparse::parse_headers(lines, &mut fields).ok()?;
    let httparse::Status::Complete((length, fields)) = parsed else {
        return None;
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        trailers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    (length == lines.len()).then_some(trailers)
}

#[cfg(test)]
mod tests {
    use super::{ChunkError, Chunks, Decoded, MOST_FIELDS, MOST_OVERHEAD, MOST_TRAILERS};
    use http::HeaderMap;
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    /// What is decoded of pieces: content, trailers, and what is left behind the end.
    type Body = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    fn decoded(pieces: &[&[u8]]) -> Result<Option<Body>, ChunkError> {
        let (mut chunks, mut content) = (Chunks::new(), Vec::new());
        let mut pieces = pieces.iter();
        while let Some(piece) = pieces.next() {
            let mut piece = *piece;
            while !piece.is_empty() {
                match chunks.decode(piece)? {
                    Decoded::More => break,
                    Decoded::Data(range) => {
                        assert!(!range.is_empty());
                        content.extend_from_slice(&piece[range.clone()]);
                        piece = &piece[range.end..];
                    }
                    Decoded::End(used, trailers) => {
                        assert!(chunks.is_ended());
                        let mut rest = piece[used..].to_vec();
                        rest.extend(pieces.by_ref().flat_map(|piece| piece.iter()));
                        return Ok(Some((content, trailers, rest)));
                    }
                }
            }
        }
        assert!(!chunks.is_ended());
        Ok(None)
    }

    fn in_pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            let (piece, rest) = bytes.split_at(bytes.len().min(*cut));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }

    proptest! {
        /// However it is cut, a body is what was put into it, and ends where it ends.
        #[test]
        fn bodies_come_whole(
            contents in vec(vec(any::<u8>(), 1..300), 0..5),
            zeros in 0..4_usize,
            trailers in 0..4_usize,
            cuts in vec(1..64_usize, 1..6),
        ) {
            let mut bytes = Vec::new();
            for content in &contents {
                let line = format!("{:0zeros$}{:x} ;a=\"b\"\r\n", 0, content.len());
                bytes.extend_from_slice(line.as_bytes());
                bytes.extend_from_slice(content);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n");
            for number in 0..trailers {
                bytes.extend_from_slice(format!("X-{number}: a\r\n").as_bytes());
            }
            bytes.extend_from_slice(b"\r\nGET");
            let (content, found, rest) = decoded(&in_pieces(&bytes, &cuts)).unwrap().unwrap();
            assert_eq!(content, contents.concat());
            assert_eq!(found.map_or(0, |found| found.len()), trailers);
            assert_eq!(rest, b"GET");
        }

        /// Nothing depends on where the input is cut, errors included.
        #[test]
        fn cuts_change_nothing(
            bytes in vec(proptest::sample::select(b"012aF;x: \t\r\n\0-".to_vec()), 0..40),
            cuts in vec(1..5_usize, 1..6),
        ) {
            assert_eq!(decoded(&[&bytes]), decoded(&in_pieces(&bytes, &cuts)));
        }

        #[test]
        fn noise_never_panics(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decoded(&[&bytes]);
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_an_error() {
        for bad in [
            "-1\r\n",
            "+2\r\n",
            "0x2\r\n",
            "\r\n",
            "xyz\r\n",
            " 2\r\n",
            "0 2\r\n",
            "2\0\r\n",
            "2\x0b\r\n",
            "2\n",
            "2\r2",
            "10000000000000000\r\n",
            "2\r\nabcd",
            "2\r\nab\n",
            "2\r\nab\ra",
            "2\r\nabXY0",
            "0\n",
            "2;a\n",
            "2;a\rb",
            "2;\0\r\n",
            "0\r\n\n",
            "0\r\n\r\r",
            "0\r\nX-A: b\n",
            "0\r\nX-A: b\rc",
            "0\r\nX-A : b\r\n\r\n",
            "0\r\nX-A: \0\r\n\r\n",
            "0\r\nnonsense\r\n\r\n",
            "0\r\nA: b\r\n c\r\n\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\n A: b\r\n\r\n",
        ] {
            assert!(decoded(&[bad.as_bytes()]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_size_may_have_zeros_before_and_space_behind() {
        let many = format!("{}2 \t\r\nab\r\n0\r\n\r\n", "0".repeat(100));
        let (content, trailers, _) = decoded(&[many.as_bytes()]).unwrap().unwrap();
        assert_eq!((&content[..], trailers), (&b"ab"[..], None));
        let mut chunks = Chunks::new();
        assert_eq!(chunks.decode(b"ffffffffffffffff\r\n"), Ok(Decoded::More));
        assert_eq!(chunks.left(), u64::MAX);
    }

    #[test]
    fn what_is_no_content_is_bounded() {
        let extended = |length: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(length));
        assert!(decoded(&[extended(MOST_OVERHEAD - 1).as_bytes()]).is_ok());
        assert_eq!(
            decoded(&[extended(MOST_OVERHEAD).as_bytes()]),
            Err(ChunkError::Extensions)
        );
        let small = "1;abcdefghijklmnop\r\na\r\n".repeat(MOST_OVERHEAD / 16);
        assert_eq!(decoded(&[small.as_bytes()]), Err(ChunkError::Extensions));
        let long = format!("0\r\nA: {}\r\n\r\n", "b".repeat(MOST_TRAILERS));
        assert_eq!(decoded(&[long.as_bytes()]), Err(ChunkError::Trailers));
        let many = |count: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(decoded(&[many(MOST_FIELDS).as_bytes()]).unwrap().is_some());
        assert_eq!(
            decoded(&[many(MOST_FIELDS + 1).as_bytes()]),
            Err(ChunkError::Trailers)
        );
    }
}
