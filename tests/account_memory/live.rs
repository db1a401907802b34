//! An allocator that knows how much is allocated at any time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static ALLOCATOR: Live = Live;

static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes that are allocated now.
pub fn bytes() -> usize {
    BYTES.load(Ordering::SeqCst)
}

/// The system's allocator, added up.
struct Live;

/// What a block of this size takes in the shipped program's allocator: sizes there
/// are a word or two apart, and larger ones an eighth.
fn room(size: usize) -> usize {
    let step = match size {
        0..=8 => 8,
        9..=64 => 16,
        _ => (size - 1).next_power_of_two() / 8,
    };
    size.next_multiple_of(step)
}

// SAFETY: everything is passed on to an allocator as it came.
unsafe impl GlobalAlloc for Live {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(room(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(room(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(room(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        BYTES.fetch_add(room(new_size), Ordering::Relaxed);
        BYTES.fetch_sub(room(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
