//! The request path at the socket: whatever bytes a caller sends, what reaches
//! the upstream is plain, and the next request gets its own answer.

use super::strict;
use sidekey::base::clock::SystemClock;
use sidekey::base::secret::Secret;
use sidekey::config::checked::Config;
use sidekey::net::dial::Dialer;
use sidekey::net::listen::{Local, Socket, bind};
use sidekey::net::worker::Io;
use sidekey::proxy::{Listening, Parts, Seam, Workers, start};
use sidekey::token::{self, Announced, Attach, Granted, TokenPlace, Way};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

const TOKEN: &[u8] = b"Bearer the-token";
/// For an answer that may not come: a head may be waiting for its end.
const SHORT: Duration = Duration::from_millis(3);
/// For one that must.
const LONG: Duration = Duration::from_secs(20);

/// What was wrong, as the upstream or a panicking thread found it.
static WRONG: Mutex<Option<String>> = Mutex::new(None);
static PROXY: LazyLock<Proxy> = LazyLock::new(Proxy::start);

/// The bytes of a caller's connection.
pub fn run(data: &[u8]) {
    let proxy = PROXY.address;
    // A reset or an early end is an answer too.
    let _ = converse(proxy, data);
    assert_own_answer(proxy);
    let wrong = WRONG.lock().unwrap_or_else(|e| e.into_inner()).take();
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

fn converse(proxy: SocketAddr, data: &[u8]) -> io::Result<()> {
    let mut caller = TcpStream::connect(proxy)?;
    caller.set_write_timeout(Some(LONG))?;
    caller.set_read_timeout(Some(SHORT))?;
    caller.write_all(data)?;
    let mut some = [0; 4096];
    if caller.read(&mut some).is_ok_and(|n| n == 0) {
        return Ok(());
    }
    caller.shutdown(std::net::Shutdown::Write)?;
    caller.set_read_timeout(Some(LONG))?;
    caller.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn assert_own_answer(proxy: SocketAddr) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let target = format!("/fine/{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let answer = TcpStream::connect(proxy).and_then(|mut caller| {
        caller.set_read_timeout(Some(LONG))?;
        let close = "Connection: close";
        let request = format!("GET {target} HTTP/1.1\r\nHost: {proxy}\r\n{close}\r\n\r\n");
        caller.write_all(request.as_bytes())?;
        let mut answer = String::new();
        caller.read_to_string(&mut answer)?;
        Ok(answer)
    });
    let answer = answer.unwrap_or_else(|e| e.to_string());
    let own = answer.starts_with("HTTP/1.1 200") && answer.ends_with(&format!("\r\n\r\n{target}"));
    assert!(own, "{target}: {answer:?}");
}

fn report(wrong: String) {
    *WRONG.lock().unwrap_or_else(|e| e.into_inner()) = Some(wrong);
}

/// One worker in this process, behind a listener on loopback.
struct Proxy {
    address: SocketAddr,
    _workers: Workers,
    _cold: tokio::runtime::Runtime,
    _publisher: token::Publisher,
}

impl Proxy {
    fn start() -> Self {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A task that panics ends alone; here it must not go unseen.
            report(panic.to_string());
            before(panic);
        }));
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let listening = Listening {
            id: 0,
            address: Local::Tcp(address),
            hosts: Vec::new(),
            tls: None,
            callers: None,
            connect: None,
            routes: None,
            socket: Some(Socket::Tcp(listener)),
        };
        let config = config(upstream());
        let cold = tokio::runtime::Builder::new_multi_thread();
        let cold = { cold }.worker_threads(1).enable_all().build().unwrap();
        let (publisher, seam) = account();
        let workers = start(Parts {
            issuers: sidekey::token::Issuers::default(),
            listeners: vec![listening],
            accounts: config
                .routes
                .iter()
                .map(|r| (r.account.clone(), seam.clone()))
                .collect(),
            routes: config.routes.into_iter().map(Arc::new).collect(),
            asker: token::channel().0,
            limits: config.limits,
            token_wait: config.refresh.token_wait,
            workers: 1,
            io: Io::Poll,
            spins: true,
            access: None,
            traces: None,
            clock: SystemClock::start(),
            public_url: "http://127.0.0.1:1".into(),
            dialer: Dialer::new(cold.handle().clone()),
        });
        Self {
            address,
            _workers: workers.unwrap(),
            _cold: cold,
            _publisher: publisher,
        }
    }
}

