//! What goes on over a caller's connection where HTTP has ended.

use super::connect::Through;
use super::connection::Connection;
use super::intercept::Intercepted;
use super::tunnel::{Told, Tunnel};
use super::worker::Worker;
use crate::net::stream::ClientStream;
use bytes::Bytes;
use std::rc::Rc;

/// A tunnel of either kind, or an intercepted one, agreed on.
pub enum Onward {
    WebSocket(Tunnel),
    Through(Through),
    Intercepted(Intercepted),
}

impl Onward {
    /// What the access log will say of it.
    pub fn tell(&mut self, told: Told) {
        match self {
            Self::WebSocket(tunnel) => tunnel.told = told,
            Self::Through(through) => through.told = told,
            Self::Intercepted(intercepted) => intercepted.told = told,
        }
    }

    /// Goes on where HTTP has ended: with the caller's stream, and what was read
    /// of it already; with nothing where the caller was lost.
    pub async fn begin(
        self,
        worker: &Rc<Worker>,
        connection: &Rc<Connection>,
        parts: Option<(ClientStream, Bytes)>,
    ) {
        match self {
            Self::WebSocket(tunnel) => tunnel.begin(worker, connection, parts).await,
            Self::Through(through) => through.begin(worker, connection, parts).await,
            Self::Intercepted(intercepted) => intercepted.begin(worker, connection, parts).await,
        }
    }
}
