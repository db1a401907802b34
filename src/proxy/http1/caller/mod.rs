//! HTTP/1.1 with callers: requests are read off a connection one behind the other,
//! go their way, and are answered before the next one is looked at.

mod answer;
mod body;
mod date;
mod head;
mod input;
mod late;
mod out;
mod wire;
mod writing;

pub use body::{Broken, CallerBody};
pub use head::Fault;
pub use wire::Wire;

use crate::proxy::body::Answer;
use crate::proxy::called::Called;
use crate::proxy::connection::{Close, Connection};
use crate::proxy::forward::forward;
use crate::proxy::http1::scratch;
use crate::proxy::preface;
use crate::proxy::worker::Worker;
use answer::Size;
use head::{Asked, Framing, Head, Most};
use http::{Response, StatusCode};
use input::NoHead;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use writing::Writing;

/// Why no more requests are read off a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has been silent for a while, and is to hold no memory.
    Rests,
    /// It speaks HTTP/2.
    Http2,
    /// The last answer is out, and something else goes on over it.
    Onward,
    Over,
}

/// Serves requests until the connection ends, rests, or speaks something else.
pub async fn requests(worker: &Rc<Worker>, connection: &Rc<Connection>, wire: &Rc<Wire>) -> End {
    let most = Most {
        bytes: worker.limits.header_bytes,
        fields: worker.limits.header_count,
    };
    let mut head = Head::new();
    loop {
        if let Err(end) = next_head(worker, wire, most, &mut head).await {
            return end;
        }
        wire.begin_body(head.framing, most, head.asked.expects);
        let body = match head.framing {
            Framing::Nothing => Called::Nothing,
            Framing::Length(_) | Framing::Chunks => Called::Http1(CallerBody::new(wire.clone())),
        };
        let request = connection.in_request(worker.permits.take());
        let answered = {
            let answering = pin!(forward(worker, request, &mut head.parts, body));
            answered(wire, answering).await
        };
        head.forget();
        let Some(response) = answered else {
            return End::Over;
        };
        if let Some(end) = send(wire, response, &head.asked).await {
            return end;
        }
    }
}

/// The answer to what is not even a request.
#[must_use]
pub fn bare_answer(status: StatusCode) -> Vec<u8> {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status;
    let mut out = Vec::new();
    answer::put(&mut out, &head, &Asked::default(), Size::Nothing, false);
    out
}

/// Reads the next head; or tells why there is none, with everything said about it.
async fn next_head(
    worker: &Rc<Worker>,
    wire: &Rc<Wire>,
    most: Most,
    head: &mut Head,
) -> Result<(), End> {
    let connection = &wire.connection;
    let came = poll_fn(|cx| {
        connection.wake_with(cx);
        match connection.close.get() {
            Close::Now => return Poll::Ready(None),
            // A first request that has begun is waited for.
            Close::Gently if !connection.is_unheard() || wire.is_at_start() => {
                return Poll::Ready(Some(Err(NoHead::End)));
            }
            Close::No | Close::Softly | Close::Gently => {}
        }
        // The answer before comes first, where its caller is slow to take it.
        if !wire.is_waiting_for_turn() && ready!(wire.poll_late(cx)).is_err() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(came) = wire.poll_head(cx, (most, worker.keeps_case()), head) {
            return Poll::Ready(Some(came));
        }
        // Only after everything was done that could be.
        let asked = connection.rest.take();
        match asked && connection.close.get() == Close::No && connection.is_at_rest() {
            true => Poll::Ready(Some(Err(NoHead::Rests))),
            false => Poll::Pending,
        }
    });
    match came.await {
        None => Err(End::Over),
        Some(Ok(())) => Ok(()),
        Some(Err(NoHead::Rests)) => Err(End::Rests),
        Some(Err(NoHead::End)) => {
            shut_down(wire).await;
            Err(End::Over)
        }
        Some(Err(NoHead::Fault(fault))) => {
            let is_http2 = Box::pin(preface::look(worker, wire, fault)).await;
            Err(if is_http2 { End::Http2 } else { End::Over })
        }
    }
}

/// The answer; `None` where its caller is gone, or the connection is to be closed.
async fn answered(
    wire: &Wire,
    mut answering: Pin<&mut impl Future<Output = Response<Answer>>>,
) -> Option<Response<Answer>> {
    let connection = &wire.connection;
    poll_fn(|cx| {
        connection.wake_with(cx);
        if connection.close.get() == Close::Now {
            return Poll::Ready(None);
        }
        if let Poll::Ready(response) = wire.attend(|| answering.as_mut().poll(cx)) {
            return Poll::Ready(Some(response));
        }
        wire.poll_interim(cx);
        match wire.is_gone(cx) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    })
    .await
}

/// Writes an answer, and waits until its request has come in; `None` where another
/// one may follow.
async fn send(wire: &Rc<Wire>, response: Response<Answer>, asked: &Asked) -> Option<End> {
    let connection = &wire.connection;
    let settled = poll_fn(|cx| Poll::Ready(wire.poll_settled(cx))).await;
    let may_keep = asked.keep_alive && !connection.is_closing() && settled != Poll::Ready(false);
    let (head, body) = response.into_parts();
    let (mut writing, keeps) = Writing::begin(wire, &head, body, asked, may_keep);
    scratch::give_back_fields(head.headers);
    if keeps && settled == Poll::Ready(true) && !connection.has_tunnel() {
        let mut is_late = |cx: &mut Context<'_>| wire.attend(|| writing.is_late(cx, wire));
        if poll_fn(|cx| Poll::Ready(is_late(cx))).await {
            return None;
        }
    }
    let whole = poll_fn(|cx| {
        connection.wake_with(cx);
        match connection.close.get() {
            Close::Now => Poll::Ready(false),
            _ => wire.attend(|| writing.poll(cx, wire)),
        }
    });
    let whole = whole.await;
    drop(writing);
    if !whole {
        // Whatever has come of it is to be seen to have broken off.
        return Some(End::Over);
    }
    if connection.has_tunnel() {
        return Some(End::Onward);
    }
    let goes_on = settle(wire).await && keeps;
    if !goes_on {
        shut_down(wire).await;
    }
    (!goes_on).then_some(End::Over)
}

/// Waits for the end of a body that somebody still reads; false where no request can
/// follow.
async fn settle(wire: &Wire) -> bool {
    let connection = &wire.connection;
    poll_fn(|cx| {
        connection.wake_with(cx);
        match connection.close.get() {
            Close::Now => Poll::Ready(false),
            _ => wire.poll_settled(cx),
        }
    })
    .await
}

async fn shut_down(wire: &Wire) {
    let connection = &wire.connection;
    poll_fn(|cx| {
        connection.wake_with(cx);
        match connection.close.get() {
            Close::Now => Poll::Ready(()),
            // Where it fails, the caller is gone.
            _ => wire.poll_shutdown(cx).map(drop),
        }
    })
    .await;
}
