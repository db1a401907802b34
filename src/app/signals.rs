//! The signals that ask the process to end, or to read its configuration again.

use std::io::{self, IsTerminal};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT, and the end of the terminal, from the moment on at which
/// this was made.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// A person started it, and may close the window.
    has_terminal: bool,
}

/// SIGHUP, from the moment on at which this was made: it ends the process no more.
pub struct Hangups(Signal);

impl Hangups {
    /// Takes the signal over; call it on a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one; several that come at once may be one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // No more can come.
            std::future::pending().await
        }
    }
}

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Terminate,
    Interrupt,
    /// SIGHUP, and the terminal is gone.
    Hangup,
}

impl Signals {
    /// Takes the signals over; call it on a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            has_terminal: io::stdin().is_terminal(),
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Request {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Request::Terminate,
                _ = self.interrupt.recv() => return Request::Interrupt,
                Some(()) = self.hangup.recv() => {
                    if self.has_terminal && !io::stdin().is_terminal() {
                        return Request::Hangup;
                    }
                }
            }
        }
    }
}

impl Request {
    /// The exit code of a process that ends by this signal at once.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Hangup => 129,
        }
    }
}
