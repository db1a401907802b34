//! Through an HTTP proxy: by a tunnel (CONNECT, RFC 9110, 9.3.6), or with
//! requests that are said to the proxy itself.

use crate::base::outgoing::proxy::Proxy;
use http::HeaderValue;
use rustls::ClientConfig;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No proxy's answer to CONNECT has a longer head.
const LONGEST_HEAD: usize = 16 * 1024;
const VERSION: &[u8] = b"HTTP/1.";

/// The way to an origin.
#[derive(Clone, Debug)]
pub struct Via {
    pub proxy: Arc<Proxy>,
    /// Else the proxy gets whole requests, and the connection is to it alone.
    pub tunnel: bool,
    /// TLS towards the origin, where the proxy's own authorities count there;
    /// made when it is first needed.
    made: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Via {
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, tunnel: bool) -> Self {
        Self {
            proxy,
            tunnel,
            made: OnceLock::new(),
        }
    }

    /// What TLS towards the origin comes to; `make` is called once.
    ///
    /// # Errors
    /// What `make` said.
    pub fn config(
        &self,
        make: impl FnOnce() -> Result<ClientConfig, String>,
    ) -> Result<Arc<ClientConfig>, String> {
        self.made.get_or_init(|| make().map(Arc::new)).clone()
    }
}

impl PartialEq for Via {
    fn eq(&self, other: &Self) -> bool {
        (&self.proxy, self.tunnel) == (&other.proxy, other.tunnel)
    }
}

impl Eq for Via {}

impl Hash for Via {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.proxy, self.tunnel).hash(state);
    }
}

/// Why there is no way through a proxy.
#[derive(Debug)]
pub struct NoWay {
    pub proxy: Arc<Proxy>,
    pub why: Why,
}

/// What the proxy did.
#[derive(Debug)]
pub enum Why {
    /// It has no address, or none that takes connections.
    Unreachable(String),
    /// TLS to the proxy failed, in words for people.
    Tls(String),
    /// It has answered CONNECT with this status.
    Refused(u16),
    /// It has ended the connection without an answer, or in the middle of one.
    Ended(Option<io::Error>),
    NotHttp,
    TooLong,
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = &self.proxy;
        match &self.why {
            Why::Unreachable(why) => write!(f, "the proxy {proxy} can't be reached: {why}"),
            Why::Tls(why) => write!(f, "TLS to the proxy {proxy} failed: {why}"),
            Why::Refused(status) => {
                write!(f, "the proxy {proxy} refused: it answered with {status}")?;
                f.write_str(match (status, proxy.login.authorization.is_some()) {
                    (407, false) => ", as it wants a user and a password",
                    (407, true) => ", as it does not take this user and password",
                    _ => "",
                })
            }
            Why::Ended(None) => write!(f, "the proxy {proxy} closed the connection"),
            Why::Ended(Some(why)) => write!(f, "the proxy {proxy} closed the connection: {why}"),
            Why::NotHttp => write!(f, "{proxy} does not answer as an HTTP proxy"),
            Why::TooLong => write!(
                f,
                "the proxy {proxy} answered with a head of more than {LONGEST_HEAD} bytes"
            ),
        }
    }
}

/// Asks for a tunnel to `authority`, a host and a port. What comes behind the
/// answer's head is left unread: the origin may have spoken already.
///
/// # Errors
/// When the proxy makes none.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    authority: &str,
    authorization: Option<&HeaderValue>,
) -> Result<(), Why> {
    let ended = |error| Why::Ended(Some(error));
    let request = request(authority, authorization);
    stream.write_all(&request).await.map_err(ended)?;
    stream.flush().await.map_err(ended)?;
    let mut left = LONGEST_HEAD;
    loop {
        match answer(stream, &mut left).await? {
            // Not the answer yet (RFC 9110, 15.2).
            100 | 102..=199 => {}
            200..=299 => return Ok(()),
            status => return Err(Why::Refused(status)),
        }
    }
}

fn request(authority: &str, authorization: Option<&HeaderValue>) -> zeroize::Zeroizing<Vec<u8>> {
    let agent = concat!("sidekey/", env!("CARGO_PKG_VERSION"));
    let start =
        format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {agent}\r\n");
    let shown = authorization.map(HeaderValue::as_bytes);
    let parts = match shown {
        None => vec![start.as_bytes(), b"\r\n"],
        Some(shown) => vec![
            start.as_bytes(),
            b"Proxy-Authorization: ",
            shown,
            b"\r\n\r\n",
        ],
    };
    zeroize::Zeroizing::new(parts.concat())
}

