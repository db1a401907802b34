//! A process that died in the middle of a refresh holds nobody up.

use crate::support::client::request;
use crate::support::{AuthServer, Conf, Conn, Sidekey, eventually};

#[test]
fn the_lease_of_a_process_that_was_killed_is_taken_at_once() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    // Waited out, the lease would last far longer than this test waits.
    let conf = Conf::new(&auth, &upstream)
        .store("{path: store.db, key: {generate: true}}")
        .top("refresh: {timeout: 10m}");
    let mut sidekey = Sidekey::run(&conf);
    assert_eq!(sidekey.get("/api/").status, 200);
    let held = auth.hold();
    let mut person = Conn::to(sidekey.admin);
    let bearer = format!("Bearer {}", sidekey.admin_token());
    let fields = [("Authorization", bearer.as_str())];
    let path = "/api/accounts/one/refresh";
    person.send(request(sidekey.admin, "POST", path, &fields, b""));
    eventually("the request for a token", || held.came() == 1);
    sidekey.crash();
    held.open();
    let refreshed = sidekey.api("POST", path, "");
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    assert_eq!(auth.count(), 3);
    assert_eq!(sidekey.get("/api/").status, 200);
}
