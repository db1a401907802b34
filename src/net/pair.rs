//! A connection to an upstream whose other side is a test's.

use super::dial::Connection;
use super::stream::{ClientStream, ReadDecides, Stream, UpstreamStream};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::os::unix::net::UnixStream;
use tokio::runtime::{Builder, LocalOptions};

/// Runs a test that has sockets, on a loop of its own.
pub fn with_sockets<F: Future<Output = ()>>(test: F) {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_io().build_local(LocalOptions::default());
    runtime.unwrap().block_on(test);
}

/// Both sides of a connection, within such a test.
pub async fn pair() -> (Connection, UnixStream) {
    let (ours, theirs) = sockets().await;
    (ReadDecides::new(UpstreamStream::Plain(ours)), theirs)
}

/// The same of a caller's.
pub async fn called() -> (ClientStream, UnixStream) {
    let (ours, theirs) = sockets().await;
    (ClientStream::Plain(ours), theirs)
}

/// The same without more around it.
pub async fn sockets() -> (Stream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = tokio::net::UnixStream::from_std(ours).unwrap();
    // The loop has to see it once.
    ours.writable().await.unwrap();
    (Stream::Unix(TokioIo::new(ours)), theirs)
}

/// Has the loop look at its sockets.
pub async fn turn() {
    tokio::task::yield_now().await;
}
