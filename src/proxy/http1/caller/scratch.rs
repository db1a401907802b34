//! Memory of a thread that its connections take turns in: none of them holds any
//! while it is silent, and what was used just now is still in the processor's caches.

use std::cell::RefCell;

/// What is read at once where nobody knows what comes.
const READ: usize = 16 * 1024;
/// No larger buffer is kept for the next answer.
const MOST_KEPT: usize = 64 * 1024;

thread_local! {
    static READING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static WRITING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends space to read into, for as long as `read` runs, which lends none itself.
pub fn reading<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    READING.with_borrow_mut(|space| {
        if space.is_empty() {
            space.resize(READ, 0);
        }
        read(space)
    })
}

/// An empty buffer to write into, which may be [given back](give_back).
#[must_use]
pub fn buffer() -> Vec<u8> {
    WRITING.take()
}

/// Keeps a buffer for whoever writes next.
pub fn give_back(mut buffer: Vec<u8>) {
    if (1..=MOST_KEPT).contains(&buffer.capacity()) {
        buffer.clear();
        WRITING.set(buffer);
    }
}
