//! A caller that takes whatever comes.

use crate::support::http::head_end;
use crate::support::{Response, connect};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any limit of the proxy under test.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Caller {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// What came next on a connection.
#[derive(Debug)]
pub enum Got {
    Answer(Response),
    /// The end, with or without a reset.
    End,
    /// Neither, for longer than any limit allows.
    Silence,
}

impl Got {
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(response) => Some(response.status),
            _ => None,
        }
    }

    /// True for a recorder's answer to this very request.
    pub fn is_answer_to(&self, request: &str) -> bool {
        matches!(self, Self::Answer(r) if r.status == 200 && r.body == request.as_bytes())
    }
}

impl Caller {
    pub fn to(address: SocketAddr) -> Self {
        Self {
            stream: connect(address, PATIENCE),
            unread: Vec::new(),
        }
    }

    /// The peer may have closed already.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Says that no more will come.
    pub fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer that is no interim one.
    pub fn next(&mut self, to_head: bool) -> Got {
        loop {
            match self.answer(to_head) {
                Got::Answer(response) if response.status < 200 => {}
                got => return got,
            }
        }
    }

    fn answer(&mut self, to_head: bool) -> Got {
        loop {
            if let Some((response, length)) = whole(&self.unread, to_head) {
                self.unread.drain(..length);
                return Got::Answer(response);
            }
            let mut some = [0; 16_384];
            match self.stream.read(&mut some) {
                Ok(0) => return Got::End,
                Ok(n) => self.unread.extend_from_slice(&some[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Got::Silence,
                Err(_) => return Got::End,
            }
        }
    }
}

/// A response that is there to its end, and its length.
fn whole(bytes: &[u8], to_head: bool) -> Option<(Response, usize)> {
    let end = head_end(bytes)?;
    let mut response = Response::parse_head(&bytes[..end])?;
    let length = response.header("content-length").filter(|_| !to_head);
    let length = length.map_or(0, |l| l.parse().unwrap());
    response.body = bytes.get(end..end + length)?.to_vec();
    Some((response, end + length))
}
