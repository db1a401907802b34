//! What was allocated for a while and is free again: the allocator keeps it for what may
//! come next, and after a start with very many accounts nothing like that comes.

// Links the allocator where the program itself has another, as tests do.
use mimalloc as _;

unsafe extern "C" {
    /// mimalloc's own; the crate above passes it on only with one more crate behind it.
    fn mi_collect(force: bool);
}

/// Gives the free memory back that the allocator still holds, as far as the calling
/// thread can.
pub fn give_back() {
    // SAFETY: it takes nothing that could be wrong, may be called by any thread at any
    // time, and touches no memory that is in use.
    unsafe { mi_collect(true) };
}

#[cfg(test)]
mod tests {
    /// Unit tests have another allocator: this one is asked as it was never used.
    #[test]
    fn it_can_be_called_at_any_time() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(super::give_back);
            }
        });
        super::give_back();
    }
}
