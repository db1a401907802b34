//! The memory that heads are read into: one piece for a thread, which stays in the
//! processor's cache, and no connection holds any while it waits.

use crate::net::dial::Connection;
use bytes::Bytes;
use http::HeaderMap;
use hyper::rt::{Read, ReadBuf};
use std::cell::RefCell;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Bytes that are read at once where little is expected.
pub const SIZE: usize = 16 * 1024;

/// Maps that are kept for the next messages, and how large they may be.
const MOST_MAPS: usize = 64;
const MOST_FIELDS: usize = 64;

thread_local! {
    static MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
    /// For a large read, where the last one has found little.
    static LARGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: RefCell<Box<[MaybeUninit<u8>]>> = RefCell::new(Box::new_uninit_slice(SIZE));
}

/// An empty map for a message's fields, with the room that another one had.
#[must_use]
pub fn fields() -> HeaderMap {
    MAPS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a map's room for the next message.
pub fn give_back(mut fields: HeaderMap) {
    if (1..=MOST_FIELDS).contains(&fields.capacity()) {
        fields.clear();
        MAPS.with_borrow_mut(|maps| {
            if maps.len() < MOST_MAPS {
                maps.push(fields);
            }
        });
    }
}

/// Reads what is there, up to [`SIZE`] bytes; nothing at the end.
///
/// # Errors
/// As the connection's.
pub fn read(io: &mut Connection, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut read = ReadBuf::uninit(scratch);
        ready!(Pin::new(io).poll_read(cx, read.unfilled()))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(read.filled())))
    })
}

/// Reads up to so many bytes; nothing at the end. What came stays where it was
/// read if it fills half of that, so that a large body is copied once.
///
/// # Errors
/// As the connection's.
pub fn read_much(
    io: &mut Connection,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Bytes>> {
    let mut memory = LARGE.take();
    if memory.capacity() < most {
        memory = Vec::with_capacity(most);
    }
    let mut read = ReadBuf::uninit(&mut memory.spare_capacity_mut()[..most]);
    let come = Pin::new(io).poll_read(cx, read.unfilled());
    let length = read.filled().len();
    if length < most / 2 {
        let bytes = Bytes::copy_from_slice(read.filled());
        LARGE.set(memory);
        return come.map_ok(|()| bytes);
    }
    ready!(come)?;
    // SAFETY: the read has initialised this much of it.
    unsafe { memory.set_len(length) };
    Poll::Ready(Ok(Bytes::from(memory)))
}
