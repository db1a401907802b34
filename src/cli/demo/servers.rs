//! The demonstration's authorization server and API: real servers over real
//! sockets, on loopback, good for nothing else.

use super::ledger::{Judgement, Ledger};
use super::sign_in;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;

/// The one client that the authorization server knows.
pub const CLIENT_ID: &str = "demo-client";
/// Its secret, which guards nothing.
pub const CLIENT_SECRET: &str = "demo-secret";

const BODY_BYTES: usize = 64 * 1024;

pub type Reply = Response<Full<Bytes>>;

/// Where the two servers listen; they end with the process.
pub struct Servers {
    pub token: SocketAddr,
    pub api: SocketAddr,
}

impl Servers {
    /// Starts both.
    pub async fn start(token: u16, api: u16, ledger: &Arc<Ledger>) -> Result<Self, String> {
        let token = listen(token, "the demonstration's authorization server").await?;
        let api = listen(api, "the demonstration's API").await?;
        let place = |listener: &TcpListener| listener.local_addr().map_err(|why| why.to_string());
        let servers = Self {
            token: place(&token)?,
            api: place(&api)?,
        };
        tokio::spawn(serve(token, ledger.clone(), authorization_server));
        tokio::spawn(serve(api, ledger.clone(), api_server));
        Ok(servers)
    }
}

async fn listen(port: u16, what: &str) -> Result<TcpListener, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|why| {
            format!(
                "127.0.0.1:{port}, meant for {what}, can't be used: {why}\n\
             Choose other ports: sidekey demo --port-base PORT"
            )
        })
}

async fn serve(
    listener: TcpListener,
    ledger: Arc<Ledger>,
    answer: fn(&Ledger, &Request<Bytes>) -> Reply,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let ledger = ledger.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let ledger = ledger.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = Limited::new(body, BODY_BYTES).collect().await;
                let body = body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
                Ok::<_, Infallible>(answer(&ledger, &Request::from_parts(head, body)))
            }
        });
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

/// RFC 6749, 4.4, with the client's credentials in Basic authentication; and
/// 4.1, for a person.
fn authorization_server(ledger: &Ledger, request: &Request<Bytes>) -> Reply {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/authorize") => return sign_in::page(request),
        (&Method::GET, "/agree") => return sign_in::agree(&ledger.person, request),
        _ => {}
    }
    if (request.method(), request.uri().path()) != (&Method::POST, "/token") {
        return json(StatusCode::NOT_FOUND, r#"{"error":"not_found"}"#.into());
    }
    if let Some(reply) = sign_in::tokens(&ledger.person, request.body()) {
        return reply;
    }
    if !is_the_client(request) {
        return json(
            StatusCode::UNAUTHORIZED,
            r#"{"error":"invalid_client"}"#.into(),
        );
    }
    let grant = url::form_urlencoded::parse(request.body()).find(|(name, _)| name == "grant_type");
    if grant.is_none_or(|(_, value)| value != "client_credentials") {
        return json(
            StatusCode::BAD_REQUEST,
            r#"{"error":"unsupported_grant_type"}"#.into(),
        );
    }
    match ledger.issue() {
        Some((token, life)) => json(
            StatusCode::OK,
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{life}}}"#),
        ),
        None => json(
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"error":"temporarily_unavailable"}"#.into(),
        ),
    }
}

fn is_the_client(request: &Request<Bytes>) -> bool {
    let expected = STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    authorization(request).and_then(|value| value.strip_prefix("Basic ")) == Some(&expected)
}

fn api_server(ledger: &Ledger, request: &Request<Bytes>) -> Reply {
    let path = request.uri().path();
    if path.starts_with("/profile") {
        return profile(ledger, request);
    }
    let challenge = match ledger.judge(path, authorization(request)) {
        Judgement::Accepted(number) => {
            let body = serde_json::json!({"path": path, "token_number": number});
            return json(StatusCode::OK, body.to_string());
        }
        Judgement::NoToken => r#"Bearer realm="demo""#,
        Judgement::DeadToken => r#"Bearer realm="demo", error="invalid_token""#,
    };
    let mut reply = json(
        StatusCode::UNAUTHORIZED,
        r#"{"error":"a live token is needed"}"#.into(),
    );
    let challenge = http::HeaderValue::from_static(challenge);
    reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    reply
}

/// Answers a person's token only.
fn profile(ledger: &Ledger, request: &Request<Bytes>) -> Reply {
    let token = authorization(request).and_then(|value| value.strip_prefix("Bearer "));
    if token.is_some_and(|token| ledger.person.knows(token)) {
        return json(StatusCode::OK, r#"{"name":"Ada"}"#.into());
    }
    json(
        StatusCode::UNAUTHORIZED,
        r#"{"error":"a person's token is needed"}"#.into(),
    )
}

fn authorization(request: &Request<Bytes>) -> Option<&str> {
    request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
}

pub fn json(status: StatusCode, body: String) -> Reply {
    let mut reply = Response::new(Full::from(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    reply
}
