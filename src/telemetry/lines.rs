//! A thread that writes lines, so that nobody else waits for a terminal, a
//! pipe or a disk. What waits for it is bounded; past that lines are dropped
//! and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Bytes that may wait to be written.
const WAITING_BYTES: usize = 8 * 1024 * 1024;
/// Batches that may wait to be written.
const WAITING_BATCHES: usize = 4_096;

/// The sending half; clones share the thread.
#[derive(Clone)]
pub struct Lines {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

enum Message {
    Batch {
        bytes: Vec<u8>,
        lines: u64,
    },
    /// Everything sent before this has been written once the sender hears of it.
    Flush(SyncSender<()>),
}

impl Lines {
    /// Starts the writing thread; it ends when the last clone is dropped.
    ///
    /// # Errors
    /// When the thread can't be made.
    pub fn start(name: &str, sink: Box<dyn Write + Send>) -> io::Result<Self> {
        let (queue, messages) = sync_channel(WAITING_BATCHES);
        let shared = Arc::new(Shared::default());
        let its = shared.clone();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_all(&messages, sink, &its))?;
        Ok(Self { queue, shared })
    }

    /// Hands over `lines` lines; drops them when too much is waiting already.
    pub fn send(&self, bytes: Vec<u8>, lines: u64) {
        let length = bytes.len();
        let waiting = self.shared.waiting.fetch_add(length, Ordering::Relaxed);
        let fits = waiting == 0 || waiting + length <= WAITING_BYTES;
        let sent = fits && self.queue.try_send(Message::Batch { bytes, lines }).is_ok();
        if !sent {
            self.shared.waiting.fetch_sub(length, Ordering::Relaxed);
            self.count_dropped(lines);
        }
    }

    /// Counts lines that were dropped before they were handed over.
    pub fn count_dropped(&self, lines: u64) {
        self.shared.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines lost so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what was sent before is written, at most `limit`: a pipe
    /// that nobody reads must not hold up the end of the process. Blocks.
    pub fn flush(&self, limit: Duration) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(limit);
        }
    }
}

fn write_all(messages: &Receiver<Message>, mut sink: Box<dyn Write + Send>, shared: &Shared) {
    for message in messages {
        match message {
            Message::Batch { bytes, lines } => {
                let written = sink.write_all(&bytes).and_then(|()| sink.flush());
                if written.is_err() {
                    shared.dropped.fetch_add(lines, Ordering::Relaxed);
                }
                shared.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
            }
            Message::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::{Lines, WAITING_BYTES};
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    /// A sink that tests can read.
    #[derive(Clone, Default)]
    pub struct Shelf(Arc<Mutex<Vec<u8>>>);

    impl Shelf {
        pub fn text(&self) -> String {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(bytes.clone()).unwrap()
        }
    }

    impl Write for Shelf {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            shelf.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink that nobody reads, until the test lets go of its lock.
    struct Stuck(Arc<Mutex<()>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _held = self.0.lock();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_sent_is_written_in_order() {
        let shelf = Shelf::default();
        let lines = Lines::start("lines", Box::new(shelf.clone())).unwrap();
        for i in 0..100 {
            lines.send(format!("{i}\n").into_bytes(), 1);
        }
        lines.flush(Duration::from_secs(10));
        assert_eq!(shelf.text().lines().count(), 100);
        assert!(shelf.text().starts_with("0\n1\n"));
        assert_eq!(lines.dropped(), 0);
    }

    #[test]
    fn a_stuck_sink_costs_lines_and_no_time() {
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let lines = Lines::start("lines", Box::new(Stuck(lock.clone()))).unwrap();
        let quarter = WAITING_BYTES / 4;
        for _ in 0..8 {
            lines.send(vec![b'x'; quarter], 10);
        }
        assert_eq!(lines.dropped(), 40);
        lines.flush(Duration::from_millis(1));
        drop(held);
    }

    #[test]
    fn a_broken_sink_is_counted() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::start("lines", Box::new(Broken)).unwrap();
        lines.send(b"x\n".to_vec(), 1);
        lines.flush(Duration::from_secs(10));
        assert_eq!(lines.dropped(), 1);
    }
}
