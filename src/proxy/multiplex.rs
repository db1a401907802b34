//! HTTP/2 connections to one origin, which requests share: how many streams
//! each takes, how it is opened once for all who wait, and when it ends.

use super::attempt::{Attempt, Begun, UnderWay};
use super::pool::{Limits, Versions};
use super::slots::{Given, Slot, Slots};
use crate::net::dial::Connection;
use crate::net::heard::Heard;
use crate::net::stream::Trouble;
use crate::net::worker::spawn_local;
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What one stream's answer may hold unread.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Streams of a connection, however many the upstream allows.
const MOST_STREAMS: usize = 1024;
/// All of them at once: a stalled answer holds up no other.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// Streams until the upstream has said how many it takes.
const FIRST_STREAMS: usize = 16;
/// Bytes of an answer's head, and of its trailers.
const HEADER_LIST: u32 = 64 * 1024;
/// What of an upload waits in a stream for its turn on the connection.
const SEND_BUFFER: usize = 64 * 1024;
/// How long an origin that has asked for HTTP/1.1 is spoken to in it.
const HTTP1_TIME: Duration = Duration::from_secs(60);
/// Servers of gRPC take more PINGs than this, with nothing said in between,
/// for an attack.
const PING_PAUSE: Duration = Duration::from_secs(300);

/// The shared connections to an origin.
pub struct Multiplex {
    speaks: Cell<Speaks>,
    /// It has said that it wants HTTP/1.1 (RFC 9113, 7: `HTTP_1_1_REQUIRED`):
    /// until when it gets that. Most often it is a matter of some requests only.
    http1_until: Cell<Option<Instant>>,
    connections: RefCell<Vec<Rc<Shared>>>,
    attempt: UnderWay,
    opened: Cell<u64>,
    /// `None`: any number of connections may be open.
    slots: Option<Rc<Slots>>,
}

/// What the origin was last found to speak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Unknown,
    Http1,
    Http2,
}

impl Multiplex {
    #[must_use]
    pub fn new(versions: Versions, slots: Option<Rc<Slots>>) -> Self {
        Self {
            speaks: Cell::new(match versions {
                Versions::Http1 => Speaks::Http1,
                Versions::Http2 => Speaks::Http2,
                Versions::Either => Speaks::Unknown,
            }),
            http1_until: Cell::new(None),
            connections: RefCell::default(),
            attempt: RefCell::default(),
            opened: Cell::new(0),
            slots,
        }
    }

    #[must_use]
    pub fn speaks_http1(&self) -> bool {
        self.speaks.get() == Speaks::Http1
    }

    /// A new connection has turned out to be one over HTTP/1.1: no others are
    /// shared, and those that were are in nobody's way.
    pub fn found_http1(&self) {
        self.speaks.set(Speaks::Http1);
        for connection in &*self.connections.borrow() {
            connection.retire();
        }
    }

    /// The origin serves this worker over HTTP/1.1 alone for a while.
    pub fn require_http1(&self, now: Instant) {
        self.http1_until.set(Some(now + HTTP1_TIME));
        self.found_http1();
    }

    /// Whether a new connection may be one over HTTP/2.
    #[must_use]
    pub fn may_offer(&self) -> bool {
        self.http1_until.get().is_none()
    }

    /// A place on a connection that was opened after `number` of them; requests
    /// that wait for one come first.
    pub fn place(&self, number: u64) -> Option<Place> {
        self.serve();
        self.find(number)
    }

    /// Gives places to the requests that wait: the upstream may allow more by now.
    pub fn serve(&self) {
        let Some(slots) = self.slots.as_ref().filter(|_| !self.speaks_http1()) else {
            return;
        };
        while slots.are_awaited()
            && let Some(place) = self.find(0)
        {
            slots.give(Given::Place(place));
        }
    }

    /// Closes a connection that nobody uses, so that its slot is free; false
    /// where there is none.
    pub fn close_one(&self) -> bool {
        let mut connections = self.connections.borrow_mut();
        let is_idle = |c: &Rc<Shared>| c.streams.get() == 0 && c.has_slot();
        let at = connections.iter().position(is_idle);
        at.map(|at| connections.remove(at)).is_some()
    }

    fn find(&self, number: u64) -> Option<Place> {
        let connections = self.connections.borrow();
        let mut newer = connections.iter().filter(|c| c.number > number);
        newer.find_map(Shared::place)
    }

