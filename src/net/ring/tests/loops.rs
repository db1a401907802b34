//! The loop and its ring: waking up, full queues, too few buffers, the end.

use super::super::buffers::SIZE;
use super::super::conn::{HELD, Receiving};
use super::super::driver::SUBMISSIONS;
use super::{connections, ended, on_ring, pair, pattern, poll_read, read_exactly, until, write};
use crate::net::worker::spawn_local;
use hyper::rt::Write as _;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use tokio::time::sleep;

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
