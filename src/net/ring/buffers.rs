//! What the kernel receives into: buffers of one worker for all of its
//! connections, so that a silent one holds none. They are lent to the kernel,
//! come back full with a completion, and are lent again once read.

use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

/// A buffer: a request or an answer without much of a body.
pub const SIZE: usize = 4096;
/// The group's name in the kernel.
pub const GROUP: u16 = 0;
/// Lent at first. Few, because the kernel takes them in turn, and those that
/// were used just now are still in the processor's caches.
const FIRST: u16 = 64;
/// As many as there may be (a power of two); their memory is untouched until lent.
const MOST: u16 = 256;
/// The kernel wants the table of buffers on a page, which is larger elsewhere.
const PAGE: usize = if cfg!(target_arch = "x86_64") {
    4096
} else {
    65536
};

/// The buffers and the table in which they are lent.
pub struct Buffers {
    table: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// Where in the table the next one goes.
    tail: u16,
    /// Those that were ever lent: the first ones.
    known: u16,
    leaked: bool,
}

impl Buffers {
    /// Lends the first buffers to the kernel.
    ///
    /// # Errors
    /// When the kernel takes no such table (before 5.19).
    pub fn new(uring: &IoUring) -> io::Result<Self> {
        let mut buffers = Self {
            // SAFETY: neither layout is empty.
            table: unsafe { allocated(alloc_zeroed(TABLE), TABLE) }.cast(),
            // SAFETY: as above.
            memory: unsafe { allocated(alloc(MEMORY), MEMORY) },
            tail: 0,
            known: 0,
            leaked: false,
        };
        let table = buffers.table.as_ptr() as u64;
        // SAFETY: the table is as long as said, on a page, and lives until
        // `Buffers` is dropped, which its owner does after the ring has ended.
        unsafe {
            uring
                .submitter()
                .register_buf_ring_with_flags(table, MOST, GROUP, 0)?;
        }
        buffers.more(FIRST);
        Ok(buffers)
    }

    /// Lends twice as many, up to the most; false when that is reached.
    pub fn grow(&mut self) -> bool {
        let more = self.known.min(MOST - self.known);
        self.more(more);
        more > 0
    }

    fn more(&mut self, count: u16) {
        for _ in 0..count {
            self.known += 1;
            self.lend(self.known - 1);
        }
    }

    /// What the kernel has put into a buffer that it gave back.
    pub fn filled(&self, id: u16, length: usize) -> &[u8] {
        assert!(id < self.known && length <= SIZE);
        // SAFETY: the buffer lies within `memory`, and the kernel has written
        // this much of it and writes no more until it is lent again, which
        // takes `&mut self`.
        unsafe { slice::from_raw_parts(self.start(id), length) }
    }

    /// Lends a buffer to the kernel (again).
    pub fn lend(&mut self, id: u16) {
        assert!(id < self.known);
        let place = usize::from(self.tail & (MOST - 1));
        // SAFETY: `place` lies within the table; the kernel reads an entry only
        // once `tail` has passed it. No more than `MOST` are ever lent, so the
        // entry is one that the kernel is done with.
        unsafe {
            let entry = &mut *self.table.as_ptr().add(place);
            entry.set_addr(self.start(id) as u64);
            entry.set_len(SIZE as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is a field of the table's first entry, aligned for a
        // u16; the kernel reads it while we write, hence the atomic.
        unsafe {
            let tail = BufRingEntry::tail(self.table.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    /// The kernel may go on using them: they are never freed.
    pub fn leak(&mut self) {
        self.leaked = true;
    }

    fn start(&self, id: u16) -> *mut u8 {
        // SAFETY: within `memory`, as `id` is below `MOST`.
        unsafe { self.memory.as_ptr().add(usize::from(id) * SIZE) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.leaked {
            return;
        }
        // SAFETY: both were allocated with these layouts, and the kernel is
        // done with them: the ring ends first.
        unsafe {
            dealloc(self.table.as_ptr().cast(), TABLE);
            dealloc(self.memory.as_ptr(), MEMORY);
        }
    }
}

const TABLE: Layout = layout(MOST as usize * size_of::<BufRingEntry>(), PAGE);
/// Not on a page: the allocator would touch every page to find one.
const MEMORY: Layout = layout(MOST as usize * SIZE, 16);

const fn layout(size: usize, align: usize) -> Layout {
    match Layout::from_size_align(size, align) {
        Ok(layout) => layout,
        Err(_) => panic!("no such layout"),
    }
}

fn allocated(memory: *mut u8, layout: Layout) -> NonNull<u8> {
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
