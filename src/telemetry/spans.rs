//! Finished spans on their way from the workers to whoever sends them on. They
//! are handed over in batches; what waits is bounded, the rest is dropped and
//! counted, so that a collector's trouble is never a request's.

use super::context::Ratio;
use super::otlp::{self, Span};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Bytes that one worker collects between two of its ticks.
const BATCH_BYTES: usize = 1024 * 1024;
/// Bytes that may wait to be sent.
const WAITING_BYTES: usize = 8 * 1024 * 1024;
/// Batches that may wait to be sent.
const WAITING_BATCHES: usize = 4_096;

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The collector has it.
    Exported,
    /// Too many were waiting already.
    Dropped,
    /// The collector refused it, or could not be reached for too long.
    Failed,
}

impl Fate {
    /// All of them, as the metric lists them.
    pub const ALL: [Self; 3] = [Self::Exported, Self::Dropped, Self::Failed];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// Encoded spans.
pub struct Batch {
    pub bytes: Vec<u8>,
    pub count: u64,
}

/// The sending half, for all workers.
#[derive(Clone)]
pub struct Spans {
    queue: mpsc::Sender<Batch>,
    shared: Arc<Shared>,
}

/// What workers need to record spans.
#[derive(Clone)]
pub struct Tracing {
    pub spans: Spans,
    /// Of traces that the caller does not record.
    pub ratio: Ratio,
}

/// The receiving half, for whoever sends them on.
pub struct Waiting {
    queue: mpsc::Receiver<Batch>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    bytes: AtomicUsize,
    fates: [AtomicU64; Fate::ALL.len()],
}

/// One worker's end: collects spans, hands them over in batches.
pub struct SpanWriter {
    spans: Spans,
    batch: Vec<u8>,
    count: u64,
    /// How long the last batch became: what to allocate for the next.
    expected: usize,
    scratch: Vec<u8>,
}

/// Both halves of a queue.
#[must_use]
pub fn channel() -> (Spans, Waiting) {
    let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
    let shared = Arc::new(Shared::default());
    let spans = Spans {
        queue: sender,
        shared: shared.clone(),
    };
    let waiting = Waiting {
        queue: receiver,
        shared,
    };
    (spans, waiting)
}

impl Spans {
    /// An end for the calling worker.
    #[must_use]
    pub fn writer(&self) -> SpanWriter {
        SpanWriter {
            spans: self.clone(),
            batch: Vec::new(),
            count: 0,
            expected: 0,
            scratch: Vec::new(),
        }
    }

    /// Spans so far by their fate, in the order of [`Fate::ALL`].
    #[must_use]
    pub fn counts(&self) -> [u64; Fate::ALL.len()] {
        let count = |fate: Fate| self.shared.fates[fate as usize].load(Ordering::Relaxed);
        Fate::ALL.map(count)
    }

    fn send(&self, batch: Batch) {
        let (length, count) = (batch.bytes.len(), batch.count);
        let waiting = self.shared.bytes.fetch_add(length, Ordering::Relaxed);
        let fits = waiting == 0 || waiting + length <= WAITING_BYTES;
        let sent = fits && self.queue.try_send(batch).is_ok();
        if !sent {
            self.shared.bytes.fetch_sub(length, Ordering::Relaxed);
            self.shared.count(Fate::Dropped, count);
        }
    }
}

impl SpanWriter {
    /// Adds a span to this worker's batch; no system call, no lock. True when
    /// it is the first, which [`flush`](Self::flush) has to follow.
    pub fn record(&mut self, span: &Span<'_>) -> bool {
        if self.batch.len() >= BATCH_BYTES {
            self.spans.shared.count(Fate::Dropped, 1);
            return false;
        }
        if self.batch.capacity() == 0 {
            self.batch.reserve(self.expected + self.expected / 4);
        }
        otlp::encode(&mut self.batch, &mut self.scratch, span);
        self.count += 1;
        self.count == 1
    }

    /// Hands the batch over; called on the worker's tick and at its end.
    pub fn flush(&mut self) {
        if self.count == 0 {
            return;
        }
        self.expected = self.batch.len();
        self.spans.send(Batch {
            bytes: std::mem::take(&mut self.batch),
            count: std::mem::take(&mut self.count),
        });
    }
}

impl Waiting {
    /// The next batch; `None` once no worker is left and nothing waits.
    pub async fn next(&mut self) -> Option<Batch> {
        let batch = self.queue.recv().await;
        self.taken(batch)
    }

    /// The next batch if one is there.
    pub fn next_now(&mut self) -> Option<Batch> {
        let batch = self.queue.try_recv().ok();
        self.taken(batch)
    }

    /// Notes what became of so many spans.
    pub fn count(&self, fate: Fate, spans: u64) {
        self.shared.count(fate, spans);
    }

    fn taken(&self, batch: Option<Batch>) -> Option<Batch> {
        let length = batch.as_ref().map_or(0, |batch| batch.bytes.len());
        self.shared.bytes.fetch_sub(length, Ordering::Relaxed);
        batch
    }
}

impl Shared {
    fn count(&self, fate: Fate, spans: u64) {
        self.fates[fate as usize].fetch_add(spans, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::{SpanId, TraceId};
    use super::super::otlp::{Kind, Span};
    use super::{BATCH_BYTES, Fate, Spans, WAITING_BYTES, channel};

    fn span() -> Span<'static> {
        Span {
            trace: TraceId::new(1, 2),
            id: SpanId::new(3),
            parent: None,
            remote_parent: false,
            flags: 1,
            state: "",
            kind: Kind::Server,
            name: ("GET", Some("/crm")),
            start: 1,
            end: 2,
            attributes: &[],
            events: &[],
            failed: false,
        }
    }

    fn dropped(spans: &Spans) -> u64 {
        spans.counts()[Fate::Dropped as usize]
    }

    #[test]
    fn only_the_first_of_a_batch_asks_for_a_flush() {
        let (spans, mut waiting) = channel();
        let mut writer = spans.writer();
        assert!(writer.record(&span()) && !writer.record(&span()));
        writer.flush();
        writer.flush();
        let batch = waiting.next_now().unwrap();
        assert_eq!(batch.count, 2);
        assert!(waiting.next_now().is_none());
        assert!(writer.record(&span()), "a new batch");
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_counted() {
        let (spans, mut waiting) = channel();
        let mut writer = spans.writer();
        let mut recorded = 0;
        while dropped(&spans) == 0 {
            writer.record(&span());
            recorded += 1;
            if writer.batch.len() >= BATCH_BYTES / 2 {
                writer.flush();
            }
        }
        let mut bytes = 0;
        let mut taken = 0;
        while let Some(batch) = waiting.next_now() {
            bytes += batch.bytes.len();
            taken += batch.count;
        }
        assert!(bytes <= WAITING_BYTES);
        assert_eq!(taken + dropped(&spans), recorded);
        writer.record(&span());
        writer.flush();
        assert!(waiting.next_now().is_some(), "there is room again");
    }

    #[test]
    fn a_worker_that_does_not_tick_keeps_no_more_than_a_batch() {
        let (spans, _waiting) = channel();
        let mut writer = spans.writer();
        while dropped(&spans) == 0 {
            writer.record(&span());
        }
        assert!(writer.batch.len() < BATCH_BYTES + 200);
    }
}
