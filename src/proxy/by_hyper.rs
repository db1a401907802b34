//! Connections to upstreams that hyper speaks HTTP/1.1 over, by a task each: those
//! of routes with `keep_header_case`, for it is hyper that has heard the caller's
//! spelling.

use super::body::{Outgoing, SendError};
use super::http1::line::Failure;
use super::received::Received;
use super::route::WorkerRoute;
use super::slots::Slot;
use super::spelling;
use super::wakes::{Wakes, Woken};
use crate::net::dial::Connection;
use crate::net::interim::Interim;
use crate::net::share::LARGE_READ;
use crate::net::stream::Trouble;
use crate::net::worker::spawn_local;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What one connection may hold unread and unsent; reading keeps below it when
/// many connections have much to read.
const BUFFER: usize = LARGE_READ;

/// Our end of an open connection.
pub struct ByHyper {
    sender: SendRequest<Outgoing>,
    wakes: Arc<Wakes>,
    trouble: Option<Trouble>,
    interim: Interim,
}

impl ByHyper {
    /// Of a connection on which nothing has been said.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn open(
        io: Connection,
        route: &WorkerRoute,
        slot: Option<Slot>,
    ) -> Result<Self, Failure> {
        let (trouble, interim) = (io.trouble(), io.interim());
        let mut http = http1::Builder::new();
        http.max_buf_size(BUFFER);
        spelling::to_upstreams(&mut http, route);
        let opened = http.handshake::<_, Outgoing>(io).await;
        let (sender, connection) = opened.map_err(|error| failure(&error))?;
        let connection = Woken::new(connection);
        let wakes = connection.wakes();
        // Its end needs no report: whoever waits for an answer gets the error.
        spawn_local(async move {
            drop(connection.await);
            drop(slot);
        });
        Ok(Self {
            sender,
            wakes,
            trouble,
            interim,
        })
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sender.is_ready()
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until it is free; false when it ends before.
    pub async fn is_free(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.clone()
    }

    /// Statuses that came before the answer.
    #[must_use]
    pub fn interim(&self) -> Vec<u16> {
        self.interim.answered()
    }

    /// # Errors
    /// When there will be no answer.
    pub async fn answer(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Received>, Failure> {
        self.interim.await_head();
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(Received::ByHyper)),
            Err(mut error) => Err(match error.take_message() {
                Some(_) => Failure::Unsent,
                None => failure(error.error()),
            }),
        }
    }

    /// Reads on; the connection's task is left alone once it has given all.
    pub fn poll_frame(
        &self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let work = || (Pin::new(&mut *body).poll_frame(cx), body.is_end_stream());
        self.wakes.held_during(work, |(_, ended)| *ended).0
    }
}

/// What has become of a connection.
pub fn failure(error: &hyper::Error) -> Failure {
    let source = error.source();
    match source.and_then(|source| source.downcast_ref()) {
        Some(SendError::Caller(_)) => return Failure::Caller,
        Some(SendError::TooLarge(most)) => return Failure::TooLarge(*most),
        Some(SendError::Cut | SendError::Length) | None => {}
    }
    let is_io = source.is_some_and(<dyn Error>::is::<std::io::Error>);
    match error.is_incomplete_message() || error.is_canceled() || is_io {
        true => Failure::Lost,
        false => Failure::Malformed,
    }
}
