//! One connection on the ring: what was received and not yet read, what was
//! written and not yet sent. Memory that the kernel works on is only here.

use super::buffers::{Buffers, SIZE};
use hyper::rt::ReadBufCursor;
use socket2::SockRef;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Waker};

/// Buffers that a connection may hold unread; then receiving stops.
pub const HELD: usize = 8;
/// Bytes that a connection may hold unsent; then writing waits.
pub const UNSENT: usize = 32 * 1024;
/// How long a connection is taken for one of large bodies after the last sign.
pub const BULK: u8 = 8;
/// From here on a system call costs less than another copy.
pub const DIRECT: usize = 16 * 1024;

/// What is under way to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    Nothing,
    /// The kernel fills buffers as data comes.
    Buffers,
    /// As before, but asked to stop.
    Stopping,
    /// The kernel says when there is something; we receive it ourselves.
    Word,
}

/// A waker that is kept for the next time.
#[derive(Default)]
pub struct Waiter {
    waker: Option<Waker>,
    waits: bool,
}

impl Waiter {
    pub fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
        self.waits = true;
    }

    /// Only schedules: no task runs, and none is dropped, in here.
    pub fn wake(&mut self) {
        if std::mem::take(&mut self.waits)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
            super::WOKEN.set(true);
        }
    }
}

/// Bytes received and not yet read.
struct Chunk {
    data: Data,
    start: usize,
    end: usize,
}

enum Data {
    Lent(u16),
    /// Of a connection that holds too many.
    Copied(Box<[u8]>),
}

/// A connection.
pub struct Conn {
    pub socket: TcpStream,
    /// Operations whose completion is still to come.
    pub ops: u32,
    /// Its stream was dropped: it ends when all is sent.
    pub closed: bool,

    pub receiving: Receiving,
    /// More comes than buffers are for: we receive it ourselves, until this
    /// many times in turn little has come.
    pub bulk: u8,
    /// The socket was found empty; only the kernel knows better.
    drained: bool,
    unread: VecDeque<Chunk>,
    read_error: Option<i32>,
    ended: bool,
    pub reader: Waiter,

    /// Written since the last sending.
    pub written: Vec<u8>,
    /// In the kernel's hands while `is_sending`: not to be touched.
    pub sending: Vec<u8>,
    pub sent: usize,
    pub is_sending: bool,
    /// It is on the list of those that have something to send.
    pub is_listed: bool,
    pub write_error: Option<i32>,
    pub writer: Waiter,
    /// The kernel is to say when there is room to send.
    pub awaits_room: bool,
}

