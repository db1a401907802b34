//! Everything that the one loop drives.

use crate::client::{Client, Pace, Pool, Progress, Run};
use crate::epoll::{Epoll, Event, longer_backlog};
use crate::socket::Socket;
use crate::upstream::{Answers, Counts, ServerConn, Tokens, Upstream};
use rustls::{ServerConfig, ServerConnection};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a proxy has not answered so long after a run's end counts as failed.
const DRAIN: Duration = Duration::from_secs(10);

const LISTENER: u64 = 1 << 32;
const SERVER: u64 = 2 << 32;
const CLIENT: u64 = 3 << 32;

pub struct World {
    pub epoll: Epoll,
    pub upstreams: Vec<Upstream>,
    pub pools: Vec<Pool>,
    servers: Vec<Option<Box<ServerConn>>>,
    clients: Vec<Option<Box<Client>>>,
    /// Places of closed connections, used again from the next turn on.
    free_servers: Vec<usize>,
    answers: Answers,
    buffer: Vec<u8>,
    events: Vec<Event>,
    run: Option<Run>,
}

impl World {
    pub fn new() -> io::Result<World> {
        Ok(World {
            epoll: Epoll::new()?,
            upstreams: Vec::new(),
            pools: Vec::new(),
            servers: Vec::new(),
            clients: Vec::new(),
            free_servers: Vec::new(),
            answers: Answers::new(),
            buffer: vec![0; 256 * 1024],
            events: Vec::new(),
            run: None,
        })
    }

    pub fn listen(
        &mut self,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        authority: Option<usize>,
        token: &[u8],
    ) -> io::Result<usize> {
        let listener = TcpListener::bind(address)?;
        longer_backlog(&listener)?;
        listener.set_nonblocking(true)?;
        let at = self.upstreams.len();
        self.epoll.add(listener.as_raw_fd(), LISTENER | at as u64)?;
        let (tokens, counts) = (Tokens::new(token), Counts::default());
        let authority = authority.unwrap_or(at);
        self.upstreams.push(Upstream {
            listener,
            tls,
            tokens,
            authority,
            counts,
        });
        Ok(at)
    }

    /// Opens connections to a proxy, or to several in turn; the upstream takes its own in between.
    pub fn open(
        &mut self,
        addresses: &[SocketAddr],
        count: usize,
        request: Vec<u8>,
    ) -> io::Result<usize> {
        let pool = self.pools.len();
        self.pools.push(Pool {
            request,
            clients: Vec::new(),
            numbers: None,
        });
        for opened in 0..count {
            let client = Client::connect(pool, addresses[opened % addresses.len()])?;
            let at = self.clients.len();
            self.epoll.add(client.tcp.as_raw_fd(), CLIENT | at as u64)?;
            self.clients.push(Some(Box::new(client)));
            self.pools[pool].clients.push(at);
            if opened % 16 == 0 {
                self.turn(0)?;
            }
        }
        Ok(pool)
    }

    pub fn close(&mut self, pool: usize) {
        for at in std::mem::take(&mut self.pools[pool].clients) {
            self.clients[at] = None;
        }
    }

    /// Closes the upstream's connections, so that the proxy has to connect anew.
    pub fn drop_connections(&mut self, upstream: usize) {
        for at in 0..self.servers.len() {
            if self.servers[at]
                .as_ref()
                .is_some_and(|conn| conn.upstream == upstream)
            {
                self.forget_server(at);
            }
        }
    }

