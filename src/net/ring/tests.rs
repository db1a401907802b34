//! The ring under a real event loop and real sockets; the peers are plain
//! blocking sockets on this or another thread.

use super::buffers::SIZE;
use super::conn::{HELD, Receiving, UNSENT};
use super::driver::SUBMISSIONS;
use super::{Ring, Stream, current, probe};
use crate::net::worker::{Io, spawn, spawn_local};
use hyper::rt::{Read as _, ReadBuf, Write as _};
use socket2::{Domain, SockRef, Socket, Type};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
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

#[test]
fn no_wake_up_is_lost_between_pauses() {
    on_ring(|ring| async move {
        let (mut stream, mut peer) = pair(&ring);
        let other = thread::spawn(move || {
            let mut byte = [0];
            for i in 0..2000_u32 {
                // Now while the loop still runs, now when it sleeps.
                if i % 4 == 0 {
                    thread::sleep(Duration::from_micros(u64::from(i % 97) * 3));
                }
                peer.write_all(&[i as u8]).unwrap();
                peer.read_exact(&mut byte).unwrap();
                assert_eq!(byte, [i as u8]);
            }
        });
        for _ in 0..2000 {
            let byte = read_exactly(&mut stream, 1).await;
            write(&mut stream, &byte).await.unwrap();
        }
        ended(other).await;
    });
}

#[test]
fn the_loop_sees_what_was_completed_between_its_turn_and_its_sleep() {
    on_ring(|ring| async move {
        let (mut stream, mut peer) = pair(&ring);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(poll_read(&mut stream, &mut cx, 1).is_pending());
        ring.turn();
        peer.write_all(b"x").unwrap();
        // In the kernel, as by an interrupt: the completion is made here.
        thread::sleep(Duration::from_millis(5));
        let mut watched = libc::pollfd {
            fd: ring.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, which lives as long as the call.
        assert_eq!(unsafe { libc::poll(&raw mut watched, 1, 0) }, 1);
        assert_eq!(read_exactly(&mut stream, 1).await, b"x");
    });
}

#[test]
fn a_loop_that_is_never_idle_turns_its_ring_too() {
    on_ring(|ring| async move {
        spawn_local(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let (mut stream, mut peer) = pair(&ring);
        let echo = thread::spawn(move || {
            let mut bytes = [0; 3];
            peer.read_exact(&mut bytes).unwrap();
            peer.write_all(&bytes).unwrap();
        });
        write(&mut stream, b"abc").await.unwrap();
        assert_eq!(read_exactly(&mut stream, 3).await, b"abc");
        ended(echo).await;
    });
}

#[test]
fn short_sends_go_on_where_they_stopped() {
    on_ring(|ring| async move {
        // The kernel then takes pieces of half as much.
        let (mut stream, mut peer) = pair_with(&ring, Some(16_000));
        let driver = &ring.driver;
        let socket = driver
            .borrow_mut()
            .conn(stream.index())
            .0
            .socket
            .try_clone();
        SockRef::from(&socket.unwrap())
            .set_send_buffer_size(9000)
            .unwrap();
        const LENGTH: usize = 1024 * 1024;
        let all = pattern(LENGTH);
        let sent = all.clone();
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            let mut piece = [0; 17_777];
            while got.len() < LENGTH {
                // Slower than the writer, so that everything is full.
                thread::sleep(Duration::from_millis(2));
                let length = peer.read(&mut piece).unwrap();
                got.extend_from_slice(&piece[..length]);
            }
            got
        });
        // Below and above the size that is sent without a copy.
        for (i, piece) in sent.chunks(23_456).enumerate() {
            for part in piece.chunks(if i % 3 == 0 { 30_000 } else { 9_000 }) {
                write(&mut stream, part).await.unwrap();
            }
        }
        shut_down(&mut stream).await.unwrap();
        assert!(ended(reader).await == all);
    });
}

#[test]
fn writing_waits_when_the_peer_does_not_read() {
    on_ring(|ring| async move {
        let (mut stream, peer) = pair(&ring);
        let taken = fill(&mut stream).await;
        assert!(ring.driver.borrow_mut().conn(stream.index()).0.unsent() <= UNSENT);
        assert!(taken < 64 * 1024 * 1024);
        drop(peer);
    });
}

#[test]
fn a_connection_that_is_not_read_holds_little_and_loses_nothing() {
    on_ring(|ring| async move {
        let (mut stream, mut peer) = pair(&ring);
        let all = pattern(2 * 1024 * 1024);
        let sent = all.clone();
        let writer = thread::spawn(move || peer.write_all(&sent).map(|()| peer));
        // Asked once, never read: the kernel keeps the rest.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(poll_read(&mut stream, &mut cx, 10).is_pending());
        until("receiving has stopped", || {
            ring.driver.borrow_mut().conn(stream.index()).0.receiving == Receiving::Nothing
        })
        .await;
        let lent = ring.driver.borrow_mut().conn(stream.index()).0.lent();
        assert!(lent <= HELD, "{lent}");
        // Others find their buffers.
        let (mut second, mut other) = pair(&ring);
        other.write_all(b"hello").unwrap();
        assert_eq!(read_exactly(&mut second, 5).await, b"hello");
        assert!(read_exactly(&mut stream, all.len()).await == all);
        ended(writer).await.unwrap();
    });
}

