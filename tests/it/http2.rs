//! HTTP/2 from callers: the same requests and answers as by HTTP/1.1, many at
//! once on one connection.

use crate::support::http::head_end;
use crate::support::{Answer, AuthServer, Conf, Gate, RUNTIME, Server, Sidekey, eventually};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::net::TcpStream;

type Sender = SendRequest<Bytes>;

struct Got {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn open(address: SocketAddr) -> Sender {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender
}

async fn receive(answer: h2::client::ResponseFuture) -> Got {
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut got = Got {
        status: head.status.as_u16(),
        headers: head.headers,
        body: Vec::new(),
        trailers: None,
    };
    while let Some(chunk) = body.data().await {
        match chunk {
            Ok(chunk) => {
                let _ = body.flow_control().release_capacity(chunk.len());
                got.body.extend_from_slice(&chunk);
            }
            // A whole answer to a request that was not read to its end (RFC 9113, 8.1).
            Err(error) if error.reason() == Some(h2::Reason::NO_ERROR) => return got,
            Err(error) => panic!("{error}"),
        }
    }
    got.trailers = body.trailers().await.unwrap_or_default();
    got
}

async fn exchange(sender: &Sender, request: Request<()>, body: &[u8]) -> Got {
    let mut sender = sender.clone().ready().await.unwrap();
    let (answer, mut stream) = sender.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        // It may have been answered by now, and want no body.
        let _ = stream.send_data(Bytes::copy_from_slice(body), true);
    }
    receive(answer).await
}

fn request(method: &str, address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let request = Request::builder().method(method);
    let request = request.uri(format!("http://{address}{path}"));
    let all = fields.iter();
    let request = all.fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(()).unwrap()
}

