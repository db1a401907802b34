//! Pages of the program that nobody needs at rest are given back, which nobody must notice.

use crate::support::{AuthServer, Conf, Sidekey, eventually};

/// How often pages were given back so far.
fn times(sidekey: &Sidekey) -> usize {
    let logs = sidekey.logs();
    logs.matches("pages of the program were given back").count()
}

fn given_back(sidekey: &Sidekey, at_least: usize) {
    eventually("pages are given back", || times(sidekey) >= at_least);
}

#[test]
fn a_process_that_came_to_rest_serves_and_reloads_and_rests_again() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).log("{level: debug}");
    let sidekey = Sidekey::run(&conf);
    assert_eq!(sidekey.get("/api/").status, 200);
    // When the start was over, and when nothing was left to do.
    given_back(&sidekey, 2);
    assert_eq!(sidekey.get("/api/").status, 200);
    for reload in 1..=2 {
        sidekey.signal("HUP");
        given_back(&sidekey, 2 + reload);
        assert_eq!(sidekey.get("/api/").status, 200);
    }
    assert_eq!(auth.count(), 1, "the token is the one from the start");
}