    /// Begins to speak HTTP/2 over a connection.
    ///
    /// # Errors
    /// When it does not even take what comes first.
    pub async fn open(&self, stream: Connection, slot: Option<Slot>) -> Result<Place, h2::Error> {
        let control = Rc::new(Control {
            slot: RefCell::new(slot),
            ..Control::default()
        });
        let trouble = stream.trouble();
        let io = Heard::new(stream, control.heard.clone());
        let (sender, mut connection) = builder().handshake::<_, Bytes>(io).await?;
        let number = self.opened.get() + 1;
        self.opened.set(number);
        let shared = Rc::new(Shared {
            number,
            trouble,
            sender,
            streams: Cell::new(0),
            answers: Cell::new(0),
            born: Instant::now(),
            retired: Cell::new(false),
            idle_since: Cell::new(None),
            pulse: RefCell::new(Pulse {
                pings: connection.ping_pong(),
                ..Pulse::default()
            }),
            control: control.clone(),
            slots: self.slots.clone(),
        });
        spawn_local(attend(connection, control));
        self.speaks.set(Speaks::Http2);
        let place = Shared::take(&shared);
        self.connections.borrow_mut().push(shared);
        Ok(place)
    }

    /// Closes what is idle, old or silent; true while any is left.
    pub fn sweep(&self, now: Instant, limits: &Limits) -> bool {
        if self.http1_until.get().is_some_and(|until| now >= until) {
            self.http1_until.set(None);
            self.speaks.set(Speaks::Unknown);
        }
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| connection.sweep(now, limits));
        drop(connections);
        self.serve();
        !self.connections.borrow().is_empty()
    }

    /// The attempt to connect that is under way.
    pub fn attempt(&self) -> Option<Rc<Attempt>> {
        self.attempt.borrow().clone()
    }

    /// Says that one is under way while what is given lives.
    pub fn begin(&self) -> Begun<'_> {
        Begun::of(&self.attempt)
    }
}

/// A connection.
pub struct Shared {
    number: u64,
    /// Why TLS ended it, if it did.
    trouble: Option<Trouble>,
    /// Never used itself: a copy remembers no stream that waits to be opened.
    sender: SendRequest<Bytes>,
    streams: Cell<usize>,
    /// How many answers have come over it.
    answers: Cell<u64>,
    born: Instant,
    /// Takes no new request.
    retired: Cell<bool>,
    idle_since: Cell<Option<Instant>>,
    pulse: RefCell<Pulse>,
    control: Rc<Control>,
    slots: Option<Rc<Slots>>,
}

/// What a connection's task and its owner tell each other.
#[derive(Default)]
struct Control {
    heard: Rc<Cell<bool>>,
    killed: Cell<bool>,
    ended: Cell<bool>,
    task: RefCell<Option<Waker>>,
    /// Until it ends, or takes no new request: its last answers may take long,
    /// and are to hold up nobody else.
    slot: RefCell<Option<Slot>>,
}

impl Control {
    fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }
}

/// Signs of life, as sweeps see them.
#[derive(Default)]
struct Pulse {
    pings: Option<PingPong>,
    silent_since: Option<Instant>,
    /// A PING has been sent into this silence.
    asked: bool,
    /// When the last was sent, and how many answers had come by then.
    last: Option<(Instant, u64)>,
}

impl Shared {
    fn place(self: &Rc<Self>) -> Option<Place> {
        if self.retired.get() || self.control.ended.get() {
            return None;
        }
        // Asked anew each time: the upstream may change it at any time.
        let most = self.sender.current_max_send_streams().min(MOST_STREAMS);
        let is_full = self.streams.get() >= most;
        if is_full && self.slots.is_none() {
            return None;
        }
        if self.has_gone_away() {
            self.retire();
            return None;
        }
        (!is_full).then(|| self.take())
    }

    /// It takes no new request, and counts no more where connections are counted.
    fn retire(&self) {
        self.retired.set(true);
        let slot = self.control.slot.take();
        drop(slot);
    }

    fn has_slot(&self) -> bool {
        self.control.slot.borrow().is_some()
    }

    fn take(self: &Rc<Self>) -> Place {
        self.streams.set(self.streams.get() + 1);
        Place(self.clone())
    }