fn config(upstream: SocketAddr) -> Config {
    let text = format!(
        "limits: {{header_timeout: 5s, header_bytes: 8KiB, header_count: 30}}\n\
         integrations:\n\
         - key: a\n\
         \x20 oauth2: {{grant_type: client_credentials, token_endpoint: 'http://127.0.0.1:1/', client_id: a, client_secret: b}}\n\
         accounts: [{{key: a, integration: a}}]\n\
         routes: [{{path: /, upstream: 'http://{upstream}/', account: a, timeout: 5s}}]\n"
    );
    let config = sidekey::config::load_text("fuzz.yaml", &text, &|_| None);
    config.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
}

/// The token is the whole value.
struct AsItIs;

impl Way for AsItIs {
    fn attach(&self, token: &Secret) -> Result<Attach, String> {
        Ok(Attach {
            token: TokenPlace::Header {
                name: http::header::AUTHORIZATION,
                value: http::HeaderValue::from_str(token.expose()).expect("a value"),
            },
            headers: Vec::new(),
            query: Vec::new(),
        })
    }
}

fn account() -> (token::Publisher, Seam) {
    let (publisher, shared) = token::slot();
    publisher.publish(Announced::Valid(Granted {
        generation: 1,
        expiry: None,
        void_before: 0,
        token: Secret::new(String::from_utf8_lossy(TOKEN).into_owned()),
        way: Arc::new(AsItIs),
    }));
    let seam = Seam {
        shared,
        retry_on: Arc::from([401, 403]),
    };
    (publisher, seam)
}

/// A server that answers each request with its target; gives its address.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || serve(connection, address));
        }
    });
    address
}

fn serve(mut connection: TcpStream, own: SocketAddr) {
    let mut bytes = Vec::new();
    let mut some = [0; 16_384];
    loop {
        match strict::read(&bytes) {
            Err(fault) => return report(fault),
            Ok(None) => match connection.read(&mut some) {
                Ok(0) | Err(_) => return,
                Ok(n) => bytes.extend_from_slice(&some[..n]),
            },
            Ok(Some((message, length))) => {
                if let Some(wrong) = wrong_with(&message, own) {
                    return report(format!("{wrong}: {message:?}"));
                }
                bytes.drain(..length);
                if answer(&mut connection, &message).is_err() {
                    return;
                }
            }
        }
    }
}

/// What no caller may bring about.
fn wrong_with(message: &strict::Message, own: SocketAddr) -> Option<&'static str> {
    let ends_here = ["keep-alive", "te", "proxy-connection"];
    if message.all("authorization") != [TOKEN] {
        return Some("not our token alone");
    }
    if message.all("host") != [own.to_string().as_bytes()] {
        return Some("not the upstream's host");
    }
    if ends_here.iter().any(|name| !message.all(name).is_empty()) {
        return Some("a field that ends at the caller's connection");
    }
    let expect = message.all("expect");
    if !expect.is_empty() && expect != [b"100-continue"] {
        return Some("an expectation that is not ours");
    }
    let upgrade = (message.all("connection"), message.all("upgrade"));
    let is_websocket = upgrade.0 == [b"Upgrade"] && upgrade.1 == [b"websocket"];
    let is_plain = upgrade.0.is_empty() && upgrade.1.is_empty();
    if !(is_plain || is_websocket && message.method == "GET") {
        return Some("an upgrade that is no WebSocket");
    }
    let path = message.target.split('?').next().unwrap_or_default();
    sidekey::proxy::fuzzed::has_dot_segment(path).then_some("a dot segment")
}

fn answer(connection: &mut TcpStream, message: &strict::Message) -> io::Result<()> {
    let body = if message.method == "HEAD" {
        ""
    } else {
        &message.target
    };
    let length = message.target.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    connection.write_all(answer.as_bytes())
}