/// One request on a connection of its own.
fn call(sidekey: &Sidekey, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Got {
    RUNTIME.block_on(async {
        let sender = open(sidekey.proxy).await;
        exchange(&sender, request(method, sidekey.proxy, path, fields), body).await
    })
}

#[test]
fn requests_are_answered_as_by_http1() {
    let auth = AuthServer::start();
    let upstream = auth.echo();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let got = call(&sidekey, "GET", "/api/x?y=z", &[], b"");
    assert_eq!((got.status, &got.body[..]), (200, &b"GET /x?y=z "[..]));
    let sent = upstream.only();
    assert_eq!(sent.header("host"), Some(&*upstream.address.to_string()));
    assert_eq!(sent.header("transfer-encoding"), None);
    let got = call(
        &sidekey,
        "POST",
        "/api/",
        &[("content-length", "4")],
        b"body",
    );
    assert_eq!(got.body, b"POST / body");
    assert_eq!(upstream.last().header("content-length"), Some("4"));
    for method in ["POST", "GET"] {
        // Of no announced length, also where HTTP/1.1 seldom has a body.
        let got = call(&sidekey, method, "/api/", &[("te", "trailers")], b"body");
        assert_eq!(got.body, format!("{method} / body").as_bytes());
        assert_eq!(upstream.last().header("transfer-encoding"), Some("chunked"));
        assert_eq!(upstream.last().header("te"), None);
    }
}

#[test]
fn answers_without_content_have_none() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| match request.target.as_str() {
        "/none" => Answer::new(204),
        "/same" => Answer::new(304).header("Content-Length", "5"),
        _ => Answer::new(200).header("Content-Length", "5"),
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    for (method, path, expected) in [
        ("HEAD", "/api/", (200, Some("5"))),
        ("GET", "/api/none", (204, None)),
        ("GET", "/api/same", (304, Some("5"))),
    ] {
        let got = call(&sidekey, method, path, &[], b"");
        assert_eq!((got.status, got.header("content-length")), expected);
        assert!(got.body.is_empty(), "{path}");
    }
    let got = call(&sidekey, "HEAD", "/nowhere", &[], b"");
    assert_eq!(
        (got.status, got.header("sidekey-error")),
        (404, Some("route_not_found"))
    );
    assert!(got.body.is_empty() && got.header("content-length") != Some("0"));
    let got = call(&sidekey, "GET", "/nowhere", &[], b"");
    assert_eq!(got.header("content-type"), Some("application/problem+json"));
    assert_eq!(
        got.header("content-length"),
        Some(&*got.body.len().to_string())
    );
}

#[test]
fn a_hundred_requests_at_once_share_a_connection() {
    let auth = AuthServer::start();
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let upstream = Server::start(move |request| match request.target.as_str() {
        "/first" => Answer::ok("first"),
        other => Answer::ok(other).after(&at_gate),
    });
    let conf = Conf::new(&auth, &upstream).top("workers: {count: 1}");
    let sidekey = Sidekey::run(&conf);
    let address = sidekey.proxy;
    // Its answer comes behind the SETTINGS that say how many there may be.
    let sender = RUNTIME.block_on(async {
        let sender = open(address).await;
        let first = request("GET", address, "/api/first", &[]);
        assert_eq!(exchange(&sender, first, b"").await.status, 200);
        sender
    });
    let calls: Vec<_> = (0..120)
        .map(|number| {
            let sender = sender.clone();
            RUNTIME.spawn(async move {
                let path = format!("/api/{number}");
                exchange(&sender, request("GET", address, &path, &[]), b"").await
            })
        })
        .collect();
    eventually("a hundred of them", || gate.came() >= 100);
    assert_eq!(gate.came(), 100, "limits.http2_streams");
    gate.open();
    for (number, call) in calls.into_iter().enumerate() {
        let got = RUNTIME.block_on(call).unwrap();
        assert_eq!(got.status, 200);
        assert_eq!(got.body, format!("/{number}").as_bytes());
    }
}

#[test]
fn a_kept_body_is_sent_again_after_a_401() {
    let auth = AuthServer::start();
    let upstream = auth.echo();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    assert_eq!(call(&sidekey, "GET", "/api/", &[], b"").status, 200);
    auth.revoke();
    let body = vec![b'b'; 30_000];
    let got = call(&sidekey, "POST", "/api/", &[], &body);
    assert_eq!(got.status, 200);
    assert_eq!(got.body, [b"POST / ", &body[..]].concat());
    assert_eq!(auth.count(), 2);
}

#[test]
fn a_body_that_is_still_coming_is_sent_again_after_an_early_401() {
    let auth = AuthServer::start();
    let (early, live) = (auth.checker(), auth.checker());
    let upstream = Server::early(
        move |request| (!early(request)).then(Answer::rejected),
        move |request| match live(request) {
            true => Answer::ok(request.body.clone()),
            false => Answer::rejected(),
        },
    );
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    assert_eq!(call(&sidekey, "GET", "/api/", &[], b"").status, 200);
    auth.revoke();
    let got = RUNTIME.block_on(async {
        let mut sender = open(sidekey.proxy).await.ready().await.unwrap();
        let post = request("POST", sidekey.proxy, "/api/", &[]);
        let (answer, mut stream) = sender.send_request(post, false).unwrap();
        stream
            .send_data(Bytes::from_static(b"first,"), false)
            .unwrap();
        // The rest comes only once the token has been refreshed.
        while auth.count() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        stream
            .send_data(Bytes::from_static(b"second"), true)
            .unwrap();
        receive(answer).await
    });
    assert_eq!((got.status, &got.body[..]), (200, &b"first,second"[..]));
}

/// A server that answers one request after another with these bytes, and hands
/// out what came up to and with a text.
fn verbatim(answer: &'static [u8], last: &'static str) -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let came = Arc::<Mutex<String>>::default();
    let seen = came.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let whole = |bytes: &[u8]| {
                head_end(bytes).is_some() && String::from_utf8_lossy(bytes).ends_with(last)
            };
            while !whole(&bytes) {
                let mut some = [0; 4096];
                match stream.read(&mut some) {
                    Ok(length) if length > 0 => bytes.extend_from_slice(&some[..length]),
                    _ => break,
                }
            }
            *seen.lock().unwrap() = String::from_utf8_lossy(&bytes).into_owned();
            let _ = stream.write_all(answer);
        }
    });
    (address, came)
}

#[test]
fn trailers_go_both_ways_and_hop_by_hop_fields_neither() {
    let auth = AuthServer::start();
    let answer = b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
        Proxy-Connection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nUpgrade: h2c\r\n\r\n\
        4\r\nbody\r\n0\r\nX-Sum: 9\r\nKeep-Alive: timeout=5\r\nConnection: close\r\n\r\n";
    let (upstream, came) = verbatim(answer, "x-check: 7\r\n\r\n");
    let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), &format!("http://{upstream}/")));
    let got = RUNTIME.block_on(async {
        let mut sender = open(sidekey.proxy).await.ready().await.unwrap();
        let post = request("POST", sidekey.proxy, "/api/", &[("trailer", "x-check")]);
        let (answer, mut stream) = sender.send_request(post, false).unwrap();
        stream
            .send_data(Bytes::from_static(b"body"), false)
            .unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-check", "7".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        receive(answer).await
    });
    assert_eq!((got.status, &got.body[..]), (200, &b"body"[..]));
    let trailers = got.trailers.as_ref().expect("trailers");
    assert_eq!(trailers["x-sum"], "9");
    assert_eq!(trailers.len(), 1, "{trailers:?}");
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        assert_eq!(got.header(name), None, "{name}");
    }
    let came = came.lock().unwrap().to_lowercase();
    assert!(
        came.ends_with("4\r\nbody\r\n0\r\nx-check: 7\r\n\r\n"),
        "{came:?}"
    );
}

