//! A small HTTP/1.1 client: one connection, bounded answers.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const CONNECT: Duration = Duration::from_secs(5);
/// Larger answers are no answer to anything asked here.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// An open connection, closed when dropped.
pub struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

/// An answer, read whole.
pub struct Reply {
    pub status: u16,
    pub body: Bytes,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(host: &str) -> io::Result<Self> {
        let stream = timeout(CONNECT, TcpStream::connect(host)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            // How a connection ends shows in the answer that is missing.
            let _ = connection.await;
        });
        Ok(Self {
            host: host.to_owned(),
            sender,
            driver,
        })
    }

    /// Sends a request with the connection's own `Host`, and waits for the
    /// answer at most `limit`.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Bytes,
        limit: Duration,
    ) -> io::Result<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(io::Error::other)?;
        timeout(limit, self.exchange(request)).await?
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> io::Result<Reply> {
        self.sender.ready().await.map_err(io::Error::other)?;
        let answer = self
            .sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES)
            .collect()
            .await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        Ok(Reply { status, body })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
