//! Connecting to Unix sockets.

use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::sleep;

/// The first and the longest pause before a full queue is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Connects; where the server's queue is full, tries again until it is not.
/// There is nothing that the kernel would wake us for, so it waits 1, 2, 4 …
/// 50 ms in between, and whoever calls sets the limit.
///
/// # Errors
/// What the operating system says: no such file, nobody listens, no permission.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = SockAddr::unix(path)?;
    let (mut pause, longest) = PAUSE;
    loop {
        match connect_now(&address) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return UnixStream::from_std(done?.into()),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// On a Unix socket this is done at once, or not at all.
fn connect_now(address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::{connect, connect_now};
    use socket2::{Domain, SockAddr, Socket, Type};
    use std::io::ErrorKind;
    use std::os::unix::net::UnixListener;

    #[tokio::test]
    async fn a_full_queue_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let address = SockAddr::unix(&path).unwrap();
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&address).unwrap();
        socket.listen(1).unwrap();
        let mut queued = Vec::new();
        let full = loop {
            match connect_now(&address) {
                Ok(one) => queued.push(one),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let waits = tokio::spawn(async move { connect(&path).await });
        let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
        let accepting = tokio::task::spawn_blocking(move || {
            let accepted: Vec<_> = (0..=queued.len())
                .map(|_| listener.accept().unwrap())
                .collect();
            drop((accepted, queued));
        });
        waits.await.unwrap().unwrap();
        accepting.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_there_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let error = connect(&folder.path().join("none")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