#[test]
fn cookies_are_one_field_at_an_upstream_of_http1() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let crumbs = [
        ("cookie", "a=1"),
        ("cookie", "__sidekey-session=x"),
        ("cookie", "b=2"),
    ];
    assert_eq!(call(&sidekey, "GET", "/api/", &crumbs, b"").status, 200);
    assert_eq!(upstream.only().header("cookie"), Some("a=1; b=2"));
}

#[test]
fn refusals_speak_grpc_to_a_grpc_caller() {
    let auth = AuthServer::start();
    let gone = Server::start(|_| Answer::raw(""));
    let conf = Conf::new(&auth, &gone);
    let sidekey = Sidekey::run(&conf);
    let grpc = [
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
    ];
    let ask = |path, more: &[(&'static str, &'static str)]| {
        call(
            &sidekey,
            "POST",
            path,
            &[&grpc[..], more].concat(),
            b"\0\0\0\0\0",
        )
    };
    for (got, status, code) in [
        (
            ask("/api/Service/Method", &[]),
            "14",
            "upstream_unreachable",
        ),
        (ask("/nowhere", &[]), "12", "route_not_found"),
        (
            ask("/api/", &[("origin", "https://evil.example")]),
            "7",
            "caller_not_allowed",
        ),
        (
            ask("/api/", &[("host", "other.localhost")]),
            "13",
            "bad_request",
        ),
    ] {
        assert_eq!(got.status, 200, "{code}");
        assert_eq!(got.header("content-type"), Some("application/grpc"));
        assert_eq!(got.header("grpc-status"), Some(status), "{code}");
        assert_eq!(got.header("sidekey-error"), Some(code));
        assert!(
            got.header("grpc-message")
                .is_some_and(|text| !text.is_empty())
        );
        assert!(got.body.is_empty() && got.trailers.is_none());
    }
    let plain = call(&sidekey, "POST", "/nowhere", &[], b"x");
    assert_eq!((plain.status, plain.header("grpc-status")), (404, None));
}

#[test]
fn an_account_without_a_token_is_unavailable_and_a_timeout_a_deadline() {
    let auth = AuthServer::start();
    auth.fail(Answer::new(500));
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top("refresh: {token_wait: 100ms}");
    let sidekey = Sidekey::run_unready(&conf);
    let grpc = [("content-type", "application/grpc")];
    let got = call(&sidekey, "POST", "/api/", &grpc, b"\0\0\0\0\0");
    assert_eq!(got.header("sidekey-error"), Some("token_unavailable"));
    assert_eq!((got.status, got.header("grpc-status")), (200, Some("14")));

    let auth = AuthServer::start();
    let gate = Gate::closed();
    let upstream = Server::start(move |_| Answer::ok("late").after(&gate));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream).route("timeout: 200ms"));
    let got = call(&sidekey, "POST", "/api/", &grpc, b"\0\0\0\0\0");
    assert_eq!(got.header("sidekey-error"), Some("upstream_timeout"));
    assert_eq!(got.header("grpc-status"), Some("4"));
}

#[test]
fn bodies_of_streams_have_the_same_limit() {
    let auth = AuthServer::start();
    let upstream = auth.echo();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream).route("max_body: 1000"));
    for length in [None, Some("1001")] {
        let fields: Vec<_> = length.map(|l| ("content-length", l)).into_iter().collect();
        let got = call(&sidekey, "POST", "/api/", &fields, &[b'x'; 1001]);
        let code = got.header("sidekey-error");
        assert_eq!((got.status, code), (413, Some("payload_too_large")));
    }
    let got = call(&sidekey, "POST", "/api/", &[], &[b'x'; 1000]);
    assert_eq!(got.status, 200);
    assert_eq!(upstream.count(), 1);
}
