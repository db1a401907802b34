//! Against servers in this process that do what real ones should not.

use super::{client, secret};
use crate::account::{OAuthClient, SecretSource};
use crate::base::clock::Wall;
use crate::config::checked::{ClientAuth, TokenMethod};
use crate::oauth::FailureKind::{Misconfigured, Transient};
use crate::oauth::{Exchange, Failure, Grant, TokenAnswer};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_secs(2);

fn exchange() -> Exchange {
    // A second installation in the same process is refused; the first one serves.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Exchange::new(TIMEOUT).unwrap()
}

/// Serves one connection with `answer` and gives the request's head and body.
async fn serve(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/token", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
        request
    });
    (endpoint, served)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let mut chunk = [0; 4_096];
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let length = text
            .lines()
            .find_map(|l| {
                l.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        let whole = text
            .split_once("\r\n\r\n")
            .is_some_and(|(_, body)| body.len() >= length);
        if whole || read == 0 {
            return text;
        }
    }
}

fn with_length(head: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn run(client: &OAuthClient) -> Result<TokenAnswer, Failure> {
    let now = Wall::new(Duration::from_secs(1_700_000_000));
    exchange().run(client, &Grant::ClientCredentials, now).await
}

async fn against(answer: Vec<u8>) -> Result<TokenAnswer, Failure> {
    let (endpoint, _served) = serve(answer).await;
    run(&with_secret(&endpoint)).await
}

fn with_secret(endpoint: &str) -> OAuthClient {
    let mut client = client(endpoint);
    client.client_secret = Some(SecretSource::Text(secret("hunter2-hunter2")).into());
    client
}

#[tokio::test]
async fn a_token_comes() {
    let answer = with_length("200 OK", r#"{"access_token":"t","expires_in":60}"#);
    let (endpoint, served) = serve(answer).await;
    let token = run(&with_secret(&endpoint)).await.unwrap();
    assert_eq!(token.access_token.expose(), "t");
    let request = served.await.unwrap();
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\naccept: application/json\r\n"));
    assert!(request.contains("\r\nauthorization: Basic "));
    assert!(request.ends_with("grant_type=client_credentials&scope=api+read"));
    assert!(!request.contains("accept-encoding"));
}

#[tokio::test]
async fn by_get_and_with_the_secret_from_a_file_read_each_time() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for key in ["first", "second"] {
        std::fs::write(file.path(), format!("{key}\r\n")).unwrap();
        let (endpoint, served) = serve(with_length("200 OK", "access_token=t")).await;
        let mut client = client(&endpoint);
        client.token_endpoint_method = TokenMethod::Get;
        client.token_endpoint_auth_method = ClientAuth::Post;
        client.client_secret = Some(SecretSource::File(file.path().to_owned()).into());
        run(&client).await.unwrap();
        let request = served.await.unwrap();
        let sent = format!("&client_secret={key} HTTP/1.1\r\n");
        assert!(request.contains(&sent), "{request}");
    }
}

#[tokio::test]
async fn a_secret_file_that_is_no_good_is_said() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    for path in [empty.path(), "/nonexistent/secret".as_ref()] {
        let mut client = client("http://127.0.0.1:1/");
        client.client_secret = Some(SecretSource::File(path.to_owned()).into());
        let failure = run(&client).await.unwrap_err();
        assert_eq!(failure.kind, Misconfigured);
        assert!(
            failure.what.contains(path.to_str().unwrap()),
            "{}",
            failure.what
        );
        assert!(!failure.maybe_spent);
    }
}

#[tokio::test]
async fn a_server_that_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/very/secret/path", listener.local_addr().unwrap());
    drop(listener);
    let failure = run(&with_secret(&endpoint)).await.unwrap_err();
    assert_eq!(failure.kind, Transient);
    assert!(!failure.maybe_spent, "nothing was sent");
    assert!(!failure.what.contains("secret"), "{}", failure.what);
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/token", listener.local_addr().unwrap());
    let began = Instant::now();
    let failure = run(&with_secret(&endpoint)).await.unwrap_err();
    assert!(began.elapsed() < TIMEOUT + Duration::from_secs(2));
    assert_eq!(failure.kind, Transient);
    assert!(failure.what.contains("in time"), "{}", failure.what);
}

#[tokio::test]
async fn a_server_that_drips() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let began = Instant::now();
    let failure = run(&with_secret(&endpoint)).await.unwrap_err();
    assert!(began.elapsed() < TIMEOUT + Duration::from_secs(2));
    assert_eq!(failure.kind, Transient);
    assert!(failure.maybe_spent);
}

#[tokio::test]
async fn ten_megabytes_are_not_read() {
    let body = "x".repeat(10 * 1024 * 1024);
    let lengthless = format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes();
    for answer in [with_length("200 OK", &body), lengthless] {
        let failure = against(answer).await.unwrap_err();
        assert_eq!(failure.kind, Transient);
        assert!(failure.what.contains("256 KiB"), "{}", failure.what);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (target, reached) = serve(with_length("200 OK", "access_token=t")).await;
    let answer = with_length(&format!("307 Elsewhere\r\nlocation: {target}"), "");
    let failure = against(answer).await.unwrap_err();
    assert_eq!(failure.kind, Misconfigured);
    assert!(failure.what.contains("redirects"), "{}", failure.what);
    assert!(!reached.is_finished());
}

#[tokio::test]
async fn answers_that_are_none() {
    let cases: [(&[u8], _); 6] = [
        (b"", Transient),
        (b"\x00\x01\x02 garbage\r\n\r\n", Transient),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Transient),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"access_token\":\"t\"}",
            Transient,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            Transient,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>hello",
            Misconfigured,
        ),
    ];
    for (answer, expected) in cases {
        let failure = against(answer.to_vec()).await.unwrap_err();
        let answer = String::from_utf8_lossy(answer);
        assert_eq!(failure.kind, expected, "{answer} {}", failure.what);
        assert!(!failure.what.contains("127.0.0.1"), "{}", failure.what);
    }
}

#[tokio::test]
async fn a_short_length_cuts_the_token_and_that_is_unreadable() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"access_token\":\"t\"}";
    assert_eq!(against(answer.to_vec()).await.unwrap_err().kind, Transient);
}

#[tokio::test]
async fn a_pause_asked_for_is_heard() {
    let failure = against(with_length("429 Slow\r\nretry-after: 17", ""))
        .await
        .unwrap_err();
    assert_eq!(failure.retry_after, Some(Duration::from_secs(17)));
}

#[tokio::test]
async fn an_answer_that_repeats_the_secret_is_not_shown() {
    let body = r#"{"error":"invalid_client","error_description":"no: hunter2-hunter2"}"#;
    let failure = against(with_length("401 No", body)).await.unwrap_err();
    assert!(!failure.what.contains("hunter2"), "{}", failure.what);
}
