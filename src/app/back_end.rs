//! Which back end the workers run on: asked for, or the best there is.

use super::failure::Failure;
use crate::config::checked;
use crate::net::worker::Io;

/// Finds it out and says it.
///
/// # Errors
/// When one is asked for that can't be had.
pub fn choose(asked: checked::Io) -> Result<Io, Failure> {
    match asked {
        checked::Io::Epoll => {
            tracing::info!(target: "sidekey", "workers wait for sockets with {}", Io::Poll);
            Ok(Io::Poll)
        }
        checked::Io::Ring => match Io::no_ring() {
            Some(why) => Err(Failure::NoRing(why)),
            None => Ok(with_ring()),
        },
        checked::Io::Auto => Ok(Io::no_ring().map_or_else(with_ring, without_ring)),
    }
}

fn with_ring() -> Io {
    tracing::info!(target: "sidekey", "workers wait for sockets with {}", Io::Ring);
    Io::Ring
}

fn without_ring(why: String) -> Io {
    tracing::info!(
        target: "sidekey",
        "workers wait for sockets with {}; {} can't be had: {why}",
        Io::Poll, Io::Ring
    );
    Io::Poll
}
