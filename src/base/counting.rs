//! The allocator of the unit tests: counts what the calling thread allocates, and the
//! blocks with a secret in them that it gives back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Made without allocating and never dropped: usable at any time of a thread's life.
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static SECRET: Cell<Option<&'static str>> = const { Cell::new(None) };
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted.
struct Counting;

/// How often `f` allocates, and what it gives.
pub fn allocations<T>(f: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.get();
    let made = f();
    (COUNT.get() - before, made)
}

/// How many blocks of memory `f` gives back with this text still in them.
pub fn left_behind(secret: &'static str, f: impl FnOnce()) -> u64 {
    let before = LEFT.get();
    SECRET.set(Some(secret));
    f();
    SECRET.set(None);
    LEFT.get() - before
}

/// # Safety
/// The block is the caller's, of this size.
unsafe fn look(block: *mut u8, size: usize) {
    let Some(secret) = SECRET.get() else {
        return;
    };
    // SAFETY: it stays within the block.
    let byte = |at: usize| unsafe { block.add(at).read_volatile() };
    let begins = |at: usize| (0..secret.len()).all(|i| byte(at + i) == secret.as_bytes()[i]);
    if (0..(size + 1).saturating_sub(secret.len())).any(begins) {
        LEFT.set(LEFT.get() + 1);
    }
}

// SAFETY: everything is passed on to an allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe {
            look(pointer, layout.size());
            System.dealloc(pointer, layout)
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are the same.
        unsafe {
            // It may move.
            look(pointer, layout.size());
            System.realloc(pointer, layout, new_size)
        }
    }
}

#[test]
fn it_counts() {
    let (count, text) = allocations(|| std::hint::black_box(String::from("x")));
    assert_eq!(count, 1);
    assert_eq!(allocations(|| drop(text)).0, 0);
}

#[test]
fn it_finds_what_is_left_behind() {
    let text = || "see: hunter2".to_owned();
    assert_eq!(left_behind("hunter2", || drop(text())), 1);
    assert_eq!(left_behind("hunter3", || drop(text())), 0);
    let zeroed = || drop(zeroize::Zeroizing::new(text()));
    assert_eq!(left_behind("hunter2", zeroed), 0);
}
