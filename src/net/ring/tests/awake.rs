//! Staying awake for an answer: looking at the ring's memory without a call.

use super::super::driver::Outlook;
use super::{LONG, ended, on_ring, pair, poll_read, read_exactly, until, write};
use crate::net::awake;
use std::io::{Read, Write};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[test]
fn what_comes_is_seen_without_a_call_of_ours() {
    on_ring(|ring| async move {
        let (mut stream, mut peer) = pair(&ring);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(poll_read(&mut stream, &mut cx, 1).is_pending());
        ring.turn();
        let looks_out = |goes_on: &mut dyn FnMut() -> bool| {
            let mut driver = ring.driver.borrow_mut();
            driver.look_out(goes_on)
        };
        let mut rounds = 0;
        let nothing = looks_out(&mut || {
            rounds += 1;
            rounds < 100
        });
        assert_eq!((nothing, rounds), (Outlook::Nothing, 100));
        let (until, mut is_sent) = (Instant::now() + LONG, false);
        let something = looks_out(&mut || {
            // Once it has looked in vain.
            if std::mem::replace(&mut is_sent, true) && peer.write(b"x").is_err() {
                return false;
            }
            Instant::now() < until
        });
        assert_ne!(something, Outlook::Nothing);
        assert_eq!(&read_exactly(&mut stream, 1).await, b"x");
    });
}

#[test]
fn an_awaited_answer_comes_to_a_loop_that_does_not_sleep() {
    on_ring(|ring| async move {
        awake::enable_for(LONG);
        awake::took(Duration::ZERO);
        let (mut stream, mut peer) = pair(&ring);
        let echo = thread::spawn(move || {
            let mut byte = [0];
            for _ in 0..50 {
                peer.read_exact(&mut byte).unwrap();
                peer.write_all(&byte).unwrap();
            }
        });
        for byte in 0..50 {
            let sleeps = ring.sleeps.get();
            let awaited = awake::awaits();
            write(&mut stream, &[byte]).await.unwrap();
            assert_eq!(read_exactly(&mut stream, 1).await, [byte]);
            assert_eq!(ring.sleeps.get(), sleeps, "at {byte}");
            awaited.came();
            assert!(!awake::goes_on());
        }
        ended(echo).await;
    });
}

#[test]
fn a_loop_sleeps_when_the_answer_does_not_come() {
    on_ring(|ring| async move {
        awake::enable_for(Duration::from_millis(1));
        awake::took(Duration::ZERO);
        let (mut stream, _peer) = pair(&ring);
        let (_awaited, sleeps) = (awake::awaits(), ring.sleeps.get());
        write(&mut stream, b"?").await.unwrap();
        sleep(Duration::from_millis(5)).await;
        until("it sleeps", || ring.sleeps.get() > sleeps).await;
        assert!(!awake::goes_on());
    });
}
