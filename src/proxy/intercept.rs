//! CONNECT to a host whose requests get their tokens here: the connection goes
//! on as one of that host's, by TLS, with a certificate of the local authority.

use super::absolute;
use super::accept::serve;
use super::connection::Connection;
use super::observe::Seen;
use super::onward::Onward;
use super::refusal::{Code, Refusal};
use super::secure::{self, Opening};
use super::tunnel::Told;
use super::within::Origin;
use super::worker::Worker;
use crate::config::checked::connect::Interception;
use crate::net::begun::Begun;
use crate::net::stream::ClientStream;
use crate::net::tls::server::ServerTls;
use crate::telemetry::access::Entry;
use bytes::Bytes;
use rustls::pki_types::ServerName;
use std::rc::Rc;

/// A connection that is about to go on as one of this origin's.
pub struct Intercepted {
    origin: Origin,
    tls: ServerTls,
    pub told: Told,
}

/// Has the connection go on so once the answer is written. No certificate is made
/// for a host of which every request would be refused.
pub fn open(
    worker: &Worker,
    connection: &Connection,
    interception: &Interception,
    (host, port): (&str, u16),
    seen: &mut Seen,
) -> Result<(), Refusal> {
    let name = host.trim_matches(['[', ']']);
    if ServerName::try_from(name).is_err() {
        return Err(Refusal::bad_request(
            "the target of CONNECT is neither a DNS name nor an address",
        ));
    }
    if !worker.routes_at(&connection.listener).names_host(host)
        && !connection.listener.is_own_name(host)
    {
        return Err(absolute::unnamed(host));
    }
    let leaves = &connection.listener.leaves;
    let tls = leaves.for_host(name, &interception.authority);
    let tls = tls.map_err(|why| {
        let detail = format!(
            "{host} can't be intercepted: the local authority: {why}; `sidekey ca init` makes \
             another"
        );
        Refusal::new(Code::UpstreamTlsError, detail)
    })?;
    seen.tunnel = Some(Box::new(Onward::Intercepted(Intercepted {
        origin: Origin {
            host: host.into(),
            port,
        },
        tls,
        told: Told::default(),
    })));
    Ok(())
}

impl Intercepted {
    /// As [`Tunnel::begin`](super::tunnel::Tunnel::begin).
    pub async fn begin(
        self,
        worker: &Rc<Worker>,
        connection: &Rc<Connection>,
        parts: Option<(ClientStream, Bytes)>,
    ) {
        let Self { origin, tls, told } = self;
        let target = format!("{}:{}", origin.host, origin.port);
        connection.begin_within(origin);
        let shaken = match parts {
            None => None,
            Some((stream, read)) => {
                let stream = Begun { read, stream };
                secure::shake_hands(worker, connection, stream, &tls, PLAIN).await
            }
        };
        worker.log_access(&Entry {
            client: connection.peer.as_str(),
            method: "CONNECT",
            path: &target,
            caller: told.caller.as_deref(),
            labels: None,
            status: 200,
            error: shaken.is_none().then_some(secure::REASON),
            duration: told.started.elapsed(),
            upstream: None,
            replayed: false,
            trace: told.trace,
            tunnelled: None,
        });
        if let Some(stream) = shaken {
            let opening = Opening::Within(Box::new(stream));
            // What follows is a whole connection's life, once more.
            Box::pin(serve(worker.clone(), connection.clone(), opening)).await;
        }
    }
}

/// To who sends something else than TLS.
const PLAIN: &str = "this host is intercepted, which is for HTTPS: what follows CONNECT must be \
                     TLS; call http:// without CONNECT";
