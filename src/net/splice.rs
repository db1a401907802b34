//! Content that the kernel moves from one connection to another by itself
//! (splice(2)): it comes into a pipe, and goes from there, and nobody copies it.

#[cfg(not(target_os = "linux"))]
pub use nowhere::Pipe;
#[cfg(target_os = "linux")]
pub use pipe::Pipe;

/// From this length on it costs less than copying.
pub const LONG: u64 = 64 * 1024;

#[cfg(target_os = "linux")]
mod pipe;

/// Where no kernel does it.
#[cfg(not(target_os = "linux"))]
mod nowhere {
    use crate::net::stream::Stream;
    use std::io;
    use std::task::{Context, Poll};

    pub enum Pipe {}

    impl Pipe {
        #[must_use]
        pub fn take() -> Option<Self> {
            None
        }

        #[must_use]
        pub fn is_empty(&self) -> bool {
            match *self {}
        }

        pub fn fill(&mut self, _: &mut Stream, _: u64) -> Option<usize> {
            match *self {}
        }

        /// # Errors
        /// None.
        pub fn poll_drain(
            &mut self,
            _: &mut Stream,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<usize>> {
            match *self {}
        }
    }
}
