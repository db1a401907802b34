//! One worker's ring. Tasks leave what is to be done in it; when the worker has
//! nothing else to do, all of it goes to the kernel in one call, and what has
//! been completed wakes its tasks.

use super::buffers::{Buffers, GROUP};
use super::conn::{BULK, Conn, Receiving};
use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, Fd, Timespec};
use io_uring::{IoUring, cqueue, opcode};
use socket2::SockRef;
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Operations that can wait for the kernel before they must be handed over.
pub const SUBMISSIONS: u32 = if cfg!(test) { 16 } else { 256 };
/// Completions that find room; more wait in the kernel.
const COMPLETIONS: u32 = 8 * SUBMISSIONS;
/// Buffers of this many connections are kept for the next to write.
const SPARE: usize = 64;
const SPARE_SIZE: usize = 2048;
/// How long a closed connection's peer may take nothing of what is left.
const LINGER: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });
/// How often it is looked for completions between two readings of the clock.
const LOOKS: u32 = 8;
/// What the end of a ring may take.
const LAST: Timespec = Timespec::new().sec(1);

/// What a completion is of.
#[derive(Clone, Copy)]
enum Op {
    Receive,
    Send,
    Cancel,
    Room,
}

impl Op {
    /// The name of this operation of a connection.
    fn of(self, index: u32) -> u64 {
        ((self as u64) << 32) | u64::from(index)
    }

    fn named(name: u64) -> (Self, u32) {
        let op = match name >> 32 {
            0 => Self::Receive,
            1 => Self::Send,
            2 => Self::Cancel,
            _ => Self::Room,
        };
        (op, name as u32)
    }
}

/// What was seen of the kernel's work without a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    Nothing,
    Completed,
    /// It is done in the next call, whichever; one that would sleep returns.
    AtNextCall,
}

/// The ring, its buffers and its connections.
pub struct Driver {
    // First, so that it ends before what the kernel works on.
    uring: IoUring,
    pub buffers: Buffers,
    conns: Vec<Option<Box<Conn>>>,
    free: Vec<u32>,
    /// Connections with something to send.
    listed: Vec<u32>,
    spare: Vec<Vec<u8>>,
    /// Completions that had to make room.
    taken: VecDeque<cqueue::Entry>,
}

