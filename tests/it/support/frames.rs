//! A caller, or an upstream, that speaks HTTP/2 frame by frame, well-formed or not.

use super::client::connect;
use super::wait::PATIENCE;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// RFC 9113, 6.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The status in an answer's head, which is the first on its connection, or
    /// comes to one whose SETTINGS allow no table.
    pub fn status(&self) -> u16 {
        assert_eq!(self.kind, HEADERS);
        let updates = self.payload.iter().take_while(|byte| **byte & 0xe0 == 0x20);
        let block = &self.payload[updates.count()..];
        match block[0] {
            known @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(known - 0x88)],
            0x48 | 0x08 if block[1] & 0x80 != 0 => {
                huffman_digits(&block[2..2 + usize::from(block[1] & 0x7f)])
            }
            other => panic!("{other:#x} is no status"),
        }
    }
}

/// RFC 7541, Appendix B, as far as three digits need it.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u16> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)))
        .collect();
    let (mut number, mut at) = (0, 0);
    let value = |bits: &[u16]| bits.iter().fold(0, |sum, bit| sum * 2 + bit);
    for _ in 0..3 {
        let short = value(&bits[at..at + 5]);
        let (digit, length) = match short {
            0..=2 => (short, 5),
            _ => (value(&bits[at..at + 6]) - 0b01_1001 + 3, 6),
        };
        number = number * 10 + digit;
        at += length;
    }
    number
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The head of an answer of 200 that goes on.
pub fn head(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &[0x88])
}

pub fn settings(parameters: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in parameters {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// Fields as they are, none of them indexed (RFC 7541, 6.2.2).
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).unwrap();
            assert!(length < 127, "{text:?} is too long for this");
            block.push(length);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A GET's fields, to which others may be added.
pub fn get<'a>(authority: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
    ]
}

pub struct Frames {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    /// It acknowledges what is to be acknowledged.
    pub polite: bool,
}

impl Frames {
    /// Nothing is sent yet.
    pub fn silent(address: SocketAddr) -> Self {
        Self {
            stream: connect(address, PATIENCE),
            buffer: Vec::new(),
            polite: true,
        }
    }

    /// The other side of a connection: reads the caller's preface and sends
    /// SETTINGS with these parameters.
    pub fn of_upstream(stream: TcpStream, settings: &[(u16, u32)]) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut frames = Self {
            stream,
            buffer: Vec::new(),
            polite: true,
        };
        assert_eq!(frames.take(PREFACE.len()).as_deref(), Some(PREFACE));
        frames.send(self::settings(settings));
        frames
    }

    /// The stream of the next request; `None` at the end.
    pub fn request(&mut self) -> Option<u32> {
        let headers = |frame: &Frame| frame.kind == HEADERS;
        std::iter::from_fn(|| self.next())
            .find(headers)
            .map(|f| f.stream)
    }

    /// The rest of a request's body.
    pub fn body(&mut self, stream: u32) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let frame = self.until(DATA);
            assert_eq!(frame.stream, stream);
            body.extend(&frame.payload);
            if frame.flags & END_STREAM != 0 {
                return body;
            }
        }
    }

    /// A whole answer of 200.
    pub fn answer(&mut self, stream: u32, body: &str) {
        let data = frame(DATA, END_STREAM, stream, body.as_bytes());
        self.send([head(stream), data].concat());
    }

    pub fn reset(&mut self, stream: u32, code: u32) {
        self.send(frame(RST_STREAM, 0, stream, &code.to_be_bytes()));
    }

    pub fn go_away(&mut self, last: u32) {
        self.send(frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat()));
    }

    /// With the preface and empty SETTINGS.
    pub fn to(address: SocketAddr) -> Self {
        let mut frames = Self::silent(address);
        frames.send([PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
        frames
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The same, where the peer may have ended it.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A whole request without a body.
    pub fn ask(&mut self, stream: u32, head: &[(&str, &str)]) {
        let flags = END_STREAM | END_HEADERS;
        self.send(frame(HEADERS, flags, stream, &fields(head)));
    }

    /// The next frame; `None` at the end, also by a reset.
    pub fn next(&mut self) -> Option<Frame> {
        let head = self.take(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = self.take(usize::try_from(length).unwrap())?;
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
            payload,
        };
        if self.polite && matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
            let payload = if frame.kind == PING {
                &frame.payload[..]
            } else {
                b""
            };
            let _ = self.try_send(self::frame(frame.kind, ACK, 0, payload));
        }
        Some(frame)
    }

    /// The next frame of that kind.
    pub fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().unwrap_or_else(|| panic!("no frame {kind}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// All frames up to the end.
    pub fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).collect()
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            let mut some = vec![0; 65_536];
            match self.stream.read(&mut some) {
                Ok(0) => return None,
                Ok(n) => self.buffer.extend_from_slice(&some[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("no frame came in time")
                }
                Err(_) => return None,
            }
        }
        Some(self.buffer.drain(..length).collect())
    }
}