impl Conn {
    pub fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            ops: 0,
            closed: false,
            receiving: Receiving::Nothing,
            bulk: 0,
            drained: false,
            unread: VecDeque::new(),
            read_error: None,
            ended: false,
            reader: Waiter::default(),
            written: Vec::new(),
            sending: Vec::new(),
            sent: 0,
            is_sending: false,
            is_listed: false,
            write_error: None,
            writer: Waiter::default(),
            awaits_room: false,
        }
    }

    /// Whether [`read`](Self::read) would find something. Where only the socket
    /// knows, it is asked by reading, but not twice when it was found empty.
    pub fn is_readable(&mut self) -> bool {
        let asks = self.receiving == Receiving::Nothing && self.bulk > 0;
        !self.unread.is_empty()
            || self.ended
            || self.read_error.is_some()
            || asks && !std::mem::take(&mut self.drained)
    }

    /// Reads what is here; `None` when nothing is, and the peer has not ended.
    pub fn read(
        &mut self,
        buffers: &mut Buffers,
        buf: &mut ReadBufCursor<'_>,
    ) -> Option<io::Result<()>> {
        if self.unread.is_empty() {
            if self.receiving == Receiving::Nothing && self.bulk > 0 && !self.ended {
                return self.receive(buf);
            }
            let error = self.read_error.take().map(io::Error::from_raw_os_error);
            return error.map(Err).or(self.ended.then_some(Ok(())));
        }
        while let Some(chunk) = self.unread.front_mut() {
            let length = buf.remaining().min(chunk.end - chunk.start);
            let range = chunk.start..chunk.start + length;
            match &chunk.data {
                Data::Lent(id) => buf.put_slice(&buffers.filled(*id, chunk.end)[range]),
                Data::Copied(bytes) => buf.put_slice(&bytes[range]),
            }
            chunk.start += length;
            if chunk.start < chunk.end {
                break;
            }
            if let Some(Data::Lent(id)) = self.unread.pop_front().map(|chunk| chunk.data) {
                buffers.lend(id);
            }
        }
        if self.unread.is_empty() && self.unread.capacity() > HELD {
            self.unread = VecDeque::new();
        }
        Some(Ok(()))
    }

    /// Straight from the socket. One that gave less than it could is empty for
    /// now; answers that fit buffers go back to them, after some.
    fn receive(&mut self, buf: &mut ReadBufCursor<'_>) -> Option<io::Result<()>> {
        if std::mem::take(&mut self.drained) {
            return None;
        }
        // SAFETY: nothing is written to it but by the kernel, which initialises
        // what it says it has written.
        let space = unsafe { buf.as_mut() };
        let room = space.len();
        if room == 0 {
            return Some(Ok(()));
        }
        match SockRef::from(&self.socket).recv(space) {
            Ok(length) => {
                // SAFETY: the kernel has initialised this much.
                unsafe { buf.advance(length) };
                self.ended = length == 0;
                self.drained = length < room;
                self.bulk = if length >= SIZE { BULK } else { self.bulk - 1 };
                Some(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.receive(buf),
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }

    /// Has `take` take what has come out of the socket itself.
    ///
    /// # Errors
    /// As `take`'s; that it would block where it has to be read instead.
    pub fn take(
        &mut self,
        take: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let is_read = !self.unread.is_empty() || self.ended || self.read_error.is_some();
        if is_read || self.drained || self.receiving != Receiving::Nothing {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bulk = BULK;
        take(self.socket.as_fd())
    }

    /// Has `give` put something into the socket itself, behind what was written.
    ///
    /// # Errors
    /// As `give`'s and the connection's; that it would block, while something is
    /// unsent.
    pub fn give(
        &mut self,
        give: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !self.is_sending {
            self.send_written();
        }
        if let Some(error) = self.write_error {
            return Err(io::Error::from_raw_os_error(error));
        }
        match self.unsent() {
            0 => give(self.socket.as_fd()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Takes in what a completion of a receiving operation says; true when
    /// receiving into buffers should stop.
    pub fn received(&mut self, result: i32, buffer: Option<u16>, buffers: &mut Buffers) -> bool {
        let length = usize::try_from(result).unwrap_or(0);
        match buffer {
            Some(id) if length > 0 && !self.closed => self.keep(id, length, buffers),
            Some(id) => buffers.lend(id),
            None => {}
        }
        match -result {
            0 => self.ended = true,
            // The kernel found no buffer. Whoever is not behind gets more of
            // them; if there can't be more, it does without.
            libc::ENOBUFS if self.unread.len() >= HELD || !buffers.grow() => self.bulk = BULK,
            libc::ENOBUFS | libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
            error if error > 0 => {
                self.read_error = Some(error);
                self.ended = true;
            }
            _ => {}
        }
        self.reader.wake();
        self.unread.len() >= HELD && self.receiving == Receiving::Buffers
    }

    /// The kernel may be ahead of us by more than is good: the rest is copied,
    /// so that one connection can't hold everyone's buffers.
    fn keep(&mut self, id: u16, length: usize, buffers: &mut Buffers) {
        let data = if self.unread.len() < HELD {
            Data::Lent(id)
        } else {
            let copy = Data::Copied(buffers.filled(id, length).into());
            buffers.lend(id);
            copy
        };
        self.unread.push_back(Chunk {
            data,
            start: 0,
            end: length,
        });
    }

    #[cfg(test)]
    pub fn lent(&self) -> usize {
        let lent = |chunk: &&Chunk| matches!(chunk.data, Data::Lent(_));
        self.unread.iter().filter(lent).count()
    }

    /// Gives back what nobody will read.
    pub fn forget_unread(&mut self, buffers: &mut Buffers) {
        for chunk in std::mem::take(&mut self.unread) {
            if let Data::Lent(id) = chunk.data {
                buffers.lend(id);
            }
        }
    }

    /// Bytes written and not yet taken by the kernel.
    pub fn unsent(&self) -> usize {
        self.written.len() + self.sending.len() - self.sent
    }

    /// Sends at once what was written before and `bufs`; gives how much of
    /// `bufs` went. Only while nothing is in the kernel's hands.
    pub fn send_now(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        debug_assert!(!self.is_sending);
        let earlier = self.written.len();
        let mut all = Vec::with_capacity(bufs.len() + 1);
        all.push(IoSlice::new(&self.written));
        all.extend(bufs.iter().map(|buf| IoSlice::new(buf)));
        let sent = loop {
            match (&self.socket).write_vectored(&all) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 0,
                sent => break sent?,
            }
        };
        self.written.drain(..sent.min(earlier));
        Ok(sent.saturating_sub(earlier))
    }

    /// Sends at once what the kernel takes of what was written.
    pub fn send_written(&mut self) {
        if !self.written.is_empty()
            && let Err(error) = self.send_now(&[])
        {
            self.write_failed(error.raw_os_error().unwrap_or(libc::EIO));
        }
    }

    /// Nothing can be sent any more; whoever waits is to see it.
    pub fn write_failed(&mut self, error: i32) {
        self.write_error = Some(error);
        self.written.clear();
        self.reader.wake();
        self.writer.wake();
    }

    /// Keeps as much of `bufs` for the next sending as is allowed.
    pub fn append(&mut self, bufs: &[IoSlice<'_>]) -> usize {
        let mut room = UNSENT.saturating_sub(self.unsent());
        let before = self.written.len();
        for buf in bufs {
            let length = room.min(buf.len());
            self.written.extend_from_slice(&buf[..length]);
            room -= length;
        }
        self.written.len() - before
    }
}
