//! The head of an upstream's answer (RFC 9112, 4 and 5), and what it says of the
//! content behind it (6.3).

use super::content::Content;
use super::framing::{number, value};
use super::scratch;
use super::spelled::Spelled;
use crate::proxy::hop::has_word;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Response, StatusCode, Version, response};
use hyper::ext::ReasonPhrase;

/// Fields that a head may have.
const MOST_FIELDS: usize = 100;
/// Bytes that a head may have.
pub const LONGEST: usize = 256 * 1024;

/// An answer whose content has not been read.
pub struct Answer {
    pub head: response::Parts,
    pub content: Content,
    /// Another request may follow on the connection.
    pub keeps_alive: bool,
}

/// What is no answer of HTTP/1.1, or can be read in two ways.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// What the bytes so far are.
pub enum Parsed {
    /// The beginning of a head.
    Partial,
    /// One that comes before the answer, 100 to 199 but for 101 (RFC 9110, 15.2).
    Interim(StatusCode),
    Answer(Answer),
}

/// Reads a head; takes it from `bytes` when it is whole. `of_head`: the answer
/// to HEAD has no content. `spells`: notes how names are spelt.
///
/// # Errors
/// When it can't become one.
pub fn parse(bytes: &mut Bytes, of_head: bool, spells: bool) -> Result<Parsed, Malformed> {
    // No empty line comes before it: that is a caller's to send (2.2).
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return Err(Malformed);
    }
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; MOST_FIELDS];
    let mut found = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut found, bytes, &mut fields)
        .map_err(|_| Malformed)?;
    let httparse::Status::Complete(length) = status else {
        return match bytes.len() > LONGEST {
            true => Err(Malformed),
            false => Ok(Parsed::Partial),
        };
    };
    let status = found.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Malformed)?;
    let is_interim = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
    if is_interim {
        *bytes = bytes.slice(length..);
        return Ok(Parsed::Interim(status));
    }
    let is_http_11 = found.version == Some(1);
    let mut noted = Noted::new(is_http_11);
    let mut headers = scratch::fields();
    headers.reserve(found.headers.len());
    let mut names = Vec::new();
    for field in found.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
        // Where it stands is known, so that nothing is copied.
        // SAFETY: the parser has found it.
        let value = unsafe { value(bytes.slice_ref(field.value)) };
        let value = value.map_err(|_| Malformed)?;
        noted.note(&name, &value);
        if spells {
            names.push((name.clone(), bytes.slice_ref(field.name.as_bytes())));
        }
        headers.append(name, value);
    }
    let content = noted.content(status, of_head)?;
    let (mut head, ()) = Response::new(()).into_parts();
    if let Some(reason) = found.reason
        && Some(reason) != status.canonical_reason()
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        head.extensions.insert(reason);
    }
    if spells {
        head.extensions.insert(Spelled::new(names));
    }
    head.status = status;
    head.version = if is_http_11 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    head.headers = headers;
    *bytes = bytes.slice(length..);
    Ok(Parsed::Answer(Answer {
        keeps_alive: noted.keeps_alive && content.is_framed() && status.as_u16() != 101,
        content,
        head,
    }))
}

/// What one pass over the fields has found.
struct Noted {
    is_http_11: bool,
    keeps_alive: bool,
    closes: bool,
    is_chunked: bool,
    has_coding: bool,
    length: Option<u64>,
    /// A length that is none, or two of them that differ.
    is_unclear: bool,
}

impl Noted {
    fn new(is_http_11: bool) -> Self {
        Self {
            is_http_11,
            keeps_alive: is_http_11,
            closes: false,
            is_chunked: false,
            has_coding: false,
            length: None,
            is_unclear: false,
        }
    }

    fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        match *name {
            CONTENT_LENGTH => {
                let length = number(value.as_bytes());
                self.is_unclear |=
                    length.is_none() || self.length.is_some_and(|it| Some(it) != length);
                self.length = length;
            }
            TRANSFER_ENCODING => {
                let is_first = !std::mem::replace(&mut self.has_coding, true);
                self.is_chunked = is_first && value.as_bytes().eq_ignore_ascii_case(b"chunked");
            }
            CONNECTION => self.connection(value),
            _ => {}
        }
    }

    /// Once any line says `close`, no other undoes it.
    fn connection(&mut self, value: &HeaderValue) {
        self.closes |= has_word(value, b"close");
        self.keeps_alive |= has_word(value, b"keep-alive");
        self.keeps_alive &= !self.closes;
    }

    fn content(&self, status: StatusCode, of_head: bool) -> Result<Content, Malformed> {
        if of_head || matches!(status.as_u16(), 101 | 204 | 304) {
            return Ok(Content::none());
        }
        if self.has_coding {
            // HTTP/1.0 knows of none (RFC 9112, 6.1).
            return match (self.is_http_11, self.is_chunked) {
                (true, true) => Ok(Content::chunked()),
                (true, false) => Ok(Content::until_the_end()),
                (false, _) => Err(Malformed),
            };
        }
        match self.length {
            _ if self.is_unclear => Err(Malformed),
            Some(length) => Ok(Content::of_length(length)),
            None => Ok(Content::until_the_end()),
        }
    }
}
