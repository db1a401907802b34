//! Frames as the cases write them, their bytes, and what a careless server would
//! make of a request in them.

use super::notation::expand;
use crate::support::frames::frame;

/// RFC 9113, 6.
const KINDS: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];
/// RFC 9113, 7.
const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// The number of an error's name.
pub fn code(name: &str) -> u32 {
    place(&CODES, name).unwrap_or_else(|| panic!("{name:?} is no error code"))
}

fn place(names: &[&str], name: &str) -> Option<u32> {
    let at = names.iter().position(|n| *n == name)?;
    u32::try_from(at).ok()
}

/// A frame as it is written.
#[derive(Debug)]
pub struct Written {
    kind: u8,
    flags: u8,
    /// `None`: that of the request which is answered.
    stream: Option<u32>,
    /// What its length is said to be.
    length: Option<u32>,
    times: usize,
    lines: Vec<String>,
}

impl Written {
    /// `KIND STREAM flags`, and a payload behind.
    pub fn of(lines: &[String]) -> Self {
        let mut words = lines[0].split(' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("{lines:?}"));
        let kind = word();
        let kind = place(&KINDS, kind).unwrap_or_else(|| number(kind));
        let stream = word();
        let mut written = Self {
            kind: u8::try_from(kind).unwrap(),
            flags: 0,
            stream: (stream != "its").then(|| number(stream)),
            length: None,
            times: 1,
            lines: lines[1..]
                .iter()
                .filter(|l| !l.is_empty())
                .cloned()
                .collect(),
        };
        for word in words {
            match (word, word.split_once('=')) {
                ("end-stream" | "ack", _) => written.flags |= 1,
                ("end-headers", _) => written.flags |= 4,
                ("padded", _) => written.flags |= 8,
                ("priority", _) => written.flags |= 0x20,
                (_, Some(("length", length))) => written.length = Some(number(length)),
                (_, Some(("times", times))) => written.times = times.parse().unwrap(),
                _ => panic!("{word:?} is no flag"),
            }
        }
        written
    }

    /// The stream it stands on, if that is written.
    pub fn stream(&self) -> u32 {
        self.stream.unwrap_or(0)
    }

    /// Its bytes for a server at this address, or in answer to a request on a stream.
    pub fn bytes(&self, host: &str, its: u32) -> Vec<u8> {
        let stream = self.stream.unwrap_or(its);
        let payload = self.payload(host);
        let mut bytes = frame(self.kind, self.flags, stream, &payload);
        if let Some(length) = self.length {
            bytes[..3].copy_from_slice(&length.to_be_bytes()[1..]);
        }
        bytes.repeat(self.times)
    }

    fn payload(&self, host: &str) -> Vec<u8> {
        let lines = self.lines.iter();
        let parts = lines.map(|line| match (line.strip_prefix("hex "), self.kind) {
            (Some(bytes), _) => hex(bytes),
            (None, 1 | 5 | 9) => {
                let fields = fields(line, host);
                let literals = fields.iter().map(|(name, value)| literal(name, value));
                literals.collect::<Vec<_>>().concat()
            }
            _ => expand(line, host),
        });
        parts.collect::<Vec<_>>().concat()
    }

    /// The fields that are written in it.
    fn fields(&self, host: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let lines = self.lines.iter().filter(|line| !line.starts_with("hex "));
        lines.flat_map(|line| fields(line, host)).collect()
    }
}

fn number(text: &str) -> u32 {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn hex(text: &str) -> Vec<u8> {
    let bytes = text.split(' ').map(|two| u8::from_str_radix(two, 16));
    bytes
        .map(|byte| byte.unwrap_or_else(|_| panic!("{text:?}")))
        .collect()
}

/// A field, or the four that make a request.
fn fields(line: &str, host: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    if let Some(request) = line.strip_prefix("request ") {
        let (method, path) = request.split_once(' ').expect("request METHOD PATH");
        let four = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "@"),
            (":path", path),
        ];
        let texts = four.into_iter();
        return texts
            .map(|(name, value)| (name.into(), expand(value, host)))
            .collect();
    }
    let colon = line.get(1..).and_then(|rest| rest.find(':'));
    let colon = colon.unwrap_or_else(|| panic!("{line:?} is no field")) + 1;
    let value = &line[colon + 1..];
    let value = value.strip_prefix(' ').unwrap_or(value);
    vec![(expand(&line[..colon], host), expand(value, host))]
}

/// A field as it is, not indexed (RFC 7541, 6.2.2).
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let mut length = text.len();
        if length < 127 {
            bytes.push(u8::try_from(length).unwrap());
        } else {
            bytes.push(127);
            length -= 127;
            while length >= 128 {
                bytes.push(u8::try_from(length % 128 + 128).unwrap());
                length /= 128;
            }
            bytes.push(u8::try_from(length).unwrap());
        }
        bytes.extend(text);
    }
    bytes
}

/// The request of the first stream in HTTP/1.1, word for word, as by a server
/// that checks nothing; `None` when it cannot even be read.
pub fn translated(frames: &[Written], host: &str) -> Option<Vec<u8>> {
    let first = frames.iter().find(|frame| frame.kind == 1)?.stream();
    let its = || frames.iter().filter(move |frame| frame.stream() == first);
    let heads = its().filter(|frame| matches!(frame.kind, 1 | 9));
    let fields: Vec<_> = heads.flat_map(|frame| frame.fields(host)).collect();
    let data = its().filter(|frame| frame.kind == 0);
    let body: Vec<u8> = data.flat_map(|frame| frame.payload(host)).collect();
    let last = |name: &[u8]| {
        fields
            .iter()
            .rfind(|(n, _)| n == name)
            .map(|(_, value)| &value[..])
    };
    let mut bytes = [last(b":method")?, b" ", last(b":path")?, b" HTTP/1.1\r\n"].concat();
    if let Some(authority) = last(b":authority") {
        bytes.extend([b"host: ", authority, b"\r\n"].concat());
    }
    let known: [&[u8]; 4] = [b":method", b":scheme", b":authority", b":path"];
    for (name, value) in fields
        .iter()
        .filter(|(name, _)| !known.contains(&&name[..]))
    {
        bytes.extend([name, &b": "[..], value, b"\r\n"].concat());
    }
    let framed = last(b"content-length").or(last(b"transfer-encoding"));
    if framed.is_some() || body.is_empty() {
        bytes.extend(b"\r\n");
        bytes.extend(body);
        return Some(bytes);
    }
    let size = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", body.len());
    bytes.extend(size.bytes().chain(body).chain(*b"\r\n0\r\n\r\n"));
    Some(bytes)
}