    /// The upstream has sent GOAWAY, or the streams' numbers are used up.
    fn has_gone_away(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.sender.clone().poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    fn sweep(&self, now: Instant, limits: &Limits) -> bool {
        if now.saturating_duration_since(self.born) >= limits.age {
            self.retire();
        }
        if self.has_slot() && self.has_gone_away() {
            self.retire();
        }
        if self.streams.get() > 0 {
            self.idle_since.set(None);
            self.listen(now, limits.ping_after);
            return !self.control.ended.get();
        }
        self.pulse.borrow_mut().silent_since = None;
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        let in_time = now.saturating_duration_since(since) < limits.idle_time;
        in_time && !self.retired.get() && !self.control.ended.get()
    }

    /// Asks a silent upstream that owes something whether it is still there.
    fn listen(&self, now: Instant, after: Duration) {
        if after.is_zero() {
            return;
        }
        let mut pulse = self.pulse.borrow_mut();
        if self.control.heard.take() {
            pulse.silent_since = None;
            pulse.asked = false;
        }
        let since = *pulse.silent_since.get_or_insert(now);
        let silent = now.saturating_duration_since(since);
        if pulse.asked && silent >= after * 2 {
            self.control.killed.set(true);
            self.control.wake();
        } else if !pulse.asked && silent >= after {
            pulse.ask(now, self.answers.get());
        }
    }
}

impl Pulse {
    fn ask(&mut self, now: Instant, answers: u64) {
        let too_soon = self.last.is_some_and(|(at, answered)| {
            answered == answers && now.saturating_duration_since(at) < PING_PAUSE
        });
        let Some(pings) = self.pings.as_mut().filter(|_| !too_soon) else {
            return;
        };
        // Whether the last one was answered, what was read has told.
        let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
        if pings.send_ping(Ping::opaque()).is_ok() {
            self.asked = true;
            self.last = Some((now, answers));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Its task finds that nobody is left, says so to the upstream and ends.
        self.control.wake();
    }
}

/// One stream's place on a connection.
pub struct Place(Rc<Shared>);

impl Place {
    /// What a request is sent with.
    #[must_use]
    pub fn sender(&self) -> SendRequest<Bytes> {
        self.0.sender.clone()
    }

    /// How many connections had been opened by then, this one included.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Why TLS ended the connection, if it did.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.0.trouble.clone()
    }

    #[must_use]
    pub fn answers(&self) -> u64 {
        self.0.answers.get()
    }

    pub fn answered(&self) {
        self.0.answers.set(self.0.answers.get() + 1);
    }

    /// The connection takes no further request.
    pub fn retire(&self) {
        self.0.retire();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.streams.set(shared.streams.get() - 1);
        if let Some(slots) = shared.slots.as_ref().filter(|slots| slots.are_awaited())
            && let Some(place) = shared.place()
        {
            slots.give(Given::Place(place));
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(FIRST_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Serves a connection to its end, or until it is given up.
async fn attend(connection: h2::client::Connection<Heard, Bytes>, control: Rc<Control>) {
    {
        let mut connection = pin!(connection);
        poll_fn(|cx| {
            if control.killed.get() {
                return Poll::Ready(());
            }
            // A task keeps its waker for life.
            let waker = || Some(cx.waker().clone());
            let mut task = control.task.borrow_mut();
            *task = task.take().or_else(waker);
            drop(task);
            connection.as_mut().poll(cx).map(drop)
        })
        .await;
    }
    control.ended.set(true);
    let slot = control.slot.take();
    drop(slot);
}

#[cfg(test)]
mod tests {
    use super::{HTTP1_TIME, Limits, Multiplex, Versions};
    use crate::proxy::refusal::{Code, Fault, Refusal};
    use std::future::Future;
    use std::task::{Context, Poll, Waker};
    use std::time::{Duration, Instant};

    #[test]
    fn all_who_wait_learn_how_an_attempt_ended() {
        let multiplex = Multiplex::new(Versions::Either, None);
        let mut cx = Context::from_waker(Waker::noop());
        let (gone, late) = (Code::UpstreamUnreachable, Code::UpstreamTimeout);
        for (failure, is_told) in [(Some(gone), true), (Some(late), false), (None, false)] {
            let begun = multiplex.begin();
            let attempt = multiplex.attempt().unwrap();
            let mut waits = [Box::pin(attempt.wait()), Box::pin(attempt.wait())];
            for wait in &mut waits {
                assert!(wait.as_mut().poll(&mut cx).is_pending());
            }
            if let Some(code) = failure {
                begun.failed(&Refusal::new(code, "gone").with(Fault::Unsent));
            }
            // Also when whoever connects is gone in the middle of it.
            drop(begun);
            for wait in &mut waits {
                let Poll::Ready(ended) = wait.as_mut().poll(&mut cx) else {
                    panic!("it has ended");
                };
                // Whoever has tried notes it of the address; others may have time left.
                let fault = ended.err().map(|refusal| refusal.fault);
                assert_eq!(fault, is_told.then_some(Fault::Spared));
            }
            assert!(multiplex.attempt().is_none());
        }
    }

    #[test]
    fn an_origin_that_wants_another_version_gets_it_for_a_while() {
        let multiplex = Multiplex::new(Versions::Either, None);
        assert!(!multiplex.speaks_http1() && multiplex.may_offer());
        let now = Instant::now();
        multiplex.require_http1(now);
        let limits = Limits {
            open: None,
            idle: 1,
            idle_time: Duration::MAX,
            age: Duration::MAX,
            ping_after: Duration::ZERO,
        };
        multiplex.sweep(now, &limits);
        assert!(multiplex.speaks_http1() && !multiplex.may_offer());
        assert!(multiplex.place(0).is_none());
        multiplex.sweep(now + HTTP1_TIME, &limits);
        assert!(!multiplex.speaks_http1() && multiplex.may_offer());
    }
}
