//! The allocator: the system's, with a worker's read buffers kept at hand.
//!
//! Every proxied request needs two read buffers of [`SIZE`] bytes, more than
//! glibc keeps in a thread's cache: fetching and returning them was a twentieth
//! of a request's instructions. A thread that says [`keep_buffers`] keeps up to
//! [`KEPT`] of them for its next requests.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// What hyper reads into.
const SIZE: usize = 8192;

/// Buffers that one thread keeps: a megabyte, after that many were in use
/// at once.
const KEPT: usize = 128;

/// The system's allocator, with [`keep_buffers`].
pub struct Recycling;

struct Shelf {
    open: Cell<bool>,
    filled: Cell<usize>,
    buffers: UnsafeCell<[*mut u8; KEPT]>,
}

thread_local! {
    // Made without allocating and never dropped, so that the allocator may use
    // it at any time of a thread's life.
    static SHELF: Shelf = const {
        Shelf {
            open: Cell::new(false),
            filled: Cell::new(0),
            buffers: UnsafeCell::new([std::ptr::null_mut(); KEPT]),
        }
    };
}

/// Lets the calling thread keep buffers from now on. For threads that live as
/// long as the process: what they keep is not given back.
pub fn keep_buffers() {
    SHELF.with(|shelf| shelf.open.set(true));
}

/// Gives back to the system what the process has freed, for once a start is over:
/// that needs more than what follows, and glibc keeps free what lies between what
/// is in use. Takes a while, and holds up who allocates meanwhile.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: glibc looks through its own lists only, under their locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

impl Shelf {
    fn take(&self) -> Option<*mut u8> {
        let filled = self.filled.get().checked_sub(1)?;
        self.filled.set(filled);
        // SAFETY: only this thread reaches its shelf, and no reference into the
        // array outlives a call; places below `filled` hold what `put` stored.
        Some(unsafe { (*self.buffers.get())[filled] })
    }

    fn put(&self, buffer: *mut u8) -> bool {
        let filled = self.filled.get();
        let fits = self.open.get() && filled < KEPT;
        if fits {
            // SAFETY: as in `take`.
            unsafe { (*self.buffers.get())[filled] = buffer };
            self.filled.set(filled + 1);
        }
        fits
    }
}

fn is_buffer(layout: Layout) -> bool {
    layout.size() == SIZE && layout.align() == 1
}

// SAFETY: memory comes from `System` and goes back to it, or to the shelf of the
// thread that frees it, from where it is given out again for the same layout.
unsafe impl GlobalAlloc for Recycling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_buffer(layout)
            && let Ok(Some(buffer)) = SHELF.try_with(Shelf::take)
        {
            return buffer;
        }
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_buffer(layout) && SHELF.try_with(|shelf| shelf.put(pointer)) == Ok(true) {
            return;
        }
        // SAFETY: the caller's promises are the same; a buffer that came from a
        // shelf came from `System` before.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same. A kept buffer is not zeroed.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are the same; all memory is `System`'s.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Recycling, SHELF, SIZE, keep_buffers};
    use std::alloc::{GlobalAlloc, Layout};

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 1).unwrap()
    }

    /// In a thread of its own: with a shelf of its own.
    fn alone(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    fn kept() -> usize {
        SHELF.with(|shelf| shelf.filled.get())
    }

    #[test]
    fn a_thread_that_did_not_ask_keeps_nothing() {
        alone(|| unsafe {
            let buffer = Recycling.alloc(layout(SIZE));
            Recycling.dealloc(buffer, layout(SIZE));
            assert_eq!(kept(), 0);
        });
    }

    #[test]
    fn a_buffer_is_given_out_again_and_never_twice() {
        alone(|| unsafe {
            keep_buffers();
            let a = Recycling.alloc(layout(SIZE));
            let b = Recycling.alloc(layout(SIZE));
            a.write_bytes(1, SIZE);
            Recycling.dealloc(a, layout(SIZE));
            Recycling.dealloc(b, layout(SIZE));
            let again = [Recycling.alloc(layout(SIZE)), Recycling.alloc(layout(SIZE))];
            assert!(again == [b, a], "the one used last comes first");
            assert!(!again.contains(&Recycling.alloc(layout(SIZE))));
            let zeroed = Recycling.alloc_zeroed(layout(SIZE));
            assert!((0..SIZE).all(|at| *zeroed.add(at) == 0));
        });
    }

    #[test]
    fn other_sizes_and_a_full_shelf_go_to_the_system() {
        alone(|| unsafe {
            keep_buffers();
            let other = Recycling.alloc(layout(SIZE + 1));
            Recycling.dealloc(other, layout(SIZE + 1));
            assert_eq!(kept(), 0);
            let many: Vec<_> = (0..KEPT + 5)
                .map(|_| Recycling.alloc(layout(SIZE)))
                .collect();
            for buffer in many {
                Recycling.dealloc(buffer, layout(SIZE));
            }
            assert_eq!(kept(), KEPT);
        });
    }

    #[test]
    fn what_one_thread_made_another_may_keep_or_free() {
        alone(|| unsafe {
            let address = Recycling.alloc(layout(SIZE)) as usize;
            alone(move || {
                keep_buffers();
                Recycling.dealloc(address as *mut u8, layout(SIZE));
                assert_eq!(kept(), 1);
                let grown =
                    Recycling.realloc(Recycling.alloc(layout(SIZE)), layout(SIZE), 2 * SIZE);
                grown.write_bytes(7, 2 * SIZE);
                Recycling.dealloc(grown, layout(2 * SIZE));
                assert_eq!(kept(), 0);
            });
        });
    }
}
