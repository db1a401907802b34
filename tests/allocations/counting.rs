//! An allocator that counts what one thread allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static WATCHED: AtomicI32 = AtomicI32::new(0);
static ALL: AtomicU64 = AtomicU64::new(0);
static BUFFERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Made without allocating and never dropped: usable at any time of a thread's life.
    static NUMBER: Cell<i32> = const { Cell::new(0) };
}

/// Counts this thread from now on, by the kernel's number.
pub fn watch(thread: i32) {
    WATCHED.store(thread, Ordering::SeqCst);
}

/// Its allocations so far, and how many of them were of the size of read buffers.
pub fn counts() -> (u64, u64) {
    (ALL.load(Ordering::SeqCst), BUFFERS.load(Ordering::SeqCst))
}

/// The system's allocator, counted.
struct Counting;

fn count(size: usize) {
    let watched = WATCHED.load(Ordering::Relaxed);
    if watched != 0 && own_number() == watched {
        ALL.fetch_add(1, Ordering::Relaxed);
        BUFFERS.fetch_add(u64::from(size == 8192), Ordering::Relaxed);
    }
}

fn own_number() -> i32 {
    NUMBER.with(|number| {
        if number.get() == 0 {
            // SAFETY: it takes nothing and always succeeds.
            number.set(unsafe { libc::gettid() });
        }
        number.get()
    })
}

// SAFETY: everything is passed on to an allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: the caller's promises are the same.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
