//! A request's body, kept while it streams, so that it can be sent once more.
//!
//! The first sending is never delayed or cut for the keeping's sake: past its
//! own limit or the process's total the body is simply no longer replayable.

use super::body::SendError;
use super::called::Called;
use super::connection::Reading;
use super::expect::{Gate, PATIENCE};
use super::refusal::Refusal;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The answer where a caller's body fails.
pub const CALLER_FAILED: &str = "the request's body ended before its announced end";

/// What keeping a piece of a body costs besides its bytes.
const CHUNK_OVERHEAD: usize = 64;
/// A piece that is kept as a copy.
const SMALL_CHUNK: usize = 2048;

/// What all kept bodies of the process may hold together.
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
        }
    }

    /// Bytes held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A body on its way; the sendings of it share this.
#[derive(Clone)]
pub struct Upload(Rc<Shared>);

struct Shared {
    state: RefCell<State>,
    budget: std::sync::Arc<Budget>,
    limit: usize,
    /// Bytes that may go on at all.
    most: u64,
    /// When the upstream must have answered; each sending and every chunk that
    /// passes moves it.
    deadline: Cell<Instant>,
    patience: Duration,
}

struct State {
    source: Called,
    /// After `source`: it says that this is gone.
    reading: Reading,
    /// The whole body's length, as its head gave it.
    hint: SizeHint,
    /// Bytes that came so far.
    received: u64,
    /// What came so far; `None` once it can't be replayed.
    kept: Option<Kept>,
    source_ended: bool,
    /// Something of the body has been read.
    begun: bool,
    /// Why no more of it can come.
    fault: Option<Refusal>,
    /// The upstream is to say when the body may come.
    expects: bool,
    /// Of the live sending, where it waits for that.
    gate: Option<Gate>,
    /// How often such waits have begun.
    waits: u32,
    /// The sending that may read; earlier ones are over.
    live: u32,
    /// The live sending sends what was kept.
    resends: bool,
    /// There will be no other.
    is_last: bool,
    /// The live sending has got everything.
    sent: bool,
    /// The upstream has answered: no further byte for the live sending.
    held: bool,
    /// Every sending up to this one ends with an error.
    cut: u32,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Kept {
    chunks: Vec<Bytes>,
    bytes: usize,
    /// What of the budget it has taken.
    charged: usize,
    trailers: Option<HeaderMap>,
}

/// One sending of an [`Upload`], as a body.
pub struct Sending {
    shared: Rc<Shared>,
    number: u32,
    next: usize,
    trailers_sent: bool,
    gate: Option<Gate>,
}

/// A wait for the upstream's word that has an end.
pub struct Waiting {
    shared: Weak<Shared>,
    number: u32,
}

impl Waiting {
    /// The upstream has had its time: the body goes out unasked.
    pub fn give_up(&self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let waker = {
            let mut state = shared.state.borrow_mut();
            let (Some(gate), true) = (&state.gate, state.waits == self.number) else {
                return;
            };
            gate.open();
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Upload {
    /// Takes a body; `limit` bytes of it may be kept, and `most` go on.
    #[must_use]
    pub fn new(
        (source, reading): (Called, Reading),
        (limit, most): (usize, u64),
        budget: std::sync::Arc<Budget>,
        patience: Duration,
    ) -> Self {
        let hint = source.size_hint();
        // What is known not to fit is not even begun.
        let fits = hint.lower() <= limit as u64;
        Self(Rc::new(Shared {
            state: RefCell::new(State {
                source,
                reading,
                hint,
                received: 0,
                kept: fits.then(Kept::default),
                source_ended: false,
                begun: false,
                fault: None,
                expects: false,
                gate: None,
                waits: 0,
                live: 0,
                resends: false,
                is_last: false,
                sent: false,
                held: false,
                cut: 0,
                waker: None,
            }),
            budget,
            limit,
            most,
            deadline: Cell::new(Instant::now() + patience),
            patience,
        }))
    }

    /// Begins a sending; the one before is over.
    #[must_use]
    pub fn send(&self) -> Sending {
        self.cut();
        let mut state = self.0.state.borrow_mut();
        let before = if state.expects {
            PATIENCE
        } else {
            Duration::ZERO
        };
        let deadline = Instant::now() + before + self.0.patience;
        self.0.deadline.set(deadline);
        state.live += 1;
        state.resends = state.kept.is_some() && state.live > 1;
        state.sent = false;
        state.held = false;
        state.gate = state.expects.then(Gate::default);
        let gate = state.gate.clone();
        Sending {
            gate,
            shared: self.0.clone(),
            number: state.live,
            next: 0,
            trailers_sent: false,
        }
    }

    /// Each sending waits until its upstream says that the body may come.
    pub fn expect(&self) {
        self.0.state.borrow_mut().expects = true;
    }

    /// Begins such a wait; `None` where none is needed.
    pub fn waiting(&self) -> Option<Waiting> {
        let mut state = self.0.state.borrow_mut();
        state.waits += u32::from(state.expects);
        state.expects.then(|| Waiting {
            shared: Rc::downgrade(&self.0),
            number: state.waits,
        })
    }

    /// The upstream has given its last word: true where it did so without having
    /// asked for the body, which then is not sent.
    pub fn is_unwanted(&self) -> bool {
        let mut state = self.0.state.borrow_mut();
        let is_closed = state.gate.as_ref().is_some_and(|gate| !gate.is_open());
        state.held |= is_closed;
        is_closed
    }

    /// Sends no further byte, and reads none from the caller, until [`send`](Self::send)
    /// or [`cut`](Self::cut).
    pub fn hold(&self) {
        self.0.state.borrow_mut().held = true;
    }

    /// Ends the live sending with an error, which closes its connection.
    pub fn cut(&self) {
        let waker = {
            let mut state = self.0.state.borrow_mut();
            state.cut = state.live;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// True when the live sending has got the whole body.
    #[must_use]
    pub fn sent(&self) -> bool {
        self.0.state.borrow().sent
    }

    /// True while everything that came so far is kept, also when that is nothing.
    #[must_use]
    pub fn replayable(&self) -> bool {
        let state = self.0.state.borrow();
        state.kept.is_some() && !state.is_last || !state.begun
    }

    /// True while the whole body can still be sent: what came so far is kept,
    /// or nothing came.
    #[must_use]
    pub fn at_hand(&self) -> bool {
        self.0.state.borrow().fault.is_none() && self.replayable()
    }

    /// The answer to a body that failed on the caller's side.
    #[must_use]
    pub fn fault(&self) -> Option<Refusal> {
        self.0.state.borrow().fault.clone()
    }

    /// There will be no replay: keeps no more, and frees what was kept once the live
    /// sending has no need of it.
    pub fn forget(&self) {
        let state = &mut *self.0.state.borrow_mut();
        state.is_last = true;
        if !state.resends || state.sent {
            self.0.forget(state);
        }
    }

    /// When the upstream must have answered.
    #[must_use]
    pub fn deadline(&self) -> &Cell<Instant> {
        &self.0.deadline
    }
}

impl Shared {
    fn forget(&self, state: &mut State) {
        if let Some(kept) = state.kept.take() {
            self.budget.give_back(kept.charged);
        }
    }

    fn keep(&self, state: &mut State, chunk: &Bytes) {
        if state.is_last {
            return;
        }
        let Some(kept) = &mut state.kept else { return };
        let charge = chunk.len() + CHUNK_OVERHEAD;
        let fits = kept.bytes + chunk.len() <= self.limit && self.budget.take(charge);
        if fits {
            kept.bytes += chunk.len();
            kept.charged += charge;
            // A small one would hold the whole buffer that it was read into.
            kept.chunks.push(match chunk.len() < SMALL_CHUNK {
                true => Bytes::copy_from_slice(chunk),
                false => chunk.clone(),
            });
        } else {
            self.forget(state);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(kept) = self.state.get_mut().kept.take() {
            self.budget.give_back(kept.charged);
        }
    }
}

impl Sending {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let shared = self.shared.clone();
        let mut state = shared.state.borrow_mut();
        if state.cut >= self.number {
            return Poll::Ready(Some(Err(SendError::Cut)));
        }
        if state.held || self.gate.as_ref().is_some_and(|gate| !gate.is_open()) {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(frame) = self.kept_frame(&state) {
            state.sent = self.is_end(&state);
            if state.sent && state.is_last {
                shared.forget(&mut state);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if std::mem::take(&mut state.resends) && state.is_last {
            shared.forget(&mut state);
        }
        if state.source_ended {
            state.sent = true;
            return Poll::Ready(None);
        }
        let frame = self.poll_source(&shared, &mut state, cx);
        if frame.is_ready() {
            shared.deadline.set(Instant::now() + shared.patience);
        } else {
            // So that a cut is noticed while the caller is silent.
            state.waker = Some(cx.waker().clone());
        }
        frame
    }

    /// True when it is over; the task is woken when it will be.
    pub(super) fn is_cut(&self, cx: &Context<'_>) -> bool {
        let mut state = self.shared.state.borrow_mut();
        let is_cut = state.cut >= self.number;
        if !is_cut {
            state.waker = Some(cx.waker().clone());
        }
        is_cut
    }

    /// What the upstream's word opens.
    pub(super) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    fn kept_frame(&mut self, state: &State) -> Option<Frame<Bytes>> {
        let kept = state.kept.as_ref()?;
        if let Some(chunk) = kept.chunks.get(self.next) {
            self.next += 1;
            return Some(Frame::data(chunk.clone()));
        }
        let trailers = kept.trailers.clone().filter(|_| !self.trailers_sent)?;
        self.trailers_sent = true;
        Some(Frame::trailers(trailers))
    }

    fn poll_source(
        &mut self,
        shared: &Shared,
        state: &mut State,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        match Pin::new(&mut state.source).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                state.reading.ended();
                state.source_ended = true;
                state.sent = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                shared.forget(state);
                state.fault = Some(Refusal::bad_request(CALLER_FAILED));
                Poll::Ready(Some(Err(SendError::Caller(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                state.begun = true;
                if let Some(chunk) = frame.data_ref() {
                    state.received += chunk.len() as u64;
                    if state.received > shared.most {
                        // It may be neither replayed nor sent by another connection.
                        shared.forget(state);
                        state.fault = Some(Refusal::too_large(shared.most));
                        return Poll::Ready(Some(Err(SendError::TooLarge(shared.most))));
                    }
                    shared.keep(state, chunk);
                    self.next += 1;
                } else if let Some(trailers) = frame.trailers_ref() {
                    state.reading.ended_with_trailers();
                    if let Some(kept) = &mut state.kept {
                        kept.trailers = Some(trailers.clone());
                        self.trailers_sent = true;
                    }
                }
                state.sent = self.is_end(state);
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end(&self, state: &State) -> bool {
        let all_kept_sent = state.kept.as_ref().is_none_or(|kept| {
            self.next >= kept.chunks.len() && (kept.trailers.is_none() || self.trailers_sent)
        });
        all_kept_sent && (state.source_ended || state.source.is_end_stream())
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.shared.state.borrow();
        state.cut < self.number && self.is_end(&state)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.shared.state.borrow().hint
    }
}
