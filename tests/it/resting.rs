//! Connections that are idle for a while give their buffers back, which nobody
//! must notice.

use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey, eventually};

struct Scene {
    sidekey: Sidekey,
    _auth: AuthServer,
    _upstream: Server,
}

fn scene() -> Scene {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| Answer::ok(format!("for {}", request.target)));
    let conf = Conf::new(&auth, &upstream).log("{level: trace}");
    Scene {
        sidekey: Sidekey::run(&conf),
        _auth: auth,
        _upstream: upstream,
    }
}

impl Scene {
    fn rests(&self, times: usize) {
        eventually("the connection rests", || {
            self.sidekey.logs().matches("rests").count() >= times
        });
    }

    fn head(&self, path: &str) -> String {
        format!(
            "GET /api/{path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.sidekey.proxy
        )
    }
}

#[test]
fn a_connection_that_rested_serves_again_and_again() {
    let scene = scene();
    let mut conn = Conn::to(scene.sidekey.proxy);
    for round in 1..=3 {
        conn.send(scene.head(&round.to_string()));
        assert_eq!(conn.response().text(), format!("for /{round}"));
        scene.rests(round);
    }
}

#[test]
fn half_a_head_that_came_before_the_rest_is_not_lost() {
    let scene = scene();
    let mut conn = Conn::to(scene.sidekey.proxy);
    let second = scene.head("second");
    let (half, rest) = second.split_at(20);
    conn.send(scene.head("first") + half);
    assert_eq!(conn.response().text(), "for /first");
    scene.rests(1);
    conn.send(rest);
    assert_eq!(conn.response().text(), "for /second");
}

#[test]
fn a_connection_closed_while_it_rests_leaves_nothing_behind() {
    let scene = scene();
    let mut conn = Conn::to(scene.sidekey.proxy);
    conn.send(scene.head("1"));
    assert_eq!(conn.response().status, 200);
    scene.rests(1);
    let open = || scene.sidekey.metric("sidekey_connections", &[]);
    assert!(open() >= 1.0);
    drop(conn);
    eventually("the connection is gone", || open() == 0.0);
}
