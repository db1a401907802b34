//! The body of a caller's request, as it comes over its connection.

use super::wire::Wire;
use crate::proxy::http1::chunks::ChunkError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::{fmt, io};

/// A body that is to come; its connection goes on once it has, or is dropped.
/// `None` from then on: what follows is another request's, whoever still holds this.
pub struct CallerBody(Option<Rc<Wire>>);

/// Why a body has not come to its end.
#[derive(Debug)]
pub enum Broken {
    /// The caller has ended before it.
    Cut,
    Chunks(ChunkError),
    Io(io::Error),
}

impl CallerBody {
    /// Of the request whose head has just come.
    #[must_use]
    pub fn new(wire: Rc<Wire>) -> Self {
        Self(Some(wire))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("it was cut off"),
            Self::Chunks(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Broken {}

impl Drop for CallerBody {
    fn drop(&mut self) {
        if let Some(wire) = &self.0 {
            wire.let_go();
        }
    }
}

impl Body for CallerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(wire) = &self.0 else {
            return Poll::Ready(None);
        };
        let frame = wire.poll_body(cx);
        if wire.is_body_ended() {
            self.0 = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|wire| wire.is_body_ended())
    }

    fn size_hint(&self) -> SizeHint {
        let wire = self.0.as_ref();
        wire.map_or(SizeHint::with_exact(0), |wire| wire.body_hint())
    }
}

#[cfg(test)]
mod tests {
    use super::CallerBody;
    use crate::net::listen::{Local, Peer};
    use crate::net::pair::{called, turn, with_sockets};
    use crate::proxy::Listening;
    use crate::proxy::callers::Listener;
    use crate::proxy::connection::Connection;
    use crate::proxy::http1::caller::head::{Framing, Most};
    use crate::proxy::http1::caller::wire::Wire;
    use bytes::Bytes;
    use http_body::Body;
    use std::future::poll_fn;
    use std::io::Write;
    use std::net::{IpAddr, Ipv4Addr};
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::Poll;

    fn connection() -> Rc<Connection> {
        let listener = Rc::new(Listener::new(&Listening {
            id: 1,
            address: Local::Tcp((Ipv4Addr::LOCALHOST, 7480).into()),
            hosts: Vec::new(),
            tls: None,
            callers: None,
            connect: None,
            routes: None,
            socket: None,
        }));
        let peer = Peer::Tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Rc::new(Connection::new(peer, listener))
    }

    async fn piece(body: &mut CallerBody) -> Option<Bytes> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    }

    /// Whoever has read one body to its end may hold it for long; the next one is
    /// none of its business.
    #[test]
    fn a_body_that_has_come_takes_nothing_of_the_next() {
        with_sockets(async {
            let (stream, mut theirs) = called().await;
            let wire = Rc::new(Wire::new(connection(), stream));
            let most = Most {
                bytes: 1024,
                fields: 10,
            };
            theirs.write_all(b"abcdef").unwrap();
            turn().await;
            wire.begin_body(Framing::Length(3), most, false);
            let mut first = CallerBody::new(wire.clone());
            assert_eq!(piece(&mut first).await.unwrap(), "abc");
            assert!(first.is_end_stream());
            wire.begin_body(Framing::Length(3), most, false);
            let mut second = CallerBody::new(wire.clone());
            assert!(piece(&mut first).await.is_none());
            drop(first);
            let settled = poll_fn(|cx| Poll::Ready(wire.poll_settled(cx))).await;
            assert!(settled.is_pending(), "somebody reads the second");
            assert_eq!(piece(&mut second).await.unwrap(), "def");
            assert!(piece(&mut second).await.is_none());
        });
    }
}
