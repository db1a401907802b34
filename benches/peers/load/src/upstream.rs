//! The upstreams: one per proxy, so that each has tokens and counts of its own.

use crate::http;
use crate::socket::{Got, Socket};
use rustls::ServerConfig;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

pub struct Upstream {
    pub listener: TcpListener,
    pub tls: Option<Arc<ServerConfig>>,
    pub tokens: Tokens,
    /// Where the tokens of this upstream are kept: its own index, or another's whose
    /// tokens it shares (the TLS and the plain upstream of one proxy).
    pub authority: usize,
    pub counts: Counts,
}

/// Tokens are one text that differs in its first eight digits only.
pub struct Tokens {
    pattern: Vec<u8>,
    issued: u32,
    revoked_until: u32,
    /// Seconds that tokens live: the shortest and the longest.
    lives: (u64, u64),
}

#[derive(Default)]
pub struct Counts {
    pub requests: u64,
    /// Answered 401 because the token was revoked.
    pub rejected: u64,
    /// A token that was never issued, or none.
    pub wrong: u64,
    pub first_wrong: Option<String>,
    pub handshakes: u64,
    pub resumed: u64,
}

pub struct Answers {
    page: Vec<u8>,
    download: Vec<u8>,
    unauthorized: Vec<u8>,
}

pub struct ServerConn {
    pub upstream: usize,
    pub socket: Socket,
    /// The start of a head that has not come whole yet.
    head: Vec<u8>,
    body_left: usize,
    /// What is answered once the body is read.
    answer: Answer,
    handshake_counted: bool,
}

#[derive(Clone, Copy)]
enum Answer {
    Page,
    Download,
    Unauthorized,
    Token,
}

impl Tokens {
    pub fn new(pattern: &[u8]) -> Tokens {
        Tokens {
            pattern: pattern.to_vec(),
            issued: 0,
            revoked_until: 0,
            lives: (86_400, 86_400),
        }
    }

    pub fn issued(&self) -> u32 {
        self.issued
    }

    /// Tokens from now on live so long, spread evenly between the two.
    pub fn live(&mut self, lives: (u64, u64)) {
        self.lives = (lives.0, lives.1.max(lives.0));
    }

    /// Of the last token. The step is a prime, so that neighbours are far apart.
    fn life(&self) -> u64 {
        let (shortest, longest) = self.lives;
        shortest + u64::from(self.issued) * 7_919 % (longest - shortest + 1)
    }

    pub fn revoke(&mut self) {
        self.revoked_until = self.issued + 1;
    }

    fn issue(&mut self) -> Vec<u8> {
        self.issued += 1;
        let mut token = self.pattern.clone();
        token[..8].copy_from_slice(format!("{:08}", self.issued).as_bytes());
        token
    }

    /// None where it was never issued. Number 0, the pattern itself, is what proxies
    /// that can't fetch a token are configured with; they can't be served another.
    fn still_good(&self, authorization: Option<&[u8]>) -> Option<bool> {
        let (number, rest) = authorization?
            .strip_prefix(b"Bearer ")?
            .split_at_checked(8)?;
        let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
        (rest == &self.pattern[8..] && number <= self.issued)
            .then_some(number >= self.revoked_until)
    }
}

impl Answers {
    pub fn new() -> Answers {
        let page = |size: usize| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
            );
            [head.into_bytes(), vec![b'x'; size]].concat()
        };
        let unauthorized = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\
                            WWW-Authenticate: Bearer error=\"invalid_token\"\r\n\r\n";
        Answers {
            page: page(1024),
            download: page(1 << 20),
            unauthorized: unauthorized.into(),
        }
    }
}

impl ServerConn {
    pub fn new(upstream: usize, socket: Socket) -> ServerConn {
        ServerConn {
            upstream,
            socket,
            head: Vec::new(),
            body_left: 0,
            answer: Answer::Page,
            handshake_counted: false,
        }
    }

    /// Reads once and answers what came whole. Ok(None): the peer has closed;
    /// Ok(Some(false)): there is more to send than fits now.
    pub fn readable(
        &mut self,
        counts: &mut Counts,
        tokens: &mut Tokens,
        answers: &Answers,
        buffer: &mut [u8],
    ) -> io::Result<Option<bool>> {
        let mut all_sent = true;
        loop {
            let got = self.socket.read(buffer)?;
            self.count_handshake(counts);
            match got {
                Got::End => return Ok(None),
                Got::Nothing => return self.socket.flush().map(Some),
                Got::Bytes(n) => all_sent &= self.take(&buffer[..n], counts, tokens, answers)?,
            }
            // TLS may hold plaintext that epoll knows nothing of; on a plain socket a
            // second read would be a wasted call.
            if self.handshake_kind_known() {
                continue;
            }
            return Ok(Some(all_sent));
        }
    }

    fn handshake_kind_known(&self) -> bool {
        self.socket.resumed().is_some()
    }

    fn count_handshake(&mut self, counts: &mut Counts) {
        if self.handshake_counted {
            return;
        }
        if let Some(resumed) = self.socket.resumed() {
            self.handshake_counted = true;
            counts.handshakes += 1;
            counts.resumed += u64::from(resumed);
        }
    }

    fn take(
        &mut self,
        read: &[u8],
        counts: &mut Counts,
        tokens: &mut Tokens,
        answers: &Answers,
    ) -> io::Result<bool> {
        let joined;
        let mut bytes = read;
        if !self.head.is_empty() {
            self.head.extend_from_slice(read);
            joined = std::mem::take(&mut self.head);
            bytes = &joined;
        }
        let mut all_sent = true;
        while !bytes.is_empty() {
            if self.body_left == 0 {
                let Some(request) = http::request(bytes).map_err(io::Error::other)? else {
                    self.head = bytes.to_vec();
                    break;
                };
                self.answer = judge(&request, counts, tokens);
                self.body_left = request.body_len;
                bytes = &bytes[request.head_len..];
            }
            let part = self.body_left.min(bytes.len());
            self.body_left -= part;
            bytes = &bytes[part..];
            if self.body_left == 0 {
                all_sent &= self.reply(tokens, answers)?;
            }
        }
        Ok(all_sent)
    }

    fn reply(&mut self, tokens: &mut Tokens, answers: &Answers) -> io::Result<bool> {
        let token;
        let bytes = match self.answer {
            Answer::Page => &answers.page,
            Answer::Download => &answers.download,
            Answer::Unauthorized => &answers.unauthorized,
            Answer::Token => {
                token = token_answer(tokens);
                &token
            }
        };
        self.socket.write(bytes)
    }
}

fn judge(request: &http::Request, counts: &mut Counts, tokens: &Tokens) -> Answer {
    if request.path == "/token" {
        return Answer::Token;
    }
    counts.requests += 1;
    match tokens.still_good(request.authorization) {
        Some(true) if request.path == "/download" => Answer::Download,
        Some(true) => Answer::Page,
        Some(false) => {
            counts.rejected += 1;
            Answer::Unauthorized
        }
        None => {
            counts.wrong += 1;
            counts.first_wrong.get_or_insert_with(|| {
                let start = request.authorization.unwrap_or(b"none");
                String::from_utf8_lossy(&start[..start.len().min(40)]).into_owned()
            });
            Answer::Unauthorized
        }
    }
}

fn token_answer(tokens: &mut Tokens) -> Vec<u8> {
    let token = String::from_utf8_lossy(&tokens.issue()).into_owned();
    let life = tokens.life();
    let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{life}}}"#);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
