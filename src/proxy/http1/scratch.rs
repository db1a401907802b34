//! Memory of a thread that its connections take turns in: none of them holds any
//! while it waits, and what was used just now is still in the processor's caches.

use crate::net::dial::Connection;
use bytes::Bytes;
use http::HeaderMap;
use hyper::rt::{Read, ReadBuf};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread::LocalKey;

/// Bytes that are read at once where nobody knows what comes.
pub const SIZE: usize = 16 * 1024;

/// Buffers and maps that are kept for the next messages.
const MOST: usize = 64;
/// How large they may be, in bytes and in fields.
const MOST_BYTES: usize = 32 * 1024;
pub const MOST_FIELDS: usize = 64;

thread_local! {
    static READING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// For a large read, where the last one has found little.
    static LARGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer to write into.
#[must_use]
pub fn buffer() -> Vec<u8> {
    BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a buffer for whoever writes next.
pub fn give_back(mut buffer: Vec<u8>) {
    if (1..=MOST_BYTES).contains(&buffer.capacity()) {
        buffer.clear();
        keep(&BUFFERS, buffer);
    }
}

/// An empty map for a message's fields, with the room that another one had.
#[must_use]
pub fn fields() -> HeaderMap {
    MAPS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps a map's room for the next message.
pub fn give_back_fields(mut fields: HeaderMap) {
    // Many values of one name take no room for names.
    let is_small = fields.len() <= MOST_FIELDS;
    if is_small && (1..=MOST_FIELDS).contains(&fields.capacity()) {
        fields.clear();
        keep(&MAPS, fields);
    }
}

fn keep<T>(list: &'static LocalKey<RefCell<Vec<T>>>, item: T) {
    list.with_borrow_mut(|list| {
        if list.len() < MOST {
            list.push(item);
        }
    });
}

/// Lends space to read into, for as long as `read` runs, which lends none itself.
pub fn reading<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    READING.with_borrow_mut(|space| {
        if space.is_empty() {
            space.resize(SIZE, 0);
        }
        read(space)
    })
}

/// Reads what is there, up to [`SIZE`] bytes; nothing at the end.
///
/// # Errors
/// As the connection's.
pub fn read(io: &mut Connection, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    reading(|space| {
        let mut read = ReadBuf::new(space);
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
