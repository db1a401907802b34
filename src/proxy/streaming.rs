//! A request's body on its way into an HTTP/2 stream.

use super::multiplex::Place;
use super::replay::Sending;
use super::route::WorkerRoute;
use super::trailers::is_foreign;
use crate::config::checked::Route;
use crate::net::worker::spawn_local;
use crate::token::{Attach, TokenPlace};
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderName};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

/// A stream, as its answer's side and its upload's side share it: the place on
/// the connection is free once both are gone.
pub struct Stream {
    place: Place,
    /// Nobody waits for the answer any more.
    over: Cell<bool>,
    upload: RefCell<Option<Waker>>,
}

/// The answer's side of a stream: with it ends the upload, too, which resets
/// the stream and leaves the others of the connection alone.
pub struct Ending(Rc<Stream>);

impl Ending {
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self(Rc::new(Stream {
            place,
            over: Cell::new(false),
            upload: RefCell::default(),
        }))
    }

    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// For the upload's side.
    #[must_use]
    pub fn stream(&self) -> Rc<Stream> {
        self.0.clone()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.over.set(true);
        if let Some(upload) = self.0.upload.take() {
            upload.wake();
        }
    }
}

/// The upload's side.
pub struct Streaming {
    body: Sending,
    out: SendStream<Bytes>,
    /// What waits for room in the windows.
    chunk: Bytes,
    /// Names that no trailer may have.
    ours: Vec<HeaderName>,
    route: Arc<Route>,
    stream: Rc<Stream>,
}

impl Streaming {
    #[must_use]
    pub fn new(
        body: Sending,
        out: SendStream<Bytes>,
        attach: &Attach,
        route: &WorkerRoute,
        stream: Rc<Stream>,
    ) -> Self {
        let token = match &attach.token {
            TokenPlace::Header { name, .. } => Some(name),
            TokenPlace::Query(_) => None,
        };
        let ours = attach.headers.iter().map(|(name, _)| name).chain(token);
        Self {
            body,
            out,
            chunk: Bytes::new(),
            ours: ours.cloned().collect(),
            route: route.route.clone(),
            stream,
        }
    }

    /// Sends what is at hand now, and the rest in a task of its own.
    pub async fn start(mut self) {
        if poll_fn(|cx| Poll::Ready(Pin::new(&mut self).poll(cx)))
            .await
            .is_pending()
        {
            spawn_local(self);
        }
    }

    fn cancel(&mut self) -> Poll<()> {
        self.out.send_reset(Reason::CANCEL);
        Poll::Ready(())
    }

    /// Sends the chunk as windows allow; false when the stream has ended, with
    /// this chunk or before, which the answer's side learns of.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while !self.chunk.is_empty() {
            self.out.reserve_capacity(self.chunk.len());
            let room = match self.out.capacity() {
                0 => match ready!(self.out.poll_capacity(cx)) {
                    Some(Ok(room)) => room,
                    _ => return Poll::Ready(false),
                },
                room => room,
            };
            let part = self.chunk.split_to(room.min(self.chunk.len()));
            let last = self.chunk.is_empty() && self.body.is_end_stream();
            if self.out.send_data(part, last).is_err() || last {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    }

    fn end(&mut self, mut trailers: HeaderMap) {
        let not_ours: Vec<HeaderName> = trailers
            .keys()
            .filter(|name| self.ours.contains(name) || !is_foreign(name, Some(&self.route)))
            .cloned()
            .collect();
        for name in not_ours {
            trailers.remove(name);
        }
        let ended = match trailers.is_empty() {
            true => self.out.send_data(Bytes::new(), true),
            false => self.out.send_trailers(trailers),
        };
        // Most often the stream has ended before, and this does nothing.
        if ended.is_err() {
            self.out.send_reset(Reason::CANCEL);
        }
    }
}

impl Future for Streaming {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.stream.over.get() {
            return this.cancel();
        }
        // The upstream may want no more of it, also in the middle of a chunk.
        if this.out.poll_reset(cx).is_ready() {
            return Poll::Ready(());
        }
        this.stream.upload.replace(Some(cx.waker().clone()));
        loop {
            if !ready!(this.poll_chunk(cx)) {
                return Poll::Ready(());
            }
            let frame = match ready!(this.body.poll_frame(cx)) {
                None => {
                    this.end(HeaderMap::new());
                    return Poll::Ready(());
                }
                Some(Err(_)) => return this.cancel(),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => {
                    this.chunk = data;
                    if this.chunk.is_empty() && this.body.is_end_stream() {
                        this.end(HeaderMap::new());
                        return Poll::Ready(());
                    }
                }
                Err(frame) => {
                    this.end(frame.into_trailers().unwrap_or_default());
                    return Poll::Ready(());
                }
            }
        }
    }
}