    pub fn run(
        &mut self,
        run: Run,
        mut revoke: Option<(usize, Duration)>,
    ) -> io::Result<(Run, u64)> {
        let (pool, until) = (run.pool, run.until);
        self.reopen_closed(pool)?;
        self.run = Some(run);
        self.begin(pool)?;
        let mut revocations = 0;
        let mut next_revocation = Instant::now() + revoke.map_or(DRAIN, |(_, every)| every);
        loop {
            let now = Instant::now();
            let spin = self.send_due(now)?;
            let run = self.run.as_ref().expect("a run is under way");
            let more = matches!(&run.pace, Pace::Once { rest } if !rest.is_empty());
            if run.busy == 0 && !more && (now >= until || matches!(run.pace, Pace::Once { .. })) {
                break;
            }
            if now >= until + DRAIN {
                self.give_up(pool);
                break;
            }
            if let Some((upstream, every)) = revoke.filter(|_| now >= next_revocation) {
                self.upstreams[upstream].tokens.revoke();
                revocations += 1;
                next_revocation += every;
                // The last revocation is far enough from the end to be noticed.
                if next_revocation + every / 2 > until {
                    revoke = None;
                }
            }
            self.turn(if spin { 0 } else { 1 })?;
        }
        Ok((self.run.take().expect("a run is under way"), revocations))
    }

    fn reopen_closed(&mut self, pool: usize) -> io::Result<()> {
        for at in self.pools[pool].clients.clone() {
            let closed = self.clients[at].as_ref().filter(|client| !client.open);
            if let Some(address) = closed.map(|client| client.address) {
                let client = Client::connect(pool, address)?;
                self.epoll.add(client.tcp.as_raw_fd(), CLIENT | at as u64)?;
                self.clients[at] = Some(Box::new(client));
            }
        }
        Ok(())
    }

    fn begin(&mut self, pool: usize) -> io::Result<()> {
        let all = self.pools[pool].clients.clone();
        let now = Instant::now();
        match &mut self.run.as_mut().expect("a run is under way").pace {
            Pace::Rate { idle, .. } => *idle = all,
            Pace::Once { rest } => *rest = all,
            Pace::Closed => {
                for client in all {
                    self.send(client, now)?;
                }
            }
        }
        Ok(())
    }

    /// Sends what is due by the clock; true where the loop may not sleep.
    fn send_due(&mut self, now: Instant) -> io::Result<bool> {
        loop {
            let Some(run) = self.run.as_mut() else {
                return Ok(false);
            };
            let (client, since) = match &mut run.pace {
                Pace::Closed => return Ok(false),
                Pace::Once { rest } => {
                    if run.busy >= 32 {
                        return Ok(false);
                    }
                    let Some(client) = rest.pop() else {
                        return Ok(false);
                    };
                    (client, now)
                }
                Pace::Rate {
                    next,
                    every,
                    idle,
                    waiting,
                } => {
                    if now >= run.until {
                        // Not even sent: at least so late.
                        for due in waiting.drain(..) {
                            run.unsent += 1;
                            run.latency
                                .record(now.duration_since(due).as_nanos() as u64);
                        }
                        return Ok(true);
                    }
                    if *next > now {
                        return Ok(true);
                    }
                    let due = *next;
                    *next += *every;
                    match idle.pop() {
                        Some(client) => (client, due),
                        None => {
                            waiting.push_back(due);
                            continue;
                        }
                    }
                }
            };
            self.send(client, since)?;
        }
    }

    fn send(&mut self, at: usize, since: Instant) -> io::Result<()> {
        let Some(client) = self.clients[at].as_mut() else {
            return Ok(());
        };
        let run = self.run.as_mut().expect("a run is under way");
        if !client.open {
            run.fail("the proxy had closed the connection".into());
            return Ok(());
        }
        run.busy += 1;
        self.pools[client.pool].next_number();
        match client.start(&self.pools[client.pool].request, since) {
            Ok(true) => Ok(()),
            Ok(false) => self
                .epoll
                .want_write(client.tcp.as_raw_fd(), CLIENT | at as u64, true),
            Err(error) => {
                client.over(String::new());
                run.busy -= 1;
                run.fail(error.to_string());
                Ok(())
            }
        }
    }

    fn give_up(&mut self, pool: usize) {
        for &at in &self.pools[pool].clients {
            let Some(client) = self.clients[at].as_mut() else {
                continue;
            };
            if let Progress::Failed { was_busy: true, .. } = client.over(String::new()) {
                self.run
                    .as_mut()
                    .expect("a run is under way")
                    .fail("no answer in 10 s".into());
            }
        }
    }

