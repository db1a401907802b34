//! The head of a request (RFC 9112, 2 to 6): what it says, and how its body is framed.

use crate::proxy::hop::has_word;
use crate::proxy::http1::framing::{number, value};
use crate::proxy::http1::scratch;
use crate::proxy::http1::spelled::Spelled;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
};
use http::{Extensions, Method, Request, StatusCode, Uri, Version, request};
use httparse::{Header, Status};
use std::mem::MaybeUninit;

/// What a head may have.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Bytes, its empty line included.
    pub bytes: usize,
    pub fields: usize,
}

/// Why what came is no head that is answered otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Malformed,
    TargetTooLong,
    TooLarge,
}

impl Fault {
    /// The status of the bare answer to it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Nothing,
    /// Of so many bytes, at least one.
    Length(u64),
    Chunks,
}

/// What of a request decides how it is answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    pub is_http10: bool,
    pub is_head: bool,
    pub is_connect: bool,
    /// The connection may go on behind it.
    pub keep_alive: bool,
    /// `TE: trailers`
    pub wants_trailers: bool,
    /// It waits for a 100 before it sends its body.
    pub expects: bool,
    /// Names of the answer's fields are spelt as they came, or with capitals.
    pub spells: bool,
}

/// A head, in memory that each of a connection's requests has in its turn.
#[derive(Debug)]
pub struct Head {
    pub parts: request::Parts,
    pub framing: Framing,
    pub asked: Asked,
}

impl Head {
    /// One that says nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            parts: Request::new(()).into_parts().0,
            framing: Framing::Nothing,
            asked: Asked::default(),
        }
    }

    /// Nothing that came is kept any longer; the room for fields is, if it is not much.
    pub fn forget(&mut self) {
        match self.parts.headers.capacity() > scratch::MOST_FIELDS {
            true => self.parts.headers = HeaderMap::new(),
            false => self.parts.headers.clear(),
        }
        self.parts.method = Method::GET;
        self.parts.uri = Uri::default();
        self.parts.extensions = Extensions::new();
    }
}

/// As many fields are looked for without a further allocation.
const FEW: usize = 128;
/// Room for fields that are added on the way to the upstream.
const OURS: usize = 4;
/// What a URI may have at all, by its type.
const MOST_TARGET: usize = u16::MAX as usize - 1;
/// Lengths that could not be counted with.
const MOST_LENGTH: u64 = u64::MAX - 2;

/// Reads the head at the beginning of `bytes` into `head`, of which nothing is left of
/// another one; gives its length, or `None` where it is not whole. `spells`: notes how
/// names are spelt.
///
/// # Errors
/// When it can be none.
pub fn parse(
    bytes: &[u8],
    most: Most,
    spells: bool,
    head: &mut Head,
) -> Result<Option<usize>, Fault> {
    if most.fields <= FEW {
        let mut space = [const { MaybeUninit::uninit() }; FEW];
        return parse_in(bytes, most, spells, head, &mut space[..most.fields]);
    }
    let mut space = vec![MaybeUninit::uninit(); most.fields.min(bytes.len())];
    parse_in(bytes, most, spells, head, &mut space)
}

fn parse_in<'b>(
    bytes: &'b [u8],
    most: Most,
    spells: bool,
    head: &mut Head,
    space: &mut [MaybeUninit<Header<'b>>],
) -> Result<Option<usize>, Fault> {
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(bytes, space) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooLarge),
        Err(_) => return Err(Fault::Malformed),
    };
    if length > most.bytes {
        return Err(Fault::TooLarge);
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Fault::Malformed);
    };
    if target.len() > MOST_TARGET {
        return Err(Fault::TargetTooLong);
    }
    let copy = Copied {
        bytes: Bytes::copy_from_slice(&bytes[..length]),
        original: bytes,
    };
    let parts = &mut head.parts;
    parts.method = Method::from_bytes(method.as_bytes()).map_err(|_| Fault::Malformed)?;
    let target = Uri::from_maybe_shared(copy.of(target.as_bytes()));
    parts.uri = target.map_err(|_| Fault::Malformed)?;
    let is_http10 = version == 0;
    let mut noted = Noted::new(is_http10);
    parts.headers.reserve(parsed.headers.len() + OURS);
    let mut names = Vec::new();
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::Malformed)?;
        // SAFETY: the parser has found it.
        let value = unsafe { value(copy.of(field.value)) };
        let value = value.map_err(|_| Fault::Malformed)?;
        if spells {
            names.push((name.clone(), copy.of(field.name.as_bytes())));
        }
        if noted.takes(&name, &value, &mut parts.headers)? {
            let added = parts.headers.try_append(name, value);
            added.map_err(|_| Fault::TooLarge)?;
        }
    }
    if spells {
        parts.extensions.insert(Spelled::new(names));
    }
    head.framing = noted.framing()?;
    parts.version = match is_http10 {
        true => Version::HTTP_10,
        false => Version::HTTP_11,
    };
    head.asked = Asked {
        is_http10,
        is_head: parts.method == Method::HEAD,
        is_connect: parts.method == Method::CONNECT,
        // An old proxy may pass on what its own caller has said (RFC 9112, 9.3).
        keep_alive: noted.keep_alive && !(is_http10 && parts.uri.authority().is_some()),
        wants_trailers: noted.wants_trailers,
        expects: noted.expects && !is_http10 && head.framing != Framing::Nothing,
        spells,
    };
    Ok(Some(length))
}

