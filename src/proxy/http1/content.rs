//! How far the content of a message reaches (RFC 9112, 6.3), as it is read.

use super::chunks::{Chunks, Decoded};
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

/// Content that has not been read to its end.
pub enum Content {
    /// So many bytes more.
    Length(u64),
    Chunked(Box<Chunks>),
    /// Until the connection ends.
    UntilTheEnd,
    /// It has been read.
    Ended,
}

/// It is not what its framing has it.
#[derive(Debug)]
pub struct Broken;

/// What content has of the bytes that have come.
pub enum Piece {
    Frame(Frame<Bytes>),
    End,
    /// More of it must come first.
    More,
}

impl Content {
    #[must_use]
    pub fn none() -> Self {
        Self::Ended
    }

    #[must_use]
    pub fn of_length(length: u64) -> Self {
        match length {
            0 => Self::Ended,
            length => Self::Length(length),
        }
    }

    #[must_use]
    pub fn chunked() -> Self {
        Self::Chunked(Box::default())
    }

    #[must_use]
    pub fn until_the_end() -> Self {
        Self::UntilTheEnd
    }

    /// True where what follows it can be told from it.
    #[must_use]
    pub fn is_framed(&self) -> bool {
        !matches!(self, Self::UntilTheEnd)
    }

    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Ended => SizeHint::with_exact(0),
            Self::Chunked(_) | Self::UntilTheEnd => SizeHint::default(),
        }
    }

    /// The most that is worth reading at once.
    #[must_use]
    pub fn wants(&self) -> usize {
        match self {
            Self::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            _ => usize::MAX,
        }
    }

    /// Takes the next piece out of what has come.
    ///
    /// # Errors
    /// When the framing is broken.
    pub fn take(&mut self, come: &mut Bytes) -> Result<Piece, Broken> {
        match self {
            Self::Ended => Ok(Piece::End),
            Self::Length(_) | Self::UntilTheEnd if come.is_empty() => Ok(Piece::More),
            Self::UntilTheEnd => Ok(Piece::Frame(Frame::data(std::mem::take(come)))),
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(come.len());
                let data = match here == come.len() {
                    true => std::mem::take(come),
                    false => come.split_to(here),
                };
                *self = Self::of_length(*left - here as u64);
                Ok(Piece::Frame(Frame::data(data)))
            }
            Self::Chunked(chunks) => {
                let decoded = chunks.decode(come).map_err(|_| Broken)?;
                Ok(self.decoded(decoded, come))
            }
        }
    }

    fn decoded(&mut self, decoded: Decoded, come: &mut Bytes) -> Piece {
        match decoded {
            Decoded::More => {
                come.clear();
                Piece::More
            }
            Decoded::Data(data) => {
                come.advance(data.start);
                Piece::Frame(Frame::data(come.split_to(data.len())))
            }
            Decoded::End(used, trailers) => {
                come.advance(used);
                if come.is_empty() {
                    // The memory that it was read into is not held by an idle connection.
                    *come = Bytes::new();
                }
                *self = Self::Ended;
                trailers.map_or(Piece::End, |trailers| {
                    Piece::Frame(Frame::trailers(trailers))
                })
            }
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// When that is not the content's end.
    pub fn ends(&mut self) -> Result<(), Broken> {
        match self {
            Self::Ended | Self::UntilTheEnd => {
                *self = Self::Ended;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(Broken),
        }
    }
}