/// Reads one head to its end, byte by byte, so that nothing behind it is taken;
/// gives its status. That costs a system call for each of some hundred bytes, once
/// for each connection.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S, left: &mut usize) -> Result<u16, Why> {
    let mut head = Vec::with_capacity(256);
    loop {
        *left = left.checked_sub(1).ok_or(Why::TooLong)?;
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            Ok(_) => return Err(Why::Ended(None)),
            Err(error) => return Err(Why::Ended(Some(error))),
        }
        let begun = head.len().min(VERSION.len());
        if head[..begun] != VERSION[..begun] {
            return Err(Why::NotHttp);
        }
        // A line may end with LF alone, whatever others do.
        if head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") {
            return status(&head).ok_or(Why::NotHttp);
        }
    }
}

/// Of `HTTP/1.x 200 …`.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(VERSION)?;
    let [b'0'..=b'9', b' ', code @ ..] = rest else {
        return None;
    };
    let (code, behind) = code.split_at_checked(3)?;
    let is_number = code.iter().all(u8::is_ascii_digit);
    let is_over = matches!(behind.first(), Some(b' ' | b'\r' | b'\n'));
    let number = std::str::from_utf8(code).ok()?.parse().ok()?;
    (is_number && is_over && number >= 100).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_HEAD, Why, ask};
    use http::HeaderValue;
    use proptest::prelude::{any, prop_assert, proptest};
    use std::io::Cursor;
    use tokio::io::{AsyncReadExt, join, sink};

    /// What becomes of it, and how much of the answer is left.
    fn asked(answer: &[u8]) -> (Result<(), Why>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut stream = join(Cursor::new(answer.to_vec()), sink());
            let result = ask(&mut stream, "a.test:443", None).await;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            (result, rest.len())
        })
    }

    #[test]
    fn a_tunnel_begins_right_behind_the_head() {
        for good in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200 OK\r\nVia: 1.1 p\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 204\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\n\r\n",
            "HTTP/1.1 200 OK\r\nVia: x\r\n\n",
        ] {
            let (result, left) = asked(format!("{good}glued").as_bytes());
            assert!(result.is_ok(), "{good}");
            assert_eq!(left, 5, "{good}");
        }
    }

    #[test]
    fn whatever_else_it_says_is_no_tunnel() {
        for status in [101, 300, 403, 407, 502, 999] {
            let answer = format!("HTTP/1.1 {status} No\r\n\r\n");
            let refused = asked(answer.as_bytes()).0.unwrap_err();
            assert!(
                matches!(refused, Why::Refused(s) if s == status),
                "{refused:?}"
            );
        }
        for bad in [
            "SSH-2.0-x\r\n",
            "HTTP/1.1 20\r\n\r\n",
            "HTTP/1.1 2000 \r\n\r\n",
            "HTTP/2 200 \r\n\r\n",
        ] {
            assert!(
                matches!(asked(bad.as_bytes()).0, Err(Why::NotHttp)),
                "{bad}"
            );
        }
        for short in ["", "HTTP", "HTTP/1.1 200 OK\r\nVia: x"] {
            assert!(
                matches!(asked(short.as_bytes()).0, Err(Why::Ended(None))),
                "{short}"
            );
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(2 * LONGEST_HEAD));
        let (result, left) = asked(endless.as_bytes());
        assert!(matches!(result, Err(Why::TooLong)));
        assert_eq!(left, endless.len() - LONGEST_HEAD);
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(LONGEST_HEAD);
        assert!(matches!(asked(interim.as_bytes()).0, Err(Why::TooLong)));
    }

    #[test]
    fn who_asks_is_said_to_the_proxy_alone() {
        let shown = HeaderValue::from_static("Basic eDp5");
        let request = super::request("[::1]:443", Some(&shown));
        let text = std::str::from_utf8(&request).unwrap();
        assert!(
            text.starts_with("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n"),
            "{text}"
        );
        assert!(
            text.ends_with("\r\nProxy-Authorization: Basic eDp5\r\n\r\n"),
            "{text}"
        );
        assert!(super::request("a:1", None).ends_with(b"\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn no_answer_panics_or_is_read_past_the_limit(
            start in "(HTTP/1\\.[01] [0-9]{0,4})?", rest in any::<Vec<u8>>(), many in 0usize..3,
        ) {
            let answer = [start.as_bytes(), &rest.repeat(1 + many * 200)].concat();
            let (_, left) = asked(&answer);
            prop_assert!(answer.len() - left <= LONGEST_HEAD);
        }
    }
}