impl Driver {
    /// A ring for the calling thread. Its work is done on this thread whenever it
    /// is in the kernel, or sleeps there. Not deferred until we ask for it: that
    /// costs the same, and the loop, which waits for the ring's descriptor, would
    /// not be woken for it.
    ///
    /// # Errors
    /// When the kernel has none, or not all that is needed, or forbids it.
    pub fn new() -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_submit_all()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_single_issuer()
            .build(SUBMISSIONS)?;
        let buffers = Buffers::new(&uring)?;
        // What is forbidden may be this call alone.
        uring.submit()?;
        Ok(Self {
            uring,
            buffers,
            conns: Vec::new(),
            free: Vec::new(),
            listed: Vec::new(),
            spare: Vec::new(),
            taken: VecDeque::new(),
        })
    }

    pub fn fd(&self) -> i32 {
        self.uring.as_raw_fd()
    }

    pub fn add(&mut self, socket: TcpStream) -> u32 {
        let conn = Some(Box::new(Conn::new(socket)));
        if let Some(index) = self.free.pop() {
            self.conns[index as usize] = conn;
            return index;
        }
        self.conns.push(conn);
        (self.conns.len() - 1) as u32
    }

    /// A connection whose stream lives.
    pub fn conn(&mut self, index: u32) -> (&mut Conn, &mut Buffers) {
        match &mut self.conns[index as usize] {
            Some(conn) => (conn, &mut self.buffers),
            None => unreachable!("a connection lives as long as its stream"),
        }
    }

    /// Asks for what comes next, if nothing is asked for yet.
    pub fn receive(&mut self, index: u32) {
        let (conn, _) = self.conn(index);
        if conn.receiving != Receiving::Nothing {
            return;
        }
        let fd = Fd(conn.socket.as_raw_fd());
        let entry = if conn.bulk > 0 {
            conn.receiving = Receiving::Word;
            opcode::PollAdd::new(fd, libc::POLLIN as u32).build()
        } else {
            conn.receiving = Receiving::Buffers;
            opcode::RecvMulti::new(fd, GROUP).build()
        };
        self.push(index, Op::Receive, entry);
    }

    /// From now on what comes is left to be taken out of the socket itself.
    pub fn receive_by_word(&mut self, index: u32) {
        let (conn, _) = self.conn(index);
        if std::mem::replace(&mut conn.bulk, BULK) == 0 && conn.receiving == Receiving::Buffers {
            self.stop_receiving(index);
        }
    }

    /// Has the kernel say when there is room to send.
    pub fn await_room(&mut self, index: u32) {
        let (conn, _) = self.conn(index);
        if !std::mem::replace(&mut conn.awaits_room, true) {
            let fd = Fd(conn.socket.as_raw_fd());
            let entry = opcode::PollAdd::new(fd, libc::POLLOUT as u32).build();
            self.push(index, Op::Room, entry);
        }
    }

    /// Puts a connection on the list of those that have something to send.
    pub fn list(&mut self, index: u32) {
        let (conn, _) = self.conn(index);
        if !conn.is_sending && !std::mem::replace(&mut conn.is_listed, true) {
            self.listed.push(index);
        }
    }

    /// A buffer to write into, for a connection that has none.
    pub fn spare(&mut self) -> Vec<u8> {
        let spare = self.spare.pop();
        spare.unwrap_or_else(|| Vec::with_capacity(SPARE_SIZE))
    }

    /// The stream is gone. What it has written goes out all the same, as it
    /// would from a socket, unless the peer takes none of it for too long.
    pub fn close(&mut self, index: u32) {
        let (conn, buffers) = self.conn(index);
        conn.closed = true;
        conn.forget_unread(buffers);
        if !conn.is_sending {
            conn.send_written();
        }
        if conn.unsent() > 0 {
            let _ = SockRef::from(&conn.socket).set_tcp_user_timeout(Some(LINGER));
            self.list(index);
        }
        self.stop_receiving(index);
        if self.conn(index).0.awaits_room {
            let entry = opcode::AsyncCancel::new(Op::Room.of(index)).build();
            self.push(index, Op::Cancel, entry);
        }
        self.end_if_done(index);
    }

    fn stop_receiving(&mut self, index: u32) {
        let (conn, _) = self.conn(index);
        if matches!(conn.receiving, Receiving::Buffers | Receiving::Word) {
            conn.receiving = Receiving::Stopping;
            let entry = opcode::AsyncCancel::new(Op::Receive.of(index)).build();
            self.push(index, Op::Cancel, entry);
        }
    }

    fn end_if_done(&mut self, index: u32) {
        let (conn, _) = self.conn(index);
        if !conn.closed || conn.ops > 0 || conn.is_listed {
            return;
        }
        let ended = self.conns[index as usize].take();
        self.free.push(index);
        if let Some(mut conn) = ended {
            self.keep_spare(std::mem::take(&mut conn.written));
        }
    }

    fn keep_spare(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && buffer.capacity() <= 4 * SPARE_SIZE && self.spare.len() < SPARE
        {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Puts an operation into the ring; a full one is handed over first.
    fn push(&mut self, index: u32, op: Op, entry: Entry) {
        self.conn(index).0.ops += 1;
        let entry = entry.user_data(op.of(index));
        // SAFETY: what an entry points to (the bytes of `sending`, the lent
        // buffers) is left alone and alive until its completion has come.
        while unsafe { self.uring.submission().push(&entry) }.is_err() {
            self.hand_over();
        }
    }

    /// One call for everything that waits; also where the kernel says that it
    /// has completions which only a call brings.
    fn hand_over(&mut self) {
        loop {
            match self.uring.submit() {
                Ok(_) if self.uring.submission().is_empty() => return,
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    self.taken.extend(self.uring.completion());
                }
                // The kernel has no memory. Nothing else helps than time.
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// What only another call brings on. Work that the kernel has to do for us
    /// is not among it: the loop's own call to sleep does it, and then returns.
    fn has_work(&mut self) -> bool {
        let queue = self.uring.submission();
        !queue.is_empty() || queue.cq_overflow() || !self.listed.is_empty()
    }

    /// Hands everything over and takes everything that is completed: after this
    /// the worker may sleep.
    pub fn turn(&mut self) {
        loop {
            self.send_listed();
            if self.has_work() {
                self.hand_over();
            }
            self.reap();
            if !self.has_work() {
                return;
            }
        }
    }

    /// Looks for what the kernel has completed, without a call, as long as it `goes_on`.
    pub fn look_out(&mut self, mut goes_on: impl FnMut() -> bool) -> Outlook {
        while goes_on() {
            for _ in 0..LOOKS {
                let queue = self.uring.submission();
                let (has_work, is_full) = (queue.taskrun(), queue.cq_overflow());
                drop(queue);
                if is_full || !self.uring.completion().is_empty() {
                    return Outlook::Completed;
                }
                if has_work {
                    return Outlook::AtNextCall;
                }
                std::hint::spin_loop();
            }
        }
        // It may have come while nothing of this ran.
        match self.uring.completion().is_empty() {
            true => Outlook::Nothing,
            false => Outlook::Completed,
        }
    }

    fn send_listed(&mut self) {
        // Alone in its turn, a sending costs less by itself.
        let alone = self.listed.len() == 1 && self.uring.submission().is_empty();
        while let Some(index) = self.listed.pop() {
            let (conn, _) = self.conn(index);
            conn.is_listed = false;
            if alone {
                conn.send_written();
            }
            if conn.written.is_empty() {
                conn.writer.wake();
                let buffer = std::mem::take(&mut conn.written);
                self.keep_spare(buffer);
                self.end_if_done(index);
                continue;
            }
            std::mem::swap(&mut conn.sending, &mut conn.written);
            conn.is_sending = true;
            self.send(index);
        }
    }

    /// Sends what is left of `sending`.
    fn send(&mut self, index: u32) {
        let (conn, _) = self.conn(index);
        let rest = &conn.sending[conn.sent..];
        let fd = Fd(conn.socket.as_raw_fd());
        let entry = opcode::Send::new(fd, rest.as_ptr(), rest.len() as u32)
            .flags(libc::MSG_NOSIGNAL)
            .build();
        self.push(index, Op::Send, entry);
    }

    fn reap(&mut self) {
        while let Some(entry) = self.next_completion() {
            let (op, index) = Op::named(entry.user_data());
            let more = cqueue::more(entry.flags());
            let (conn, _) = self.conn(index);
            conn.ops -= u32::from(!more);
            match op {
                Op::Receive => self.received(index, &entry, more),
                Op::Send => self.sent(index, entry.result()),
                Op::Cancel => {}
                Op::Room => {
                    conn.awaits_room = false;
                    conn.writer.wake();
                }
            }
            self.end_if_done(index);
        }
    }

    fn next_completion(&mut self) -> Option<cqueue::Entry> {
        let taken = self.taken.pop_front();
        taken.or_else(|| self.uring.completion().next())
    }

    fn received(&mut self, index: u32, entry: &cqueue::Entry, more: bool) {
        let (conn, buffers) = self.conn(index);
        let before = conn.receiving;
        if !more {
            conn.receiving = Receiving::Nothing;
        }
        if before == Receiving::Word {
            conn.reader.wake();
            return;
        }
        let buffer = cqueue::buffer_select(entry.flags());
        if conn.received(entry.result(), buffer, buffers) {
            conn.bulk = BULK;
            self.stop_receiving(index);
        }
    }

    fn sent(&mut self, index: u32, result: i32) {
        let (conn, _) = self.conn(index);
        match result {
            sent if sent >= 0 => conn.sent += sent as usize,
            again if [-libc::EINTR, -libc::EAGAIN].contains(&again) => {}
            error => {
                conn.write_failed(-error);
                conn.sent = conn.sending.len();
            }
        }
        if conn.sent < conn.sending.len() {
            self.send(index);
            return;
        }
        conn.is_sending = false;
        conn.sent = 0;
        conn.writer.wake();
        let buffer = std::mem::take(&mut conn.sending);
        if !conn.written.is_empty() {
            self.list(index);
        }
        self.keep_spare(buffer);
    }

    #[cfg(test)]
    pub fn open(&self) -> usize {
        self.conns.iter().flatten().count()
    }

    /// Operations whose completion is still to come.
    fn under_way(&self) -> bool {
        self.conns.iter().flatten().any(|conn| conn.ops > 0)
    }

    /// Shuts the sending side, once all is sent.
    pub fn shut_down(&mut self, index: u32) -> io::Result<()> {
        match self.conn(index).0.socket.shutdown(Shutdown::Write) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            shut => shut,
        }
    }
}

impl Drop for Driver {
    /// The kernel must be done with our memory before it is freed.
    fn drop(&mut self) {
        self.turn();
        let all = CancelBuilder::any();
        let _ = self.uring.submitter().register_sync_cancel(Some(LAST), all);
        self.turn();
        if self.under_way() {
            // It isn't, after all that: then the memory stays.
            std::mem::forget(std::mem::take(&mut self.conns));
            self.buffers.leak();
        }
    }
}
