//! The ring under a real event loop and real sockets; the peers are plain
//! blocking sockets on this or another thread.

mod loops;
mod passing;
mod streams;

use super::{Ring, Stream, current, probe};
use crate::net::worker::{Io, spawn};
use hyper::rt::{Read as _, ReadBuf, Write as _};
use socket2::{Domain, Socket, Type};
use std::future::poll_fn;
use std::io::{self};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(20);

/// Runs a test on a worker with a ring; nothing where the machine has none.
fn on_ring<F: Future<Output = ()> + 'static>(test: impl FnOnce(Rc<Ring>) -> F + Send + 'static) {
    if let Some(why) = probe() {
        eprintln!("not tested: {why}");
        return;
    }
    let (done, is_done) = mpsc::channel();
    let worker = spawn("test".into(), Io::Ring, || async move {
        timeout(LONG, test(current().unwrap())).await.unwrap();
        done.send(()).unwrap();
    });
    worker.unwrap().join().unwrap();
    is_done.recv().unwrap();
}

fn pair(ring: &Rc<Ring>) -> (Stream, TcpStream) {
    pair_with(ring, None)
}

/// With a peer that takes this much at once.
fn pair_with(ring: &Rc<Ring>, window: Option<usize>) -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if let Some(window) = window {
        peer.set_recv_buffer_size(window).unwrap();
    }
    peer.connect(&listener.local_addr().unwrap().into())
        .unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    peer.set_read_timeout(Some(LONG)).unwrap();
    (Stream::new(ring.clone(), socket), peer.into())
}

fn poll_read(stream: &mut Stream, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Vec<u8>>> {
    let mut space = vec![0; most];
    let mut buf = ReadBuf::new(&mut space);
    let polled = Pin::new(stream).poll_read(cx, buf.unfilled());
    polled.map_ok(|()| buf.filled().to_vec())
}

async fn read(stream: &mut Stream, most: usize) -> io::Result<Vec<u8>> {
    poll_fn(|cx| poll_read(stream, cx, most)).await
}

async fn read_exactly(stream: &mut Stream, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        let more = read(stream, length - all.len()).await.unwrap();
        assert!(!more.is_empty(), "ended after {}", all.len());
        all.extend(more);
    }
    all
}

async fn write(stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await?;
        bytes = &bytes[written..];
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
}

async fn shut_down(stream: &mut Stream) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await
}

/// Bytes of which none can be lost or swapped unseen.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Waits without keeping the loop busy.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// The end of another thread, for which the loop must go on.
async fn ended<T>(thread: thread::JoinHandle<T>) -> T {
    until("the other thread is done", || thread.is_finished()).await;
    thread.join().unwrap()
}

/// Writes until neither the kernel nor the stream takes more; gives how much.
async fn fill(stream: &mut Stream) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut taken, mut refused) = (0, 0);
    while refused < 5 {
        match Pin::new(&mut *stream).poll_write(&mut cx, &[1; 8000]) {
            Poll::Ready(written) => {
                taken += written.unwrap();
                refused = 0;
            }
            Poll::Pending => {
                refused += 1;
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    taken
}

fn connections(ring: &Ring) -> usize {
    ring.driver.borrow().open()
}
