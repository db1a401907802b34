//! The whole way of a request, top to bottom.

use super::absolute;
use super::attach::Outbound;
use super::body::Answer;
use super::called::Called;
use super::callers;
use super::connect;
use super::connection::{Connection, InRequest, Reading};
use super::credential;
use super::edits;
use super::expect;
use super::grpc;
use super::handshake::{self, Handshake};
use super::hop::Noted;
use super::observe::Seen;
use super::oversized;
use super::path::has_dot_segment;
use super::refusal::{Code, Refusal};
use super::replay::Upload;
use super::respond;
use super::route::{Found, WorkerRoute};
use super::several::Choice;
use super::translate;
use super::upstream::{self, Answered};
use super::who;
use super::worker::Worker;
use crate::telemetry::requests::ReplayOutcome;
use crate::token::{Credential, PassOn, RejectedStatus, Verdict};
use http::header::{CONNECTION, HeaderValue};
use http::{Response, StatusCode, Version, request};
use hyper::body::Body;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Serves one request of a connection. Its head is the caller's of this, and stays
/// where it is.
pub async fn forward(
    worker: &Rc<Worker>,
    in_request: InRequest,
    head: &mut request::Parts,
    body: Called,
) -> Response<Answer> {
    let connection = in_request.connection();
    let body = (!body.is_end_stream()).then(|| {
        let in_chunks = body.size_hint().exact().is_none() && head.version != Version::HTTP_2;
        (body, connection.reading(in_chunks))
    });
    let is_grpc = head.version == Version::HTTP_2 && grpc::is_call(&head.headers);
    let mut seen = Seen::start();
    seen.traced(worker, connection, head);
    let outcome = match in_request.is_permitted() {
        true => pipeline(worker, connection, head, body, &mut seen).await,
        false => Err(worker.permits.used_up()),
    };
    let mut response = match outcome {
        Ok(response) => response,
        Err(refusal) if is_grpc => grpc::End::of(&refusal).trailers_only(seen.refused(refusal)),
        Err(refusal) => seen.refused(refusal),
    };
    let is_last = connection.is_let_go() && seen.tunnel.is_none();
    if is_last || connection.is_doubtful() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    seen.answered(worker, connection, head, &response);
    response.body_mut().during(in_request);
    response
}

async fn pipeline(
    worker: &Worker,
    connection: &Rc<Connection>,
    head: &mut request::Parts,
    body: Option<(Called, Reading)>,
    seen: &mut Seen,
) -> Result<Response<Answer>, Refusal> {
    if connection.is_doubtful() {
        return Err(Refusal::bad_request(
            "the request before this one may not have ended where it seemed to",
        ));
    }
    if head.version == Version::HTTP_2 {
        let is_measured = body
            .as_ref()
            .map(|(body, _)| body.size_hint().exact().is_some());
        translate::to_http1(head, is_measured, &worker.limits)?;
    }
    who::let_in(worker, connection, &head.headers, seen)?;
    if let Some(tunnels) = connect::asked(head, connection) {
        return Box::pin(connect::open(worker, connection, &tunnels, head, seen)).await;
    }
    let mut noted = Noted::in_fields(&head.headers);
    let route = &find_route(worker, connection, head, noted)?;
    seen.route(route);
    let origin = callers::check_origin(&head.headers, noted, connection, route)?;
    if let Some(origin) = origin.as_ref().filter(|_| respond::is_preflight(head)) {
        return Ok(preflight(head, origin));
    }

    let lead = &who::admitted(worker, connection, route.clone(), &mut head.headers, seen)?;
    let mut choice = Choice::of(lead, seen.started());
    let mut route = choice.route;
    let upload = body.map(|body| worker.upload(body, route)).transpose()?;
    let mut reached = edits::reached(connection, head, route);
    let upload = upload.as_ref();
    let mut handshake = None;
    if noted.asks_for_more() {
        handshake = handshake::asked(head, &mut noted, upload.is_some())?;
        expect::arrange(head, &mut noted, upload);
    }
    let handshake = handshake.as_deref();
    let mut outbound = Outbound::prepare(head, noted, route)?;
    let mut credential = credential::current(worker, route, seen).await?;
    let mut way = Way {
        route,
        upload,
        handshake,
    };
    let mut answered = sent(worker, way, &mut outbound, &credential, seen).await;
    if choice.is_one_of_several() {
        let sending = (worker, way, &mut outbound, &*credential);
        answered = Box::pin(choice.settled(sending, seen, answered)).await;
        (route, way.route) = (choice.route, choice.route);
        if let Some(reached) = &mut reached {
            reached.answered_by(&route.route);
        }
    }
    let mut answered = answered?;

    if let Some(status) = outbound.rejection(&answered.response) {
        let newer = newer_credential(worker, route, &credential, status, upload, seen);
        if let Some(newer) = Box::pin(newer).await {
            answered.discard(worker, upload);
            credential = newer;
            outbound.patience.begin_anew();
            let replay = sent(worker, way, &mut outbound, &credential, seen);
            let replayed = Box::pin(replay).await;
            choice.replayed(&replayed);
            answered = replayed.inspect_err(|_| seen.replay(ReplayOutcome::UpstreamFailed))?;
            let cured = outbound.rejection(&answered.response).is_none();
            judge_replay(worker, route, &credential, status, cured, seen);
        }
    }

    if let Some(upload) = upload {
        upload.forget();
    }
    if answered.response.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
        oversized::note(route, &mut outbound, &credential.attach);
    }
    let mut response = match handshake {
        Some(handshake) if handshake::is_switch(&answered.response) => {
            handshake.switched(worker, route, &credential, answered, seen)?
        }
        _ => respond::pass_on(worker, route, &credential, answered)?,
    };
    if upload.is_some_and(Upload::is_unwanted) {
        // Whether the body comes all the same, nobody can tell.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    if let Some(edits) = &route.route.edits {
        edits::answer(edits, response.headers_mut(), reached.as_deref());
        response.body_mut().edited(&route.route.edits);
    }
    if let Some(origin) = origin {
        respond::allow_origin(response.headers_mut(), origin);
    }
    Ok(response)
}

