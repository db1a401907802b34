//! Many at once.

use crate::support::client::{exchange, request};
use crate::support::{
    Answer, AuthServer, Conf, Gate, RUNTIME, Response, Server, Sidekey, eventually,
};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinHandle;

type Sent = Vec<JoinHandle<std::io::Result<Response>>>;

/// A busy machine may take minutes for all of them: no limit is to end one meanwhile.
const PATIENT: &str = "header_timeout: 10m, idle_timeout: 10m";
const PATIENT_ROUTE: &str = "timeout: 10m";

/// Sends the same bytes on `count` connections of their own.
fn send(count: usize, address: SocketAddr, bytes: Vec<u8>) -> Sent {
    let bytes = Arc::new(bytes);
    let one = |_| {
        let bytes = bytes.clone();
        RUNTIME.spawn(async move { exchange(address, &bytes).await })
    };
    (0..count).map(one).collect()
}

fn statuses(sent: Sent) -> Vec<u16> {
    let all = async {
        let mut statuses = Vec::new();
        for one in sent {
            statuses.push(one.await.unwrap().map_or(0, |r| r.status));
        }
        statuses
    };
    RUNTIME.block_on(all)
}

/// Holds every request with a dead token at the gate, then rejects it.
fn barrier(auth: &AuthServer, gate: &Gate) -> Server {
    let (live, gate) = (auth.checker(), gate.clone());
    Server::start(move |request| match live(request) {
        true => Answer::ok("content"),
        false => Answer::rejected().after(&gate),
    })
}

#[test]
fn a_thousand_401s_at_once_are_one_refresh_and_a_thousand_replays() {
    let auth = AuthServer::start();
    let at_upstream = Gate::closed();
    let upstream = barrier(&auth, &at_upstream);
    // Held until everybody has been rejected, however long that takes.
    let conf = Conf::new(&auth, &upstream)
        .route(PATIENT_ROUTE)
        .top("refresh: {timeout: 5m}")
        .top(&format!("limits: {{{PATIENT}}}"));
    let sidekey = Sidekey::run(&conf);
    auth.revoke();
    let at_auth = auth.hold();
    let get = request(sidekey.proxy, "GET", "/api/", &[], b"");
    let sent = send(1_000, sidekey.proxy, get);
    eventually("all at the barrier", || at_upstream.came() == 1_000);
    at_upstream.open();
    eventually("all rejected", || upstream.answered() == 1_000);
    eventually("the refresh", || at_auth.came() == 1);
    at_auth.open();
    assert!(statuses(sent).iter().all(|s| *s == 200));
    assert_eq!(auth.count(), 2, "the first token and one refresh");
    assert_eq!(upstream.count(), 2_000, "each request and one replay");
    eventually("the count of it", || {
        sidekey.metric("sidekey_replays_total", &[("outcome", "cured")]) == 1_000.0
    });
}

#[test]
fn five_thousand_bodies_at_once_stay_under_the_total_limit() {
    const COUNT: usize = 5_000;
    let auth = AuthServer::start();
    let at_upstream = Gate::closed();
    let upstream = barrier(&auth, &at_upstream);
    let conf = Conf::new(&auth, &upstream)
        .route("replay_body_limit: 64KiB")
        .route(PATIENT_ROUTE)
        // A read buffer grows as large as a head may be; here that must not hide
        // what is kept of bodies.
        .top(&format!(
            "limits: {{replay_buffer_total: 16MiB, header_bytes: 16KiB, {PATIENT}}}"
        ));
    let sidekey = Sidekey::run(&conf);
    auth.revoke();
    let body = vec![b'x'; 65_536];
    let post = request(sidekey.proxy, "POST", "/api/", &[], &body);
    let sent = send(COUNT, sidekey.proxy, post);
    eventually("all at the barrier", || at_upstream.came() == COUNT);
    // All bodies have been here now, and they alone are 320 MB.
    let memory = sidekey.memory("VmHWM");
    at_upstream.open();
    let statuses = statuses(sent);
    let replayed = statuses.iter().filter(|s| **s == 200).count();
    let passed_on = statuses.iter().filter(|s| **s == 401).count();
    assert_eq!(replayed + passed_on, COUNT, "nothing is lost");
    assert!(
        (1..=256).contains(&replayed),
        "16 MiB hold 256 bodies: {replayed}"
    );
    assert_eq!(auth.count(), 2);
    assert!(memory < 300 * 1024, "{memory} KiB");
    eventually("the buffers are given back", || {
        sidekey.get("/api/").status == 200
    });
}
