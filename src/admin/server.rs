//! The listeners' loop: connections up to a limit, each with limits of its own.

use super::answer::{Desk, Surface};
use super::reply::Answer;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Open connections per listener; more wait in the kernel's queue.
const CONNECTIONS: usize = 128;
/// For a whole head, and for the silence before it.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// What the parser reads at most; a smaller head that is still too large gets
/// an answer in words.
const HEAD_BYTES: usize = 128 * 1024;
const HEAD_FIELDS: usize = 256;
/// After which a connection is asked to end, and how long it then has.
const LIFE: Duration = Duration::from_secs(600);
const FAREWELL: Duration = Duration::from_secs(30);
/// When the process is out of files there is nothing to do but wait.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a listener for as long as the future is polled; it never ends by itself.
pub async fn serve(listener: TcpListener, surface: Surface, desk: Arc<Desk>) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            // The semaphore is never closed.
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = desk.clone();
                tokio::spawn(async move {
                    talk(stream, surface, desk).await;
                    drop(place);
                });
            }
            Err(why) => {
                tracing::warn!(%why, "the admin listener can't accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn talk(stream: TcpStream, surface: Surface, desk: Arc<Desk>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let desk = desk.clone();
        async move { Ok::<Answer, Infallible>(desk.answer(surface, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What ends a connection (a parse error, a hang-up) is the caller's affair.
    if timeout(LIFE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(FAREWELL, connection).await;
    }
}
