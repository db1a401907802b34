//! A client that sends exactly what it is told to.

use super::http::{Request, Response, head_end, unchunk};
use super::wait::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A connection on which neither side is waited for longer than this.
pub fn connect(address: SocketAddr, patience: Duration) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.set_write_timeout(Some(patience)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection, used for one request after another.
pub struct Conn {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Conn {
    pub fn to(address: SocketAddr) -> Self {
        Self {
            stream: connect(address, PATIENCE),
            buffer: Vec::new(),
        }
    }

    /// Of a connection that is there already.
    pub fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The head of a request that the peer sends.
    pub fn head(&mut self) -> Request {
        let end = self.read_until(head_end).expect("a request");
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        Request::parse(&head, 0)
    }

    /// The next so many bytes.
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        let end = self.read_until(|b| (b.len() >= length).then_some(length));
        self.buffer.drain(..end.expect("more bytes")).collect()
    }

    /// What was read and not yet asked for.
    pub fn take_buffered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Goes past a head, to the body behind it.
    pub fn skip_head(&mut self) {
        let end = self.read_until(head_end).expect("a head");
        self.buffer.drain(..end);
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// For a peer that may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// One GET on this connection, which stays open.
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(target);
        self.response()
    }

    /// The same, its answer unread.
    pub fn ask(&mut self, target: &str) {
        let host = self.stream.peer_addr().unwrap();
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }

    pub fn response(&mut self) -> Response {
        self.try_response().expect("a response")
    }

    /// `None` when the peer closes, or resets, before a response is whole.
    pub fn try_response(&mut self) -> Option<Response> {
        let end = self.read_until(head_end)?;
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let mut response = Response::parse_head(&head)?;
        if response.chunked() {
            let whole = |b: &[u8]| unchunk(b).and(b.windows(5).position(|w| w == b"0\r\n\r\n"));
            let end = self.read_until(whole)? + 5;
            response.body = unchunk(&self.buffer[..end])?;
            self.buffer.drain(..end);
        } else if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().ok()?;
            let end = self.read_until(|b| (b.len() >= length).then_some(length))?;
            response.body = self.buffer.drain(..end).collect();
        }
        Some(response)
    }

    /// True when the peer is known to have closed; waits for nothing.
    pub fn is_closed(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !matches!(peeked, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// True when the peer has closed and nothing more came.
    pub fn closed(&mut self) -> bool {
        self.read_some() == 0 && self.buffer.is_empty()
    }

    /// Everything until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.read_some() > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// Everything up to this text, of an answer that does not end.
    pub fn until(&mut self, text: &str) -> String {
        let find = |b: &[u8]| {
            let found = b.windows(text.len()).position(|w| w == text.as_bytes());
            found.map(|at| at + text.len())
        };
        let end = self.read_until(find).expect(text);
        String::from_utf8_lossy(&self.buffer[..end]).into_owned()
    }

    fn read_until(&mut self, find: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        loop {
            if let Some(end) = find(&self.buffer) {
                return Some(end);
            }
            if self.read_some() == 0 {
                return None;
            }
        }
    }

    /// A reset counts as an end.
    fn read_some(&mut self) -> usize {
        let mut chunk = vec![0; 65_536];
        match self.stream.read(&mut chunk) {
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                n
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => panic!("no answer came in time"),
            Err(_) => 0,
        }
    }
}

/// A request on a connection of its own.
pub fn call(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut conn = Conn::to(address);
    // A peer may answer, and close, before it has read everything.
    conn.try_send(request(address, method, target, headers, body));
    conn.response()
}

pub fn get(address: SocketAddr, target: &str) -> Response {
    call(address, "GET", target, &[], b"")
}

/// The bytes of a request after which the connection is closed.
pub fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    let own_host = headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("host"));
    if !own_host {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The same for a mass of clients at once.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> io::Result<Response> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Response::parse(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
