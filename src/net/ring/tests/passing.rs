//! What the kernel moves between connections on the ring by itself.

use super::{connections, ended, on_ring, pair, pair_with, pattern, poll_read, until, write};
use crate::net::splice::Pipe;
use crate::net::stream::Stream;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use tokio::time::sleep;

const LENGTH: usize = 3 * 1024 * 1024 + 5;

/// Moves what can be moved, and reads and writes the rest.
async fn relay(mut from: super::Stream, to: super::Stream) -> (usize, usize) {
    let mut pipe = Pipe::take().unwrap();
    let (mut moved, mut copied) = (0, 0);
    let mut to = Stream::Ring(to);
    while moved + copied < LENGTH {
        let left = (LENGTH - moved - copied) as u64;
        let mut source = Stream::Ring(from);
        let filled = pipe.fill(&mut source, left);
        let Stream::Ring(again) = source else {
            unreachable!()
        };
        from = again;
        if let Some(length) = filled {
            moved += length;
            while !pipe.is_empty() {
                poll_fn(|cx| pipe.poll_drain(&mut to, cx)).await.unwrap();
            }
            continue;
        }
        let read = poll_fn(|cx| poll_read(&mut from, cx, 10_000))
            .await
            .unwrap();
        assert!(!read.is_empty(), "ended after {}", moved + copied);
        copied += read.len();
        let Stream::Ring(sink) = &mut to else {
            unreachable!()
        };
        write(sink, &read).await.unwrap();
    }
    (moved, copied)
}

#[test]
fn what_is_moved_and_what_is_written_comes_in_its_order() {
    on_ring(|ring| async move {
        for slow in [false, true] {
            let (from, mut source) = pair(&ring);
            let (to, mut sink) = pair_with(&ring, slow.then_some(16_000));
            let all = pattern(LENGTH);
            let sent = all.clone();
            let writer = thread::spawn(move || {
                for piece in sent.chunks(123_457) {
                    source.write_all(piece).unwrap();
                }
                source
            });
            let reader = thread::spawn(move || {
                let mut got = vec![0; LENGTH];
                let mut at = 0;
                while at < LENGTH {
                    if slow {
                        // Slower than the relay, so that everything is full.
                        thread::sleep(Duration::from_micros(200));
                    }
                    at += sink.read(&mut got[at..]).unwrap();
                }
                got
            });
            let (moved, copied) = relay(from, to).await;
            assert!(moved > copied, "{moved} moved, {copied} copied");
            assert!(ended(reader).await == all);
            drop(ended(writer).await);
        }
    });
}

#[test]
fn one_that_waits_for_room_can_be_dropped() {
    on_ring(|ring| async move {
        let (from, mut source) = pair(&ring);
        let (to, peer) = pair(&ring);
        let index = to.index();
        let writer = thread::spawn(move || while source.write_all(&[1; 64 * 1024]).is_ok() {});
        let (mut from, mut to) = (Stream::Ring(from), Stream::Ring(to));
        let mut pipe = Pipe::take().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut refused = 0;
        while refused < 5 {
            if pipe.is_empty() {
                while pipe.fill(&mut from, u64::MAX).is_none() {
                    // What is in buffers has to be read; and that waits for more.
                    let Stream::Ring(source) = &mut from else {
                        unreachable!()
                    };
                    let read = poll_fn(|cx| poll_read(source, cx, 10_000)).await;
                    assert!(!read.unwrap().is_empty());
                }
            }
            match pipe.poll_drain(&mut to, &mut cx) {
                Poll::Ready(moved) => {
                    moved.unwrap();
                    refused = 0;
                }
                Poll::Pending => {
                    refused += 1;
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
        assert!(ring.driver.borrow_mut().conn(index).0.awaits_room);
        drop((to, from, pipe));
        until("both connections are gone", || connections(&ring) == 0).await;
        drop(peer);
        ended(writer).await;
    });
}
