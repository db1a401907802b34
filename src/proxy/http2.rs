//! HTTP/2 from callers (RFC 9113): one connection, many requests at once, each
//! on the same way as one of HTTP/1.1.

use super::accept::Watched;
use super::body::Answer;
use super::called::Called;
use super::connection::{Close, Connection};
use super::forward::forward;
use super::http1::scratch;
use super::signs::Frames;
use super::worker::Worker;
use crate::config::checked::Limits;
use crate::net::pass_on::ends_by;
use crate::net::worker::spawn_local;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Executor, Read, ReadBuf, ReadBufCursor, Write};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// What a caller may send of one body before it is taken on.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The largest window there is (RFC 9113, 6.9.1).
const MOST_WINDOW: u32 = i32::MAX as u32;
/// What is taken of an answer before the caller has room for it.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a caller may open and reset before they are looked at.
const PENDING_RESETS: usize = 20;
/// Streams reset for their faults, in a connection's whole life.
const FAULTY_STREAMS: usize = 1024;

/// Serves a connection that speaks HTTP/2, preface and all, to its end.
pub async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, io: Watched) {
    let streams = Streams(Rc::new(Shared {
        worker: worker.clone(),
        connection: connection.clone(),
        next: RefCell::default(),
    }));
    let answering = streams.clone();
    let service = service_fn(move |request| answering.answer(request));
    let io = Followed {
        frames: Frames::new(worker.limits.http2_streams),
        io,
    };
    let http = builder(&worker.limits, streams).serve_connection(io, service);
    let mut http = pin!(http);
    poll_fn(|cx| {
        connection.wake_with(cx);
        match connection.close.get() {
            Close::No | Close::Softly => {}
            Close::Now => return Poll::Ready(()),
            // GOAWAY, said once however often it is asked for.
            Close::Gently => http.as_mut().graceful_shutdown(),
        }
        // Its error is the caller's doing, who has been told.
        http.as_mut().poll(cx).map(drop)
    })
    .await;
}

fn builder(limits: &Limits, streams: Streams) -> http2::Builder<Streams> {
    let most = u32::try_from(limits.http2_streams).unwrap_or(u32::MAX);
    let mut http = http2::Builder::new(streams);
    http.max_concurrent_streams(most)
        .initial_stream_window_size(STREAM_WINDOW)
        // Bodies that nobody takes, on all streams but one, leave room for that one.
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(most).min(MOST_WINDOW))
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(FAULTY_STREAMS);
    http
}

/// The streams of one connection: what hyper asks for answers, and what runs
/// the tasks that it makes.
#[derive(Clone)]
struct Streams(Rc<Shared>);

struct Shared {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    /// Of the request whose task hyper is about to start.
    next: RefCell<Option<Rc<Patience>>>,
}

impl Streams {
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answer>, Infallible>> + use<> {
        let Shared {
            worker,
            connection,
            next,
        } = &*self.0;
        if let Some(signs) = connection.http2() {
            signs.asked();
        }
        let patience = Rc::new(Patience::new(worker.limits.idle_timeout));
        next.replace(Some(patience.clone()));
        let is_head = request.method() == Method::HEAD;
        let in_request = connection.in_request(worker.permits.take());
        let (mut head, body) = request.into_parts();
        let worker = worker.clone();
        async move {
            let body = Called::Http2(body);
            let mut response = forward(&worker, in_request, &mut head, body).await;
            scratch::give_back_fields(head.headers);
            // It closes an HTTP/1.1 connection, and means nothing here.
            response.headers_mut().remove(CONNECTION);
            if is_head && let Some(length) = response.body_mut().withhold() {
                let length = HeaderValue::from(length);
                response.headers_mut().insert(CONTENT_LENGTH, length);
            }
            response.body_mut().on_stream(patience);
            Ok(response)
        }
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    /// Runs a stream until its answer is out. A task that is dropped before
    /// resets its stream with `CANCEL`.
    fn execute(&self, stream: F) {
        let Shared {
            worker,
            connection,
            next,
        } = &*self.0;
        let patience = next.take().unwrap_or_default();
        let (worker, connection) = (worker.clone(), connection.clone());
        spawn_local(async move {
            let mut cut = pin!(connection.is_cut());
            let mut stream = pin!(stream);
            let until_cut = poll_fn(|cx| match cut.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => stream.as_mut().poll(cx),
            });
            let ended = worker.deadlines.until(&patience.deadline, until_cut).await;
            if ended.is_err() {
                tracing::debug!("{} takes nothing of an answer", connection.peer.as_str());
            }
        });
    }
}

/// How long a stream's caller may take nothing of its answer: a stream may be
/// stalled while the connection is not.
#[derive(Debug)]
pub struct Patience {
    deadline: Cell<Instant>,
    limit: Duration,
}

/// Further than any deadline.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

impl Default for Patience {
    fn default() -> Self {
        Self::new(FAR)
    }
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self {
            deadline: Cell::new(Instant::now() + FAR),
            limit,
        }
    }

    /// From now on a piece of the answer waits for the caller, or the caller for one.
    pub fn has_a_piece(&self, has: bool) {
        let limit = if has { self.limit } else { FAR };
        self.deadline.set(Instant::now() + limit);
    }
}

/// A connection whose frames are followed as they come.
struct Followed {
    io: Watched,
    frames: Frames,
}

/// What is read at once: a frame of the usual largest size.
const READ: usize = 16 * 1024;

impl Followed {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(bytes)), Some(signs)) = (&written, self.io.connection.http2()) {
            signs.wrote(*bytes);
        }
        written
    }
}

impl Read for Followed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut space = [MaybeUninit::uninit(); READ];
        let room = buf.remaining().min(READ);
        let mut read = ReadBuf::uninit(&mut space[..room]);
        ready!(Pin::new(&mut this.io).poll_read(cx, read.unfilled()))?;
        if let Some(signs) = this.io.connection.http2() {
            let followed = this.frames.follow(read.filled(), signs);
            followed.map_err(io::Error::other)?;
        }
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Followed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    ends_by!(io);
}
