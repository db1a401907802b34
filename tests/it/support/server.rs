//! An HTTP/1.1 server that answers as it is told, records what it got byte for
//! byte, and is not polite unless asked to be.

use super::gate::Gate;
use super::http::{Request, head_end};
use super::{RUNTIME, local};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is answered, and when.
#[derive(Clone, Default)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    raw: Option<Vec<u8>>,
    before: Option<Gate>,
    /// Half of the body is sent, the rest when it opens.
    halfway: Option<Gate>,
    close: bool,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200).body(body)
    }

    /// RFC 6750, 3: the token is not accepted.
    pub fn rejected() -> Self {
        Self::new(401)
            .header("WWW-Authenticate", "Bearer error=\"invalid_token\"")
            .body("rejected")
    }

    pub fn json(status: u16, body: &str) -> Self {
        Self::new(status)
            .header("Content-Type", "application/json")
            .body(body)
    }

    /// Exactly these bytes, after which the connection is closed.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: Some(bytes.into()),
            close: true,
            ..Self::default()
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn after(mut self, gate: &Gate) -> Self {
        self.before = Some(gate.clone());
        self
    }

    pub fn halfway(mut self, gate: &Gate) -> Self {
        self.halfway = Some(gate.clone());
        self
    }

    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    fn head(&self, to_head_request: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status >= 200 && !to_head_request && self.status != 204 && self.status != 304 {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

type OnHead = dyn Fn(&Request) -> Option<Answer> + Send + Sync;
type OnRequest = dyn Fn(&Request) -> Answer + Send + Sync;

struct Shared {
    requests: Mutex<Vec<Request>>,
    answered: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
    on_head: Box<OnHead>,
    on_request: Box<OnRequest>,
}

/// A running server; it ends with its last handle.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    pub fn start(on_request: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::on_port(0, |_| None, on_request)
    }

    /// With answers that are given before the body is read; the connection is
    /// then closed.
    pub fn early(
        on_head: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
        on_request: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::on_port(0, on_head, on_request)
    }

    pub fn on_port(
        port: u16,
        on_head: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
        on_request: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            answered: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            on_head: Box::new(on_head),
            on_request: Box::new(on_request),
        });
        let listener = RUNTIME.block_on(listen(local(port))).unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = RUNTIME.spawn(accept(listener, shared.clone()));
        Self {
            address,
            shared,
            accepting,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many whole requests have come.
    pub fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// How many answers have been written to their end.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Waits until nothing is left of those who are gone: a request of a process that
    /// was killed may lie here unread. Connections are accepted in their order, so
    /// this one comes after theirs.
    #[cfg(feature = "fault-points")]
    pub fn come_to_rest(&self) {
        super::client::get(self.address, "/");
        super::eventually("the server to come to rest", || self.open() == 0);
    }

    /// The only request so far.
    pub fn only(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.into_iter().next().unwrap()
    }

    pub fn last(&self) -> Request {
        self.requests().pop().expect("a request")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Listens with a backlog that a thousand clients at once fit into.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(8192)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut running = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        let shared = shared.clone();
        running.spawn(async move {
            // A peer that goes away is no concern of the server's.
            let _ = serve(stream, number, &shared).await;
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(mut stream: TcpStream, number: usize, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(end) = read_until(&mut stream, &mut buffer, head_end).await? else {
            return Ok(());
        };
        let head: Vec<u8> = buffer.drain(..end).collect();
        let mut request = Request::parse(&head, number);
        if let Some(answer) = (shared.on_head)(&request) {
            shared.requests.lock().unwrap().push(request);
            respond(&mut stream, &answer, false).await?;
            shared.answered.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        if request.header("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if !read_body(&mut stream, &mut buffer, &mut request).await? {
            return Ok(());
        }
        let answer = (shared.on_request)(&request);
        let to_head = request.method == "HEAD";
        let asked = request.header("connection") == Some("close");
        shared.requests.lock().unwrap().push(request);
        respond(&mut stream, &answer, to_head).await?;
        shared.answered.fetch_add(1, Ordering::SeqCst);
        if answer.close || asked {
            return Ok(());
        }
    }
}

/// Reads until `find` finds an end; `None` when the peer ends first.
async fn read_until(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    find: impl Fn(&[u8]) -> Option<usize>,
) -> io::Result<Option<usize>> {
    loop {
        if let Some(end) = find(buffer) {
            return Ok(Some(end));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// False when the peer ends in the middle.
async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &mut Request,
) -> io::Result<bool> {
    if request.header("transfer-encoding").is_some() {
        return read_chunks(stream, buffer, request).await;
    }
    let length: usize = request
        .header("content-length")
        .map_or(0, |l| l.parse().unwrap());
    let whole = |b: &[u8]| (b.len() >= length).then_some(length);
    let Some(end) = read_until(stream, buffer, whole).await? else {
        return Ok(false);
    };
    request.body = buffer.drain(..end).collect();
    Ok(true)
}

async fn read_chunks(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &mut Request,
) -> io::Result<bool> {
    let line = |b: &[u8]| b.windows(2).position(|w| w == b"\r\n");
    loop {
        let Some(end) = read_until(stream, buffer, line).await? else {
            return Ok(false);
        };
        let size = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16).unwrap();
        let chunk = end + 2 + size + 2;
        let whole = |b: &[u8]| (b.len() >= chunk).then_some(chunk);
        if read_until(stream, buffer, whole).await?.is_none() {
            return Ok(false);
        }
        request
            .body
            .extend_from_slice(&buffer[end + 2..end + 2 + size]);
        buffer.drain(..chunk);
        if size == 0 {
            return Ok(true);
        }
    }
}

/// Waits at the gate; a peer that hangs up meanwhile ends that.
async fn wait(stream: &TcpStream, gate: &Gate) -> io::Result<()> {
    let mut byte = [0];
    tokio::select! {
        () = gate.pass() => Ok(()),
        // The rest of a request that was answered early is no hanging up.
        Ok(0) = stream.peek(&mut byte) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn respond(stream: &mut TcpStream, answer: &Answer, to_head: bool) -> io::Result<()> {
    if let Some(gate) = &answer.before {
        wait(stream, gate).await?;
    }
    if let Some(raw) = &answer.raw {
        return stream.write_all(raw).await;
    }
    let mut bytes = answer.head(to_head);
    let body: &[u8] = if to_head { &[] } else { &answer.body };
    let (first, second) = body.split_at(body.len() / 2);
    bytes.extend_from_slice(first);
    if let Some(gate) = &answer.halfway {
        stream.write_all(&bytes).await?;
        bytes.clear();
        wait(stream, gate).await?;
    }
    bytes.extend_from_slice(second);
    stream.write_all(&bytes).await
}
