//! The server's side of TLS: what a listener shows and asks for, the handshake,
//! and the names of a caller that has shown a certificate.

use super::super::pass_on::writes_by;
use super::super::stream::{Readable, Stream};
use super::names;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What callers may speak, the best first (RFC 7301).
const PROTOCOLS: &[&[u8]] = &[HTTP2, b"http/1.1"];
const HTTP2: &[u8] = b"h2";
/// The first byte of a handshake (RFC 8446, 5.1: `ContentType`).
const HANDSHAKE: u8 = 22;

/// Whose certificates callers show.
#[derive(Clone)]
pub struct Clients {
    pub roots: Arc<RootCertStore>,
    /// False: those without one are served, too.
    pub required: bool,
}

/// How a listener does TLS; cheap to clone.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl ServerTls {
    /// TLS 1.2 and 1.3, with this certificate.
    ///
    /// # Errors
    /// When `clients` names no authority that can be one.
    pub fn new(own: Arc<CertifiedKey>, clients: Option<&Clients>) -> Result<Self, String> {
        let resolver = Arc::new(SingleCertAndKey::from(own));
        let mut config = config(resolver, clients)?;
        if clients.is_some() {
            // A ticket would outlive the certificate that was shown for it.
            resume_nothing(&mut config);
        } else {
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(|why| why.to_string())?;
        }
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The same, for callers who mean this host and no other.
    ///
    /// # Errors
    /// When the provider can't do it.
    pub fn only_for(host: &str, own: CertifiedKey) -> Result<Self, String> {
        let resolver = Arc::new(OnlyFor {
            host: host.into(),
            own: Arc::new(own),
        });
        let mut config = config(resolver, None)?;
        resume_nothing(&mut config);
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

fn config(
    resolver: Arc<dyn ResolvesServerCert>,
    clients: Option<&Clients>,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(clients.verifier()?),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn resume_nothing(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}

/// Shows a certificate to those who ask for its host, or for none (RFC 6066, 3).
#[derive(Debug)]
struct OnlyFor {
    host: Box<str>,
    own: Arc<CertifiedKey>,
}

impl ResolvesServerCert for OnlyFor {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name();
        let is_meant = asked.is_none_or(|name| name.eq_ignore_ascii_case(&self.host));
        is_meant.then(|| self.own.clone())
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl Clients {
    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider);
        let builder = match self.required {
            true => builder,
            false => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|why| why.to_string())
    }
}

/// Why a connection did not come to be.
pub enum HandshakeError<S> {
    /// It does not begin with TLS; something in plain may be said on it.
    NotTls(S),
    /// The caller is gone, or sent nothing.
    Gone,
    /// What TLS says, for people.
    Failed(String),
}

/// Shakes hands with a caller.
///
/// # Errors
/// [`HandshakeError`]
pub async fn handshake<S: Read + Write + Unpin>(
    mut stream: S,
    tls: &ServerTls,
) -> Result<SecureStream<S>, HandshakeError<S>> {
    let first = match first_byte(&mut stream).await {
        Some(first) => first,
        None => return Err(HandshakeError::Gone),
    };
    if first != HANDSHAKE {
        return Err(HandshakeError::NotTls(stream));
    }
    let begun = tls.0.accept_with(TokioIo::new(stream), |session| {
        // It takes a byte, and can't tell anything from it yet.
        let _ = session.read_tls(&mut [first].as_slice());
    });
    match begun.await {
        Ok(stream) => Ok(SecureStream(TokioIo::new(stream))),
        Err(why) => Err(HandshakeError::Failed(why.to_string())),
    }
}

async fn first_byte<S: Read + Unpin>(stream: &mut S) -> Option<u8> {
    let mut memory = [MaybeUninit::uninit()];
    let mut buf = ReadBuf::uninit(&mut memory);
    let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buf.unfilled())).await;
    read.ok().and_then(|()| buf.filled().first().copied())
}

/// A caller's connection after the handshake.
pub struct SecureStream<S = Stream>(TokioIo<TlsStream<TokioIo<S>>>);

impl<S: Readable> SecureStream<S> {
    /// As [`Stream::poll_readable`].
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (stream, session) = self.0.inner_mut().get_mut();
        // What was deciphered already is no longer in the socket.
        match session.wants_read() {
            true => stream.inner_mut().poll_readable(cx),
            false => Poll::Ready(()),
        }
    }
}

impl<S> SecureStream<S> {
    /// True where it was settled that HTTP/2 follows (RFC 9113, 3.2).
    #[must_use]
    pub fn is_http2(&self) -> bool {
        let (_, session) = self.0.inner().get_ref();
        session.alpn_protocol() == Some(HTTP2)
    }

    /// The verified names of the caller's certificate; none where it has shown none.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let (_, session) = self.0.inner().get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        shown.map(|own| names::of(own)).unwrap_or_default()
    }
}

impl<S: Read + Write + Unpin> Read for SecureStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: Read + Write + Unpin> Write for SecureStream<S> {
    writes_by!(0);
}

/// The most that is read of somebody who did not speak TLS, in bytes.
const DISCARDED: usize = 64 * 1024;

/// Says something in plain, and reads until the other side has taken it: to
/// close over unread bytes would take the words back.
pub async fn say_in_plain<S: Read + Write + Unpin>(mut stream: S, words: &[u8]) {
    let mut left = words;
    while !left.is_empty() {
        match poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, left)).await {
            Ok(written) if written > 0 => left = &left[written..],
            _ => return,
        }
    }
    if poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx))
        .await
        .is_err()
        || poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx))
            .await
            .is_err()
    {
        return;
    }
    let mut discarded = 0;
    while discarded < DISCARDED {
        match poll_fn(|cx| poll_discard(&mut stream, cx)).await {
            0 => return,
            length => discarded += length,
        }
    }
}

fn poll_discard<S: Read + Unpin>(stream: &mut S, cx: &mut Context<'_>) -> Poll<usize> {
    let mut memory = [MaybeUninit::uninit(); 1024];
    let mut buf = ReadBuf::uninit(&mut memory);
    let read = ready!(Pin::new(stream).poll_read(cx, buf.unfilled()));
    Poll::Ready(read.map_or(0, |()| buf.filled().len()))
}
