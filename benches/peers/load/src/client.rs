//! The callers: pools of connections that stay open, each with one request at a time.

use crate::histogram::Histogram;
use crate::http;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub struct Pool {
    pub request: Vec<u8>,
    pub clients: Vec<usize>,
    pub numbers: Option<Numbers>,
}

/// Five digits in a request that are others in every one.
pub struct Numbers {
    at: usize,
    count: usize,
    last: usize,
}

const PLACE: &[u8] = b"#####";

impl Pool {
    pub fn number(&mut self, count: usize) -> Result<(), &'static str> {
        let mut windows = self.request.windows(PLACE.len());
        let at = windows.position(|window| window == PLACE);
        let at = at.ok_or("numbers: there is no ##### in the path")?;
        if !(1..=100_000).contains(&count) {
            return Err("numbers: from 1 to 100000");
        }
        self.numbers = Some(Numbers { at, count, last: 0 });
        Ok(())
    }

    /// Before a request is sent. The step is a prime, so that neighbours are far apart.
    pub fn next_number(&mut self) {
        if let Some(numbers) = &mut self.numbers {
            numbers.last = (numbers.last + 7_919) % numbers.count;
            let digits = format!("{:05}", numbers.last);
            self.request[numbers.at..][..PLACE.len()].copy_from_slice(digits.as_bytes());
        }
    }
}

pub struct Client {
    pub pool: usize,
    pub address: SocketAddr,
    pub tcp: TcpStream,
    pub open: bool,
    busy: bool,
    /// When the request was meant to be sent: latency counts from there.
    since: Instant,
    sent: usize,
    head: Vec<u8>,
    /// None until the response's head is whole.
    body_left: Option<usize>,
    status: u16,
}

pub enum Progress {
    Waiting,
    /// The whole response is there.
    Done {
        status: u16,
        since: Instant,
    },
    /// Closed by the proxy while nothing was under way.
    Closed,
    Failed {
        why: String,
        was_busy: bool,
    },
}

/// What one measurement asks for, and what came of it.
pub struct Run {
    pub pool: usize,
    pub until: Instant,
    pub pace: Pace,
    pub busy: usize,
    pub requests: u64,
    pub failed: u64,
    pub unsent: u64,
    pub failure: Option<String>,
    pub latency: Histogram,
}

pub enum Pace {
    /// Each connection sends its next request when it has the answer.
    Closed,
    /// At fixed times, whatever the answers do.
    Rate {
        next: Instant,
        every: Duration,
        idle: Vec<usize>,
        waiting: VecDeque<Instant>,
    },
    /// One request on each connection, then silence.
    Once { rest: Vec<usize> },
}

impl Run {
    pub fn new(pool: usize, until: Instant, pace: Pace) -> Run {
        Run {
            pool,
            until,
            pace,
            busy: 0,
            requests: 0,
            failed: 0,
            unsent: 0,
            failure: None,
            latency: Histogram::default(),
        }
    }

    pub fn record(&mut self, now: Instant, status: u16, since: Instant) {
        self.busy -= 1;
        self.requests += 1;
        self.latency
            .record(now.duration_since(since).as_nanos() as u64);
        if status != 200 {
            self.fail(format!("status {status}"));
        }
    }

    pub fn fail(&mut self, why: String) {
        self.failed += 1;
        self.failure.get_or_insert(why);
    }

    /// Which request the connection sends next, if any: since when it counts.
    pub fn next_for(&mut self, client: usize, now: Instant) -> Option<Instant> {
        match &mut self.pace {
            Pace::Closed => (now < self.until).then_some(now),
            Pace::Once { .. } => None,
            Pace::Rate { idle, waiting, .. } => {
                let due = waiting.pop_front();
                if due.is_none() {
                    idle.push(client);
                }
                due
            }
        }
    }

    pub fn json(&self) -> String {
        let failure = self
            .failure
            .as_deref()
            .unwrap_or("")
            .replace(['"', '\\'], "'");
        format!(
            r#"{{"requests":{},"failed":{},"unsent":{},"failure":"{failure}","latency":{}}}"#,
            self.requests,
            self.failed,
            self.unsent,
            self.latency.json()
        )
    }
}

impl Client {
    pub fn connect(pool: usize, address: SocketAddr) -> io::Result<Client> {
        let tcp = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        tcp.set_nodelay(true)?;
        tcp.set_nonblocking(true)?;
        Ok(Client {
            pool,
            address,
            tcp,
            open: true,
            busy: false,
            since: Instant::now(),
            sent: 0,
            head: Vec::new(),
            body_left: None,
            status: 0,
        })
    }

    /// Begins a request; Ok(false) where a part of it is still to be sent.
    pub fn start(&mut self, request: &[u8], since: Instant) -> io::Result<bool> {
        self.busy = true;
        self.since = since;
        self.sent = 0;
        self.head.clear();
        self.body_left = None;
        self.send_rest(request)
    }

    pub fn send_rest(&mut self, request: &[u8]) -> io::Result<bool> {
        if self.sent < request.len() {
            match self.tcp.write(&request[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.sent == request.len())
    }

    pub fn readable(&mut self, buffer: &mut [u8]) -> Progress {
        match self.tcp.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Progress::Waiting,
            Err(error) => self.over(error.to_string()),
            Ok(0) if self.busy => self.over("closed before the answer was whole".into()),
            Ok(0) => {
                self.open = false;
                Progress::Closed
            }
            Ok(n) => self.take(&buffer[..n]),
        }
    }

    /// Gives up what is under way.
    pub fn over(&mut self, why: String) -> Progress {
        self.open = false;
        let was_busy = std::mem::take(&mut self.busy);
        Progress::Failed { why, was_busy }
    }

    fn take(&mut self, bytes: &[u8]) -> Progress {
        if !self.busy {
            return self.over("bytes that nobody asked for".into());
        }
        let mut body = bytes.len();
        if self.body_left.is_none() {
            let whole = if self.head.is_empty() {
                bytes
            } else {
                self.head.extend_from_slice(bytes);
                &self.head
            };
            match http::response(whole) {
                Err(error) => return self.over(error),
                Ok(None) => {
                    if self.head.is_empty() {
                        self.head.extend_from_slice(bytes);
                    }
                    return Progress::Waiting;
                }
                Ok(Some(response)) => {
                    body = whole.len() - response.head_len;
                    self.body_left = Some(response.body_len);
                    self.status = response.status;
                }
            }
        }
        let left = self.body_left.unwrap_or(0);
        if body > left {
            return self.over("more bytes than Content-Length says".into());
        }
        self.body_left = Some(left - body);
        if left > body {
            return Progress::Waiting;
        }
        self.busy = false;
        Progress::Done {
            status: self.status,
            since: self.since,
        }
    }
}
