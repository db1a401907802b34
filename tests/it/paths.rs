//! From the caller's path to the upstream's: one slash at the joint, all else
//! byte for byte, and no way around a route.

use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey};

fn started(upstream_path: &str) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let base = format!("{}{upstream_path}", upstream.url());
    let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), &base));
    (auth, upstream, sidekey)
}

#[test]
fn the_joint_has_one_slash_and_the_rest_is_kept() {
    let (_auth, upstream, sidekey) = started("/base/");
    let table = [
        ("/api", "/base/"),
        ("/api/", "/base/"),
        ("/api/a", "/base/a"),
        ("/api//a", "/base//a"),
        ("/api/a//b/", "/base/a//b/"),
        ("/api/a%2Fb", "/base/a%2Fb"),
        ("/api/a%2fb", "/base/a%2fb"),
        ("/api/%41%7e", "/base/%41%7e"),
        ("/api/a;b=c,d:e@f!$&'()*+", "/base/a;b=c,d:e@f!$&'()*+"),
        ("/api/...", "/base/..."),
        ("/api/.a/b./..c", "/base/.a/b./..c"),
        ("/api?x", "/base/?x"),
        ("/api/?", "/base/?"),
        (
            "/api/a?b=c&b=%20+d&&e=?/../.",
            "/base/a?b=c&b=%20+d&&e=?/../.",
        ),
        ("/api/a?%61uthorization=x", "/base/a?%61uthorization=x"),
    ];
    for (sent, expected) in table {
        let answer = sidekey.get(sent);
        assert_eq!(answer.status, 200, "{sent}: {}", answer.text());
        assert_eq!(upstream.last().target, expected, "{sent}");
    }
}

#[test]
fn an_upstream_without_a_closing_slash_joins_the_same_way() {
    let (_auth, upstream, sidekey) = started("/base");
    for (sent, expected) in [("/api/a", "/base/a"), ("/api//a", "/base//a")] {
        assert_eq!(sidekey.get(sent).status, 200, "{sent}");
        assert_eq!(upstream.last().target, expected, "{sent}");
    }
}

#[test]
fn a_prefix_ends_at_a_segment() {
    let (_auth, upstream, sidekey) = started("/");
    for path in [
        "/", "/apis", "/apis/", "/API/", "/%61pi/", "//api/", "/x/api/",
    ] {
        let answer = sidekey.get(path);
        assert_eq!(
            (answer.status, answer.problem()),
            (404, "route_not_found"),
            "{path}"
        );
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn dot_segments_are_refused_in_every_spelling() {
    let (_auth, upstream, sidekey) = started("/base/");
    let dots = [".", "..", "%2e", "%2E", ".%2e", "%2e.", "%2E%2e"];
    for dot in dots {
        for path in [
            format!("/api/{dot}"),
            format!("/api/{dot}/a"),
            format!("/api/a/{dot}/b"),
        ] {
            let answer = sidekey.get(&path);
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "bad_request"),
                "{path}"
            );
        }
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(sidekey.get("/api/a").status, 200);
}

#[test]
fn the_longest_prefix_wins() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let second = format!("upstream: {}/deep/", upstream.url());
    let yaml = Conf::new(&auth, &upstream).yaml();
    let yaml =
        format!("{yaml}  - name: deep\n    path: /api/deep/\n    {second}\n    account: one\n");
    let sidekey = Sidekey::run_yaml(&yaml);
    for (sent, expected) in [
        ("/api/deep/x", "/deep/x"),
        ("/api/deep", "/deep/"),
        ("/api/deeper", "/deeper"),
    ] {
        assert_eq!(sidekey.get(sent).status, 200, "{sent}");
        assert_eq!(upstream.last().target, expected, "{sent}");
    }
}

#[test]
fn an_absolute_target_is_read_as_its_path() {
    let (_auth, upstream, sidekey) = started("/base/");
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "GET http://{host}/api/a?b HTTP/1.1\r\nHost: {host}\r\n\r\n"
    ));
    let answer = conn.response();
    // RFC 9112, 3.2.2 has servers accept the form; refusing it is safe as well.
    match answer.status {
        200 => assert_eq!(upstream.only().target, "/base/a?b"),
        400 => assert_eq!(upstream.count(), 0),
        other => panic!("{other}"),
    }
}
