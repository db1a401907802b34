//! What an upstream over HTTP/2 is told of a request, and its caller of the
//! answer: heads, bodies and trailers in the form of the other version.

use crate::support::{AuthServer, Conf, Conn, RUNTIME, Sidekey, call, local};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// A request as it came, its body and its trailers.
type Came = (Request<()>, Vec<u8>, HeaderMap);

/// h2 itself as an upstream.
struct Upstream {
    address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Upstream {
    fn start(answer: fn() -> (Response<()>, &'static str, HeaderMap)) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind(local(0))).unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::<Mutex<Vec<Came>>>::default();
        let all = came.clone();
        RUNTIME.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let all = all.clone();
                tokio::spawn(async move {
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let all = all.clone();
                        tokio::spawn(async move {
                            let came = read(request).await;
                            all.lock().unwrap().push(came);
                            let (head, body, trailers) = answer();
                            let mut out = respond.send_response(head, false).unwrap();
                            out.send_data(Bytes::from(body), trailers.is_empty())
                                .unwrap();
                            if !trailers.is_empty() {
                                out.send_trailers(trailers).unwrap();
                            }
                        });
                    }
                });
            }
        });
        Self { address, came }
    }

    fn sidekey(&self, auth: &AuthServer) -> Sidekey {
        let url = format!("h2c://{}/", self.address);
        Sidekey::run(&Conf::at(&auth.endpoint(), &url))
    }

    fn last(&self) -> Came {
        self.came.lock().unwrap().pop().unwrap()
    }
}

async fn read(request: Request<h2::RecvStream>) -> Came {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend(data);
    }
    let trailers = stream.trailers().await.unwrap_or_default();
    (
        Request::from_parts(head, ()),
        body,
        trailers.unwrap_or_default(),
    )
}

fn plain() -> (Response<()>, &'static str, HeaderMap) {
    (Response::new(()), "an answer", HeaderMap::new())
}

#[test]
fn a_head_says_what_it_said_in_http1() {
    let auth = AuthServer::start();
    let upstream = Upstream::start(plain);
    let sidekey = upstream.sidekey(&auth);
    let fields = [
        ("X-A", "b"),
        ("Connection", "X-Gone, TE"),
        ("X-Gone", "1"),
        ("TE", "trailers, deflate"),
        ("Keep-Alive", "timeout=5"),
        ("Authorization", "of the caller"),
    ];
    let answer = call(sidekey.proxy, "GET", "/api/x?y=z", &fields, b"");
    assert_eq!((answer.status, answer.text()), (200, "an answer".into()));
    let (request, body, _) = upstream.last();
    let uri = format!("http://{}/x?y=z", upstream.address);
    assert_eq!(request.uri().to_string(), uri);
    let headers = request.headers();
    assert_eq!(headers["x-a"], "b");
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["authorization"], format!("Bearer {}", auth.token()));
    for gone in ["x-gone", "connection", "keep-alive", "host"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert!(body.is_empty());
    sidekey.get("/api/");
    assert!(!upstream.last().0.headers().contains_key("te"));
}

#[test]
fn a_chunked_body_is_data_and_its_trailers_are_not_ours() {
    let auth = AuthServer::start();
    let upstream = Upstream::start(plain);
    let sidekey = upstream.sidekey(&auth);
    let mut caller = Conn::to(sidekey.proxy);
    caller.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Sum\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\
         X-Sum: 6\r\nAuthorization: mine\r\nKeep-Alive: x\r\n\r\n",
        sidekey.proxy
    ));
    assert_eq!(caller.response().status, 200);
    let (request, body, trailers) = upstream.last();
    assert_eq!(body, b"hello!");
    assert!(!request.headers().contains_key("transfer-encoding"));
    assert!(!request.headers().contains_key("content-length"));
    let names: Vec<_> = trailers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-sum"]);
    let mut caller = Conn::to(sidekey.proxy);
    let expect = format!(
        "POST /api/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\n\
         Expect: 100-continue\r\n\r\n",
        sidekey.proxy
    );
    caller.send(expect);
    assert_eq!(caller.response().status, 100);
    caller.send("hello");
    assert_eq!(caller.response().status, 200);
    let (request, body, _) = upstream.last();
    assert_eq!(body, b"hello");
    assert_eq!(request.headers()["content-length"], "5");
    assert!(!request.headers().contains_key("expect"));
}

#[test]
fn trailers_reach_a_caller_that_takes_them() {
    let auth = AuthServer::start();
    let upstream = Upstream::start(|| {
        let head = Response::builder().header("trailer", "x-sum").body(());
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("9"));
        (head.unwrap(), "an answer", trailers)
    });
    let sidekey = upstream.sidekey(&auth);
    let mut caller = Conn::to(sidekey.proxy);
    caller.send(format!(
        "GET /api/ HTTP/1.1\r\nHost: {}\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
        sidekey.proxy
    ));
    let said = caller.until("\r\n0\r\nx-sum: 9\r\n\r\n");
    assert!(said.contains("an answer"), "{said}");
}