    pub fn turn(&mut self, timeout_ms: i32) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        self.epoll.wait(timeout_ms, &mut events)?;
        let mut freed = std::mem::take(&mut self.free_servers);
        for &event in &events {
            let at = (event.key & 0xffff_ffff) as usize;
            match event.key & !0xffff_ffff {
                LISTENER => self.accept(at, &mut freed)?,
                SERVER => self.server_event(at, event.writable),
                _ => self.client_event(at, event.writable)?,
            }
        }
        self.free_servers.append(&mut freed);
        self.events = events;
        Ok(())
    }

    fn accept(&mut self, upstream: usize, free: &mut Vec<usize>) -> io::Result<()> {
        for _ in 0..64 {
            let tcp = match self.upstreams[upstream].listener.accept() {
                Ok((tcp, _)) => tcp,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            tcp.set_nonblocking(true)?;
            tcp.set_nodelay(true)?;
            let tls = self.upstreams[upstream].tls.clone();
            let tls = tls
                .map(ServerConnection::new)
                .transpose()
                .map_err(io::Error::other)?;
            let at = free.pop().unwrap_or_else(|| {
                self.servers.push(None);
                self.servers.len() - 1
            });
            self.epoll.add(tcp.as_raw_fd(), SERVER | at as u64)?;
            self.servers[at] = Some(Box::new(ServerConn::new(upstream, Socket::new(tcp, tls))));
        }
        Ok(())
    }

    fn server_event(&mut self, at: usize, writable: bool) {
        let Some(conn) = self.servers[at].as_mut() else {
            return;
        };
        let upstream = conn.upstream;
        let authority = self.upstreams[upstream].authority;
        let mut counts = std::mem::take(&mut self.upstreams[upstream].counts);
        let tokens = &mut self.upstreams[authority].tokens;
        let result = if writable {
            conn.socket.flush().map(Some)
        } else {
            conn.readable(&mut counts, tokens, &self.answers, &mut self.buffer)
        };
        self.upstreams[upstream].counts = counts;
        // A broken connection shows as a failed request at the caller, or it was idle.
        let Ok(Some(all_sent)) = result else {
            return self.forget_server(at);
        };
        if writable || !all_sent {
            let fd = conn.socket.tcp.as_raw_fd();
            if self
                .epoll
                .want_write(fd, SERVER | at as u64, !all_sent)
                .is_err()
            {
                self.forget_server(at);
            }
        }
    }

    fn forget_server(&mut self, at: usize) {
        if self.servers[at].take().is_some() {
            self.free_servers.push(at);
        }
    }

    fn client_event(&mut self, at: usize, writable: bool) -> io::Result<()> {
        let Some(client) = self.clients[at].as_mut() else {
            return Ok(());
        };
        let fd = client.tcp.as_raw_fd();
        if writable && client.open {
            let request = &self.pools[client.pool].request;
            if client.send_rest(request).unwrap_or(true) {
                self.epoll.want_write(fd, CLIENT | at as u64, false)?;
            }
        }
        let progress = client.readable(&mut self.buffer);
        if !client.open {
            // Level-triggered: a closed connection would be reported for ever.
            client.tcp.shutdown(std::net::Shutdown::Both).ok();
            self.epoll.remove(fd)?;
        }
        let Some(run) = self.run.as_mut() else {
            return Ok(());
        };
        match progress {
            Progress::Waiting | Progress::Closed => {}
            Progress::Failed { why, was_busy } => {
                run.busy -= usize::from(was_busy);
                run.fail(why);
            }
            Progress::Done { status, since } => {
                let now = Instant::now();
                run.record(now, status, since);
                if let Some(since) = run.next_for(at, now) {
                    self.send(at, since)?;
                }
            }
        }
        Ok(())
    }
}

pub fn rate(per_second: u64) -> Pace {
    Pace::Rate {
        next: Instant::now(),
        every: Duration::from_nanos(1_000_000_000 / per_second),
        idle: Vec::new(),
        waiting: VecDeque::new(),
    }
}
