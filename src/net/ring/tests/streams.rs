//! A stream's own ways: short sends, waiting, ending, breaking.

use super::super::conn::UNSENT;
use super::{
    connections, ended, fill, on_ring, pair, pair_with, pattern, poll_read, read, read_exactly,
    shut_down, until, write,
};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;
use tokio::time::sleep;

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
