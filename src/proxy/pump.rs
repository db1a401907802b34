//! One direction of a tunnel. Between two reads it holds nothing but what the
//! other side has not taken yet; while it does, nothing more is read.

use super::frames::Frames;
use hyper::rt::{Read, ReadBuf, Write};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Reads in a row before others get their turn.
const TURNS: usize = 16;

thread_local! {
    /// What every tunnel of a worker reads into, one after the other.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// One direction.
pub struct Pump {
    frames: Frames,
    /// False where the bytes are no frames: such a direction says no goodbye.
    follows: bool,
    /// Read, and not yet taken by the other side.
    unwritten: Vec<u8>,
    written: usize,
    has_ended: bool,
    is_shut: bool,
    bytes: u64,
    /// Bytes read and bytes written, to see whether anything happens.
    moved: u64,
    goodbye: Goodbye,
}

/// What is left to do of a goodbye.
#[derive(Debug)]
enum Goodbye {
    /// Bring the frame under way to its end, then say this.
    Frame(Vec<u8>),
    /// Hand over what is not taken yet.
    Rest,
    /// Wait until the sender, who is told by the other direction, has ended.
    Answer,
    Done,
}

impl Pump {
    /// Begins with what was read already.
    #[must_use]
    pub fn new(read: &[u8]) -> Self {
        let mut frames = Frames::default();
        frames.pass(read);
        Self {
            frames,
            follows: true,
            unwritten: read.to_vec(),
            written: 0,
            has_ended: false,
            is_shut: false,
            bytes: read.len() as u64,
            moved: 0,
            goodbye: Goodbye::Done,
        }
    }

    /// The same where the bytes are no frames.
    #[must_use]
    pub fn of_bytes(read: &[u8]) -> Self {
        Self {
            follows: false,
            ..Self::new(read)
        }
    }

    /// Bytes that came this way.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Changes with everything that is read or written.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Moves what can be moved; ready when the sender has ended and the other
    /// side knows it.
    ///
    /// # Errors
    /// When either side fails.
    pub fn poll<R: Read + Unpin, W: Write + Unpin>(
        &mut self,
        from: &mut R,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            ready!(self.poll_write(to, cx))?;
            if self.has_ended {
                return self.poll_shut(to, cx);
            }
            let passed = self.poll_read(from, cx, |pump, bytes, cx| {
                if pump.follows {
                    pump.frames.pass(bytes);
                }
                pump.bytes += bytes.len() as u64;
                let written = match Pin::new(&mut *to).poll_write(cx, bytes) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                };
                pump.moved += written as u64;
                pump.unwritten.extend_from_slice(&bytes[written..]);
                Ok(())
            });
            match passed {
                Poll::Ready(passed) => passed?,
                Poll::Pending => {
                    ready!(Pin::new(to).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// From here on the direction ends with this frame.
    pub fn close_with(&mut self, frame: Vec<u8>) {
        self.goodbye = Goodbye::Frame(frame);
    }

    /// True when the other side has been told.
    #[must_use]
    pub fn has_said_goodbye(&self) -> bool {
        matches!(self.goodbye, Goodbye::Answer | Goodbye::Done)
    }

    /// Says goodbye to `to` once the frame under way is whole, then reads on for
    /// nobody until `from` has ended too, by a Close frame of its own or at all.
    pub fn poll_goodbye<R: Read + Unpin, W: Write + Unpin>(
        &mut self,
        from: &mut R,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // Where one side is gone, nothing more goes this way.
        let _ = ready!(self.poll_goodbye_steps(from, to, cx));
        self.goodbye = Goodbye::Done;
        Poll::Ready(())
    }

    fn poll_goodbye_steps<R: Read + Unpin, W: Write + Unpin>(
        &mut self,
        from: &mut R,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Goodbye::Frame(_) = self.goodbye {
            ready!(self.poll_frame_end(from, to, cx))?;
        }
        if let Goodbye::Rest = self.goodbye {
            ready!(self.poll_write(to, cx))?;
            ready!(Pin::new(&mut *to).poll_flush(cx))?;
            self.goodbye = Goodbye::Answer;
        }
        while let Goodbye::Answer = self.goodbye {
            if self.frames.has_closed() || self.has_ended {
                break;
            }
            ready!(self.poll_read(from, cx, |pump, bytes, _| {
                pump.frames.pass(bytes);
                Ok(())
            }))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what is left of the frame under way, and then the goodbye.
    fn poll_frame_end<R: Read + Unpin, W: Write + Unpin>(
        &mut self,
        from: &mut R,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.frames.is_between() {
            ready!(self.poll_write(to, cx))?;
            if self.has_ended {
                // No frame may follow half of one.
                self.goodbye = Goodbye::Rest;
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_read(from, cx, |pump, bytes, _| {
                let (frame, behind) = bytes.split_at(pump.frames.finish(bytes));
                pump.bytes += frame.len() as u64;
                pump.unwritten.extend_from_slice(frame);
                if pump.frames.is_between() {
                    pump.say_close();
                    pump.frames.pass(behind);
                }
                Ok(())
            }))?;
            if let Goodbye::Rest = self.goodbye {
                return Poll::Ready(Ok(()));
            }
        }
        self.say_close();
        Poll::Ready(Ok(()))
    }

    /// Between two frames: the goodbye is what comes next, if nobody has said it.
    fn say_close(&mut self) {
        let next = std::mem::replace(&mut self.goodbye, Goodbye::Rest);
        if let Goodbye::Frame(close) = next
            && !self.frames.has_closed()
            && !self.is_shut
        {
            self.unwritten.extend_from_slice(&close);
        }
    }

    fn poll_read<R: Read + Unpin>(
        &mut self,
        from: &mut R,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut Self, &[u8], &mut Context<'_>) -> io::Result<()>,
    ) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(cx, buf.unfilled()))?;
            let bytes = buf.filled();
            self.moved += bytes.len() as u64;
            self.has_ended = bytes.is_empty();
            Poll::Ready(take(self, bytes, cx))
        })
    }

    /// Hands over what was read before.
    fn poll_write<W: Write + Unpin>(
        &mut self,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.unwritten.len() {
            let left = &self.unwritten[self.written..];
            let written = ready!(Pin::new(&mut *to).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.moved += written as u64;
        }
        if self.written > 0 {
            // Whoever is silent holds no memory.
            self.unwritten = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shut<W: Write + Unpin>(
        &mut self,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(to).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        Poll::Ready(Ok(()))
    }
}
