//! A worker that stays awake for answers, and one that doesn't, serve alike.

use crate::support::{Answer, AuthServer, Conf, Conn, Gate, Server, Sidekey, eventually};
use std::thread;

/// One worker, with an upstream that answers `/api/held` once the gate opens and
/// everything else at once.
fn started(spin: &str, gate: &Gate) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let held = gate.clone();
    let upstream = Server::start(move |request| match request.target.ends_with("/held") {
        true => Answer::ok("held").after(&held),
        false => Answer::ok(request.target.clone()),
    });
    let conf = Conf::new(&auth, &upstream).top(&format!("workers: {{count: 1, spin: {spin}}}"));
    let sidekey = Sidekey::run(&conf);
    (auth, upstream, sidekey)
}

#[test]
fn an_answer_that_does_not_come_holds_up_nobody() {
    for spin in ["on", "off", "auto"] {
        let gate = Gate::closed();
        let (_auth, _upstream, sidekey) = started(spin, &gate);
        let mut quick = Conn::to(sidekey.proxy);
        let mut held = Conn::to(sidekey.proxy);
        for round in 0..90 {
            if round == 30 {
                held.ask("/api/held");
                eventually("it is held", || gate.came() == 1);
            }
            assert_eq!(quick.get(&format!("/api/{round}")).status, 200);
        }
        // Nothing else is awaited: what the loop watches besides goes on.
        assert_eq!(Conn::to(sidekey.proxy).get("/api/new").status, 200);
        gate.open();
        assert_eq!(held.response().text(), "held");
    }
}

#[test]
fn many_at_once_all_get_their_own_answers() {
    for spin in ["on", "off", "auto"] {
        let (_auth, _upstream, sidekey) = started(spin, &Gate::closed());
        let proxy = sidekey.proxy;
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                thread::spawn(move || {
                    let mut conn = Conn::to(proxy);
                    for round in 0..25 {
                        let target = format!("/api/{caller}/{round}");
                        let answer = conn.get(&target).text();
                        assert!(target.ends_with(&answer), "{target}: {answer}");
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
    }
}