#[test]
fn more_connections_than_buffers_are_all_served() {
    on_ring(|ring| async move {
        let mut pairs: Vec<_> = (0..400).map(|_| pair(&ring)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        // All are asked, and get more than there are buffers, before the next turn.
        for (stream, peer) in &mut pairs {
            assert!(poll_read(stream, &mut cx, 10).is_pending());
            peer.write_all(&pattern(3 * SIZE)).unwrap();
        }
        for (stream, _) in &mut pairs {
            assert!(read_exactly(stream, 3 * SIZE).await == pattern(3 * SIZE));
        }
    });
}

#[test]
fn a_full_ring_is_handed_over_and_takes_the_rest() {
    on_ring(|ring| async move {
        // So many completions find no room either.
        let count = SUBMISSIONS as usize * 20;
        let mut pairs: Vec<_> = (0..count).map(|_| pair(&ring)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        for (stream, _) in &mut pairs {
            assert!(poll_read(stream, &mut cx, 1).is_pending());
            let written = Pin::new(stream).poll_write(&mut cx, b"?");
            assert!(matches!(written, Poll::Ready(Ok(1))));
        }
        sleep(Duration::from_millis(1)).await;
        for (_, peer) in &mut pairs {
            let mut byte = [0];
            peer.read_exact(&mut byte).unwrap();
            peer.write_all(b"!").unwrap();
        }
        for (stream, _) in &mut pairs {
            assert_eq!(read_exactly(stream, 1).await, b"!");
        }
    });
}

#[test]
fn a_stream_dropped_while_it_receives_is_gone_and_its_peer_sees_the_end() {
    on_ring(|ring| async move {
        for bulk in [false, true] {
            let (mut stream, mut peer) = pair(&ring);
            ring.driver.borrow_mut().conn(stream.index()).0.bulk = u8::from(bulk);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(poll_read(&mut stream, &mut cx, 10).is_pending());
            sleep(Duration::from_millis(1)).await;
            drop(stream);
            until("it is gone", || connections(&ring) == 0).await;
            assert_eq!(peer.read(&mut [0; 10]).unwrap(), 0);
        }
    });
}

#[test]
fn what_was_written_before_the_drop_arrives() {
    on_ring(|ring| async move {
        let all = pattern(UNSENT - 5);
        for pause in [false, true] {
            let (mut stream, mut peer) = pair(&ring);
            // Small writes, so that they are kept for the end of the turn.
            for part in all.chunks(1000) {
                write(&mut stream, part).await.unwrap();
                if pause {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            drop(stream);
            let mut got = Vec::new();
            peer.set_nonblocking(true).unwrap();
            until("all is here", || match peer.read_to_end(&mut got) {
                Err(error) => error.kind() != ErrorKind::WouldBlock,
                Ok(_) => true,
            })
            .await;
            assert!(got == all);
        }
    });
}

#[test]
fn what_a_dropped_stream_has_left_is_given_up_when_nobody_takes_it() {
    on_ring(|ring| async move {
        let (mut stream, peer) = pair(&ring);
        fill(&mut stream).await;
        drop(stream);
        assert_eq!(connections(&ring), 1);
        until("it is given up", || connections(&ring) == 0).await;
        drop(peer);
    });
}

#[test]
fn a_reset_is_reported_after_what_came_before_it() {
    on_ring(|ring| async move {
        let (mut stream, mut peer) = pair(&ring);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(poll_read(&mut stream, &mut cx, 10).is_pending());
        peer.write_all(b"last").unwrap();
        sleep(Duration::from_millis(20)).await;
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        assert_eq!(read(&mut stream, 10).await.unwrap(), b"last");
        let error = read(&mut stream, 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(read(&mut stream, 10).await.unwrap(), b"");
        // The first write may still be taken; its failure shows in the next.
        let mut failed = write(&mut stream, b"x").await;
        if failed.is_ok() {
            sleep(Duration::from_millis(20)).await;
            failed = write(&mut stream, b"x").await;
        }
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(shut_down(&mut stream).await.is_err());
    });
}

#[test]
fn each_direction_ends_by_itself() {
    on_ring(|ring| async move {
        let (mut stream, mut peer) = pair(&ring);
        peer.write_all(b"question").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_exactly(&mut stream, 8).await, b"question");
        assert_eq!(read(&mut stream, 10).await.unwrap(), b"");
        write(&mut stream, b"answer").await.unwrap();
        shut_down(&mut stream).await.unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    });
}

#[test]
fn a_loop_ends_with_operations_under_way() {
    on_ring(|ring| async move {
        for _ in 0..10 {
            let (mut stream, peer) = pair(&ring);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(poll_read(&mut stream, &mut cx, 10).is_pending());
            let piece = vec![1; 8000];
            while Pin::new(&mut stream).poll_write(&mut cx, &piece).is_ready() {}
            // Until the loop ends, and longer.
            spawn_local(async move {
                let _held = (stream, peer);
                std::future::pending::<()>().await;
            });
        }
        sleep(Duration::from_millis(20)).await;
    });
}
