//! A new connection on its way to HTTP: at a TLS listener it shakes hands first.

use super::connection::Connection;
use super::refusal::Refusal;
use super::worker::Worker;
use crate::net::begun::Begun;
use crate::net::listen::Accepted;
use crate::net::stream::{ClientStream, Stream};
use crate::net::tls::server::{self, HandshakeError, SecureStream, ServerTls};
use hyper::rt::{Read, Write};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Under this reason handshakes that failed are counted.
pub const REASON: &str = "tls_handshake";
/// How long a last word may take that the caller does not read.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// How often failed handshakes are told of at the level `info`.
const PAUSE: Duration = Duration::from_secs(10);

/// How a connection begins.
pub enum Opening {
    Accepted(Accepted),
    /// Within another, when all hands are shaken.
    Within(Box<SecureStream<Begun>>),
}

/// The stream of what was opened; `None` where there is nothing to serve.
pub async fn open(
    worker: &Worker,
    connection: &Connection,
    opening: Opening,
) -> Option<ClientStream> {
    let stream = match opening {
        Opening::Accepted(accepted) => accepted.into_stream().ok()?,
        Opening::Within(stream) => return Some(ClientStream::Within(stream)),
    };
    if let Some(process) = connection.peer.credentials() {
        tracing::debug!(process.uid, process.gid, "a call over a Unix socket");
    }
    let Some(tls) = connection.listener.tls() else {
        return Some(ClientStream::Plain(stream));
    };
    // Boxed: whoever speaks plain HTTP has no room for it in its future.
    let stream = Box::pin(secure(worker, connection, stream, tls)).await;
    if let Some(names) = stream.as_ref().map(|_| connection.peer.names()) {
        tracing::debug!("TLS with {}: {names:?}", connection.peer.as_str());
    }
    stream
}

async fn secure(
    worker: &Worker,
    connection: &Connection,
    stream: Stream,
    tls: ServerTls,
) -> Option<ClientStream> {
    let stream = shake_hands(worker, connection, stream, &tls, PLAIN).await?;
    connection.peer.has_shown(stream.names());
    Some(ClientStream::Tls(Box::new(stream)))
}

const PLAIN: &str =
    "this listener speaks HTTPS, and the request came as plain HTTP: call it with https://";

/// Shakes hands; `None` where that came to nothing. `plain` is said to who does
/// not begin with TLS.
pub async fn shake_hands<S: Read + Write + Unpin>(
    worker: &Worker,
    connection: &Connection,
    stream: S,
    tls: &ServerTls,
    plain: &'static str,
) -> Option<SecureStream<S>> {
    let shaken = connection.unless_closed(server::handshake(stream, tls));
    let limit = worker.limits.header_timeout;
    let failed = match worker.deadlines.within(limit, shaken).await {
        // A drain or a reload, no doing of the caller's.
        Ok(None) => return None,
        Ok(Some(Ok(stream))) => {
            if stream.is_http2() {
                connection.speak_http2();
            }
            return Some(stream);
        }
        Ok(Some(Err(HandshakeError::NotTls(stream)))) => {
            refuse_plain(worker, stream, plain).await;
            return None;
        }
        Ok(Some(Err(HandshakeError::Gone))) => "the caller sent nothing".to_owned(),
        Ok(Some(Err(HandshakeError::Failed(why)))) => why,
        Err(_) => "it took longer than limits.header_timeout".to_owned(),
    };
    worker.tally.refused(REASON);
    worker.handshakes.failed(connection.peer.as_str(), &failed);
    None
}

async fn refuse_plain<S: Read + Write + Unpin>(worker: &Worker, stream: S, plain: &'static str) {
    let refusal = Refusal::bad_request(plain);
    worker.tally.refused(refusal.code.as_str());
    let words = refusal.into_bytes();
    let said = server::say_in_plain(stream, &words);
    let _ = worker.deadlines.within(REFUSAL_TIME, said).await;
}

/// Failed handshakes of a worker: each is told of at the level `debug`, and now
/// and then, how many there were, at `info`: a scanner fills no log.
#[derive(Default)]
pub struct Handshakes {
    told: Cell<Option<Instant>>,
    untold: Cell<u64>,
}

impl Handshakes {
    fn failed(&self, peer: &str, why: &str) {
        tracing::debug!("TLS with {peer} failed: {why}");
        self.untold.set(self.untold.get() + 1);
        let now = Instant::now();
        let due = |told: Instant| now.saturating_duration_since(told) >= PAUSE;
        if self.told.get().is_none_or(due) {
            self.told.set(Some(now));
            let count = self.untold.take();
            tracing::info!(count, "TLS handshakes failed; the last, with {peer}: {why}");
        }
    }
}