fn find_route(
    worker: &Worker,
    connection: &Connection,
    head: &request::Parts,
    noted: Noted,
) -> Result<Rc<WorkerRoute>, Refusal> {
    let routes = worker.routes_at(&connection.listener);
    let host = &callers::check(head, noted, connection, &routes)?;
    let path = head.uri.path();
    let target = head.uri.path_and_query().map_or(0, |t| t.as_str().len());
    if target > worker.limits.uri_bytes {
        return Err(Refusal::new(
            Code::UriTooLong,
            format!(
                "the request target has {target} bytes; {} are allowed",
                worker.limits.uri_bytes
            ),
        ));
    }
    if has_dot_segment(path) {
        return Err(Refusal::bad_request(
            "the path holds a \".\" or \"..\" segment; send the path that you mean",
        ));
    }
    match routes.find(host, path, head) {
        Found::Route(route) if absolute::is_meant(head, host, connection, route) => {
            Ok(route.clone())
        }
        Found::Route(_) => Err(absolute::unnamed(host)),
        Found::MethodNotAllowed => Err(Refusal::new(
            Code::MethodNotAllowed,
            format!("a route matches {path:?}, but not with {}", head.method),
        )),
        Found::Nothing => Err(Refusal::new(
            Code::RouteNotFound,
            format!("no route matches {host:?} and {path:?}"),
        )),
    }
}

/// What every sending of a request has in common.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) route: &'a WorkerRoute,
    pub(super) upload: Option<&'a Upload>,
    pub(super) handshake: Option<&'a Handshake>,
}

/// One sending, its time counted as the upstream's.
pub(super) async fn sent(
    worker: &Worker,
    way: Way<'_>,
    outbound: &mut Outbound<'_>,
    credential: &Credential,
    seen: &mut Seen,
) -> Result<Answered, Refusal> {
    let at = Instant::now();
    let (route, attach) = (way.route, &credential.attach);
    if let Some(upload) = way.upload {
        expect::be_patient(worker, upload);
    }
    seen.sending(worker, (route, outbound), at);
    let answered = match way.handshake {
        None => upstream::send(worker, route, outbound, attach, way.upload, at).await,
        Some(handshake) => Box::pin(handshake.send(worker, route, outbound, attach, at)).await,
    };
    seen.sent(worker, (route, outbound), at, &answered);
    answered
}

/// After a rejection: a credential to replay with, or `None` when the
/// upstream's own answer is to be passed on. The sending ends here, and the
/// answer is held unread, until the refresh has ended.
async fn newer_credential(
    worker: &Worker,
    route: &WorkerRoute,
    used: &Credential,
    status: RejectedStatus,
    upload: Option<&Upload>,
    seen: &mut Seen,
) -> Option<Arc<Credential>> {
    seen.waits();
    if let Some(upload) = upload {
        upload.hold();
    }
    let account = &route.route.account;
    let outcome = match credential::newer_than(route, used.generation) {
        Some(newer) if is_replayable(upload) => return Some(newer),
        Some(_) => ReplayOutcome::NotReplayable,
        // The token is refreshed also for those that can't be replayed.
        None if !is_replayable(upload) => {
            worker
                .asker
                .rejected_unheard(account, used.generation, status);
            ReplayOutcome::NotReplayable
        }
        None => match worker
            .asker
            .rejected(account, used.generation, status)
            .await
        {
            Verdict::Replay => match credential::newer_than(route, used.generation) {
                Some(newer) if is_replayable(upload) => return Some(newer),
                Some(_) => ReplayOutcome::NotReplayable,
                None => ReplayOutcome::RefreshFailed,
            },
            Verdict::PassOn(PassOn::SameToken) => ReplayOutcome::SameToken,
            Verdict::PassOn(PassOn::Budget) => ReplayOutcome::Budget,
            Verdict::PassOn(_) => ReplayOutcome::RefreshFailed,
        },
    };
    seen.replay(outcome);
    None
}

fn is_replayable(upload: Option<&Upload>) -> bool {
    upload.is_none_or(Upload::replayable)
}

/// Tells the cold wing how the replay ended: its budget hangs on it.
fn judge_replay(
    worker: &Worker,
    route: &WorkerRoute,
    credential: &Credential,
    status: RejectedStatus,
    cured: bool,
    seen: &mut Seen,
) {
    worker
        .asker
        .replay_ended(&route.route.account, credential.generation, status, cured);
    seen.replay(if cured {
        ReplayOutcome::Cured
    } else {
        ReplayOutcome::RejectedAgain
    });
    seen.replayed = true;
}

fn preflight(head: &request::Parts, origin: &HeaderValue) -> Response<Answer> {
    let mut response = Response::new(Answer::empty());
    respond::answer_preflight(head, &mut response);
    respond::allow_origin(response.headers_mut(), origin.clone());
    response
}
