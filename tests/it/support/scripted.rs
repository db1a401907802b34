//! A server whose every connection a test plays itself, and the few words that
//! a WebSocket begins and ends with.

use super::client::Conn;
use super::http::Request;
use super::local;
use super::wait::eventually_some;
use std::net::{SocketAddr, TcpListener};

/// A server without a mind of its own.
pub struct Scripted {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Scripted {
    pub fn start() -> Self {
        let listener = TcpListener::bind(local(0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            listener,
        }
    }

    /// With a slash behind it.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The next connection.
    pub fn accept(&self) -> Conn {
        let (stream, _) = eventually_some("a connection", || self.listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        Conn::of(stream)
    }

    /// The next connection's first request, its body unread.
    pub fn request(&self) -> (Conn, Request) {
        let mut conn = self.accept();
        let request = conn.head();
        (conn, request)
    }

    /// The next connection, a WebSocket, shaken hands with.
    pub fn websocket(&self) -> (Conn, Request) {
        let (mut conn, request) = self.request();
        conn.send(ACCEPTED);
        (conn, request)
    }
}

/// Fields that ask for a WebSocket; the key is that of RFC 6455, 1.3.
pub const ASKING: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The whole answer to that.
pub const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Asks for a WebSocket.
pub fn ask(proxy: SocketAddr, target: &str, fields: &str) -> Conn {
    let mut conn = Conn::to(proxy);
    conn.send(format!(
        "GET {target} HTTP/1.1\r\nHost: {proxy}\r\n{ASKING}{fields}\r\n"
    ));
    conn
}

/// A text frame with a mask, as callers send it.
pub fn masked(text: &str) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let bytes = text.bytes().zip(mask.iter().cycle());
    let payload: Vec<u8> = bytes.map(|(byte, mask)| byte ^ mask).collect();
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126, "a short text");
    [&[0x81, 0x80 | length], &mask[..], &payload].concat()
}

/// The next frame: its first byte, and its payload without its mask.
pub fn frame(conn: &mut Conn) -> (u8, Vec<u8>, bool) {
    let head = conn.exactly(2);
    let length = match head[1] & 0x7f {
        126 => usize::from(u16::from_be_bytes(conn.exactly(2).try_into().unwrap())),
        short => usize::from(short),
    };
    let is_masked = head[1] & 0x80 != 0;
    let mask = if is_masked { conn.exactly(4) } else { vec![0] };
    let bytes = conn.exactly(length).into_iter().zip(mask.iter().cycle());
    (
        head[0],
        bytes.map(|(byte, mask)| byte ^ mask).collect(),
        is_masked,
    )
}

/// Reads a Close frame; gives its code and reason. Servers' are not masked,
/// clients' are.
pub fn close(conn: &mut Conn, is_masked: bool) -> (u16, String) {
    let (first, payload, masked) = frame(conn);
    assert_eq!((first, masked), (0x88, is_masked), "{payload:?}");
    let (code, reason) = payload.split_at(2);
    let code = u16::from_be_bytes(code.try_into().unwrap());
    (code, String::from_utf8(reason.to_vec()).unwrap())
}