/// The one copy of a head, of which names and values are parts.
struct Copied<'b> {
    bytes: Bytes,
    original: &'b [u8],
}

impl Copied<'_> {
    /// The same part as this one of the original.
    fn of(&self, part: &[u8]) -> Bytes {
        // Wherever that is.
        if part.is_empty() {
            return Bytes::new();
        }
        let start = part.as_ptr() as usize - self.original.as_ptr() as usize;
        self.bytes.slice(start..start + part.len())
    }
}

/// What the fields that frame a request say, one by one.
struct Noted {
    is_http10: bool,
    length: Option<u64>,
    has_length: bool,
    has_coding: bool,
    is_chunked: bool,
    keep_alive: bool,
    closes: bool,
    expects: bool,
    wants_trailers: bool,
}

impl Noted {
    fn new(is_http10: bool) -> Self {
        Self {
            is_http10,
            length: None,
            has_length: false,
            has_coding: false,
            is_chunked: false,
            keep_alive: !is_http10,
            closes: false,
            expects: false,
            wants_trailers: false,
        }
    }

    /// Takes note of a field; false where it does not belong among those that go on.
    fn takes(
        &mut self,
        name: &HeaderName,
        value: &HeaderValue,
        headers: &mut HeaderMap,
    ) -> Result<bool, Fault> {
        match *name {
            TRANSFER_ENCODING => {
                if self.is_http10 {
                    return Err(Fault::Malformed);
                }
                self.has_coding = true;
                if self.length.take().is_some() {
                    // It overrides the length (RFC 9112, 6.3).
                    headers.remove(CONTENT_LENGTH);
                }
                self.is_chunked = ends_in_chunked(value);
            }
            CONTENT_LENGTH => return self.takes_length(value),
            CONNECTION => {
                self.closes |= has_word(value, b"close");
                self.keep_alive |= has_word(value, b"keep-alive");
                self.keep_alive &= !self.closes;
            }
            EXPECT => self.expects = value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
            TE => self.wants_trailers |= has_word(value, b"trailers"),
            _ => {}
        }
        Ok(true)
    }

    fn takes_length(&mut self, value: &HeaderValue) -> Result<bool, Fault> {
        self.has_length = true;
        if self.has_coding {
            return Ok(false);
        }
        let length = number(value.as_bytes()).ok_or(Fault::Malformed)?;
        if length > MOST_LENGTH {
            return Err(Fault::TooLarge);
        }
        match self.length.replace(length) {
            None => Ok(true),
            Some(before) if before == length => Ok(false),
            Some(_) => Err(Fault::Malformed),
        }
    }

    fn framing(&mut self) -> Result<Framing, Fault> {
        if !self.has_coding {
            let length = self.length.filter(|length| *length > 0);
            return Ok(length.map_or(Framing::Nothing, Framing::Length));
        }
        // Two framings at once: what follows may be anything.
        self.keep_alive &= !self.has_length;
        match self.is_chunked {
            true => Ok(Framing::Chunks),
            false => Err(Fault::Malformed),
        }
    }
}

/// The last coding of a list; what comes before it is looked at with the request.
fn ends_in_chunked(codings: &HeaderValue) -> bool {
    let last = codings.as_bytes().rsplit(|byte| *byte == b',').next();
    last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

#[cfg(test)]
mod tests;
