//! The head of an answer as it is written, how its body is framed (RFC 9112, 6), and
//! its trailers.

use super::date;
use super::head::Asked;
use crate::proxy::hop::{has_word, names_in};
use crate::proxy::http1::framing::{may_trail, number};
use crate::proxy::http1::spelled::{Lines, Spelled, Speller};
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue, TRAILER,
    TRANSFER_ENCODING,
};
use http::{StatusCode, response};
use hyper::ext::ReasonPhrase;

/// Digits of the largest length there may be.
const LONGEST_NUMBER: usize = 20;

/// What is known of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// There is none, or nothing in it.
    Nothing,
    Exactly(u64),
    Unknown,
}

/// How a body goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// With these trailers, if there are any.
    Chunks(Vec<HeaderName>),
    /// The end of the connection is its end.
    ToTheEnd,
}

/// What was written of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Begun {
    pub framing: Framing,
    /// The connection goes on behind the answer.
    pub keeps: bool,
}

/// Writes an answer's head. `keeps`: the connection may go on behind it.
pub fn put(
    out: &mut Vec<u8>,
    head: &response::Parts,
    asked: &Asked,
    size: Size,
    keeps: bool,
) -> Begun {
    out.reserve(128 + 48 * head.headers.len());
    put_status(out, head, asked);
    let spelled = head.extensions.get::<Spelled>();
    let mut line = Lines::new(out, asked.spells.then(|| Speller::new(spelled)));
    let mut seen = Seen::default();
    for (name, value) in &head.headers {
        match *name {
            CONTENT_LENGTH => seen.length = seen.length.or(Some(value)),
            // It is ours to say.
            TRANSFER_ENCODING => {}
            CONNECTION => {
                seen.connection = true;
                seen.closes |= has_word(value, b"close");
                seen.keeps |= has_word(value, b"keep-alive");
            }
            TRAILER => seen.trailer = true,
            _ => {
                seen.date |= *name == DATE;
                line.put(name, value.as_bytes());
            }
        }
    }
    let framing = put_framing(&mut line, head, asked, size, &seen);
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let keeps = keeps && !seen.closes && framing != Framing::ToTheEnd && !switches;
    put_connection(&mut line, &head.headers, asked, keeps || switches, &seen);
    if !seen.date {
        line.name(&DATE);
        date::put(line.out);
        line.out.extend_from_slice(b"\r\n");
    }
    line.out.extend_from_slice(b"\r\n");
    Begun { framing, keeps }
}

/// Writes the end of a body in chunks, with those of its trailers that the caller
/// knows of and that may be there (RFC 9110, 6.5.1).
pub fn put_trailers(out: &mut Vec<u8>, trailers: &HeaderMap, named: &[HeaderName], spells: bool) {
    out.extend_from_slice(b"0\r\n");
    let mut line = Lines::new(out, spells.then(|| Speller::new(None)));
    for (name, value) in trailers {
        if named.contains(name) && may_trail(name) {
            line.put(name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// What a pass over an answer's fields found.
#[derive(Default)]
struct Seen<'h> {
    length: Option<&'h HeaderValue>,
    connection: bool,
    closes: bool,
    keeps: bool,
    trailer: bool,
    date: bool,
}

/// All values of a name in one line, and another one.
fn put_list(line: &mut Lines<'_>, name: &HeaderName, headers: &HeaderMap, last: Option<&str>) {
    line.name(name);
    let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let values = values.chain(last.map(str::as_bytes));
    for (number, value) in values.enumerate() {
        if number > 0 {
            line.out.extend_from_slice(b", ");
        }
        line.out.extend_from_slice(value);
    }
    line.out.extend_from_slice(b"\r\n");
}

fn put_status(out: &mut Vec<u8>, head: &response::Parts, asked: &Asked) {
    let reason = head.extensions.get::<ReasonPhrase>();
    if head.status == StatusCode::OK && reason.is_none() && !asked.is_http10 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(match asked.is_http10 {
        true => b"HTTP/1.0 ",
        false => b"HTTP/1.1 ",
    });
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(match reason {
        Some(reason) => reason.as_bytes(),
        None => head
            .status
            .canonical_reason()
            .unwrap_or("<none>")
            .as_bytes(),
    });
    out.extend_from_slice(b"\r\n");
}

/// Whether such an answer has no content, whatever it says (RFC 9112, 6.3).
fn is_bare(status: StatusCode, asked: &Asked) -> bool {
    is_lengthless(status)
        || status == StatusCode::NOT_MODIFIED
        || asked.is_connect && status.is_success()
}

/// Whether such an answer has no length either (RFC 9110, 8.6).
fn is_lengthless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT
}

fn put_framing(
    line: &mut Lines<'_>,
    head: &response::Parts,
    asked: &Asked,
    size: Size,
    seen: &Seen<'_>,
) -> Framing {
    if asked.is_head && !is_lengthless(head.status) {
        put_length_for_head(line, size, seen);
    }
    if asked.is_head || is_bare(head.status, asked) {
        return Framing::Length(0);
    }
    let length = match size {
        Size::Nothing => Some(0),
        Size::Exactly(length) => Some(length),
        Size::Unknown => seen.length.and_then(|length| number(length.as_bytes())),
    };
    if let Some(length) = length {
        line.name(&CONTENT_LENGTH);
        put_number(line.out, length);
        return Framing::Length(length);
    }
    if asked.is_http10 {
        return Framing::ToTheEnd;
    }
    line.put(&TRANSFER_ENCODING, b"chunked");
    let mut named = Vec::new();
    if seen.trailer {
        put_list(line, &TRAILER, &head.headers, None);
        if asked.wants_trailers {
            named.extend(head.headers.get_all(TRAILER).iter().flat_map(names_in));
        }
    }
    Framing::Chunks(named)
}

/// HEAD gets the length that GET would (RFC 9110, 9.3.2), where it is known.
fn put_length_for_head(line: &mut Lines<'_>, size: Size, seen: &Seen<'_>) {
    match (seen.length, size) {
        (Some(length), _) => line.put(&CONTENT_LENGTH, length.as_bytes()),
        (None, Size::Exactly(length)) => {
            line.name(&CONTENT_LENGTH);
            put_number(line.out, length);
        }
        (None, Size::Nothing | Size::Unknown) => {}
    }
}

/// Digits, last to first: the formatting machinery takes six times as long.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = *b"00000000000000000000\r\n";
    let mut first = LONGEST_NUMBER - 1;
    digits[first] += (number % 10) as u8;
    while number >= 10 {
        number /= 10;
        first -= 1;
        digits[first] += (number % 10) as u8;
    }
    out.extend_from_slice(&digits[first..]);
}

/// An old caller is told that the connection goes on, another one that it does not.
fn put_connection(
    line: &mut Lines<'_>,
    headers: &HeaderMap,
    asked: &Asked,
    keeps: bool,
    seen: &Seen<'_>,
) {
    let word = match keeps {
        true => (asked.is_http10 && !seen.keeps).then_some("keep-alive"),
        false => (!asked.is_http10 && !seen.closes).then_some("close"),
    };
    if seen.connection || word.is_some() {
        put_list(line, &CONNECTION, headers, word);
    }
}

#[cfg(test)]
mod tests;
