//! Callers of either version that see what may come of an upstream's answer.

use super::answers::Outcome;
use crate::support::connect;
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PREFACE, RST_STREAM, fields, frame,
    get, settings,
};
use crate::support::http::head_end;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any limit of the proxy under test.
const PATIENCE: Duration = Duration::from_secs(60);

pub enum Caller {
    Http1(Plain),
    Http2(Box<Frames>, u32),
}

/// HTTP/1.1, with what came and was not read.
pub struct Plain(TcpStream, Vec<u8>);

/// What came, and in which fields, as far as they can be read.
pub type Seen = Result<(Outcome, Vec<(String, String)>), String>;

impl Caller {
    pub fn to(proxy: SocketAddr, is_http2: bool) -> Self {
        if !is_http2 {
            return Self::Http1(Plain(connect(proxy, PATIENCE), Vec::new()));
        }
        let mut frames = Frames::silent(proxy);
        // Without a table, so that each answer's status can be read.
        frames.send([PREFACE, &settings(&[(1, 0)])].concat());
        Self::Http2(Box::new(frames), 1)
    }

    /// Sends a request and sees what comes.
    pub fn ask(&mut self, proxy: SocketAddr, method: &str, body: &str) -> Seen {
        let host = proxy.to_string();
        match self {
            Self::Http1(plain) => {
                let length = body.len();
                let request = format!(
                    "{method} /api/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
                );
                let request = match body {
                    "" => format!("{method} /api/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
                    _ => request,
                };
                // It may have been closed; that is seen at once.
                let _ = plain.0.write_all(request.as_bytes());
                plain.answer(method == "HEAD")
            }
            Self::Http2(frames, next) => {
                let stream = std::mem::replace(next, *next + 2);
                let head = [&[(":method", method)][..], &get(&host, "/api/")[1..]].concat();
                let ends = if body.is_empty() { END_STREAM } else { 0 };
                frames.try_send(frame(HEADERS, END_HEADERS | ends, stream, &fields(&head)));
                if ends == 0 {
                    frames.try_send(frame(DATA, END_STREAM, stream, body.as_bytes()));
                }
                of_stream(frames, stream)
            }
        }
    }
}

fn of_stream(frames: &mut Frames, stream: u32) -> Seen {
    let (mut status, mut body) = (0, Vec::new());
    while let Some(frame) = frames.next() {
        if frame.kind == GOAWAY {
            return Err(format!("GOAWAY {}", frame.code()));
        }
        if frame.stream != stream {
            continue;
        }
        match frame.kind {
            HEADERS if status == 0 => status = frame.status(),
            DATA => body.extend(&frame.payload),
            // A caller may take it for the end of a whole answer.
            RST_STREAM if frame.code() == 0 => return Err("a reset with NO_ERROR".into()),
            // A head that had been passed on may not have been sent.
            RST_STREAM => return Ok((Outcome::Cut, Vec::new())),
            _ => {}
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
            return Ok((Outcome::Answer(status, Some(body)), Vec::new()));
        }
    }
    Err("the end".into())
}

impl Plain {
    /// One answer, read by one that forgives nothing; no byte may follow.
    fn answer(&mut self, to_head: bool) -> Seen {
        let end = loop {
            match head_end(&self.1) {
                Some(end) => break end,
                None if self.more()? => {}
                // What has begun may not even have been sent.
                None if self.1.is_empty() => return Ok((Outcome::Cut, Vec::new())),
                None => return Err(format!("the end after {:?}", lossy(&self.1))),
            }
        };
        let head: Vec<u8> = self.1.drain(..end).collect();
        let (status, fields) = plain_head(&head[..end - 4])?;
        let all = |name: &str| -> Vec<&str> {
            let named = fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
            named.map(|(_, value)| value.as_str()).collect()
        };
        let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
        let has_none = to_head || status == 204 || status == 304;
        let body = match (&lengths[..], &codings[..]) {
            _ if has_none => Some(Vec::new()),
            ([length], []) => self.exactly(length.parse().map_err(|_| lossy(&head))?)?,
            ([], ["chunked"]) => self.chunks()?,
            _ => return Err(format!("no one framing: {fields:?}")),
        };
        let Some(body) = body else {
            return Ok((Outcome::Cut, fields));
        };
        if all("connection") == ["close"] {
            while self.more()? {}
        }
        if !self.1.is_empty() {
            return Err(format!("bytes behind an answer: {:?}", lossy(&self.1)));
        }
        Ok((Outcome::Answer(status, Some(body)), fields))
    }

    /// False at the end.
    fn more(&mut self) -> Result<bool, String> {
        let mut some = [0; 65_536];
        match self.0.read(&mut some) {
            Ok(n) => {
                self.1.extend_from_slice(&some[..n]);
                Ok(n > 0)
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Err("silence".into()),
            Err(_) => Ok(false),
        }
    }

    /// `None` when it ends before.
    fn exactly(&mut self, length: usize) -> Result<Option<Vec<u8>>, String> {
        while self.1.len() < length {
            if !self.more()? {
                return Ok(None);
            }
        }
        Ok(Some(self.1.drain(..length).collect()))
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(at) = self.1.windows(2).position(|w| w == b"\r\n") {
                let line = self.1.drain(..at + 2).take(at).collect();
                return Ok(Some(line));
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    fn chunks(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut body = Vec::new();
        loop {
            let Some(line) = self.line()? else {
                return Ok(None);
            };
            let size = usize::from_str_radix(&lossy(&line), 16).map_err(|_| lossy(&line))?;
            // Trailers end here: nobody asked for them.
            let Some(chunk) = self.exactly(size + 2)? else {
                return Ok(None);
            };
            if !chunk.ends_with(b"\r\n") {
                return Err(format!("a chunk of another length: {:?}", lossy(&chunk)));
            }
            if size == 0 {
                return Ok(Some(body));
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}

/// A status line and fields in which nothing can be read in two ways.
fn plain_head(head: &[u8]) -> Result<(u16, Vec<(String, String)>), String> {
    let text = head.iter().map(|b| char::from(*b)).collect::<String>();
    let is_plain = |line: &str| !line.contains(|c: char| c != '\t' && c.is_control());
    let lines: Vec<&str> = text.split("\r\n").collect();
    if !lines.iter().all(|line| is_plain(line)) {
        return Err(format!("control characters in {text:?}"));
    }
    let status = lines[0]
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| digits.parse().ok());
    let status = status.ok_or_else(|| format!("no status line: {text:?}"))?;
    let fields = lines[1..].iter().map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let fits = !name.is_empty() && name.chars().all(is_token);
        fits.then(|| (name.to_owned(), value.trim().to_owned()))
    });
    let fields = fields.collect::<Option<Vec<_>>>();
    Ok((
        status,
        fields.ok_or_else(|| format!("no fields: {text:?}"))?,
    ))
}
