//! Names of fields as caller and upstream have spelt them, where a route keeps that.

use crate::support::feature::shown;
use crate::support::http::Request;
use crate::support::tls::curled;
use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey, call, eventually};
use std::sync::atomic::{AtomicBool, Ordering};

const ODD: &str = "HTTP/1.1 200 OK\r\nX-ODD-name: 1\r\nx-even-Name: 2\r\nEtag: \"x\"\r\n\
                   Content-LENGTH: 2\r\n\r\nok";

/// The names of a head's fields, as they are spelt.
fn names(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8(head.to_vec()).unwrap();
    let fields = text.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.map(|(name, _)| name.to_owned()).collect()
}

#[track_caller]
fn has(names: &[String], wanted: &[&str]) {
    for name in wanted {
        assert!(names.iter().any(|n| n == name), "{name}: {names:?}");
    }
}

fn odd(auth: &AuthServer, keep: &str) -> (Server, Sidekey) {
    let upstream = Server::start(|_| Answer::raw(ODD));
    let conf = Conf::new(auth, &upstream).route(keep);
    let sidekey = Sidekey::run(&conf);
    (upstream, sidekey)
}

const ASKED: [&str; 3] = ["SOAPAction: \"a\"", "X-uPPer: 1", "aUTHORIZATION: none"];

fn curl(sidekey: &Sidekey) -> String {
    let url = format!("http://{}/api/", sidekey.proxy);
    let mut arguments = vec!["-i", &url];
    arguments.extend(ASKED.iter().flat_map(|field| ["-H", field]));
    curled(&arguments)
}

#[test]
fn both_sides_see_what_the_other_has_written() {
    let auth = AuthServer::start();
    let (upstream, sidekey) = odd(&auth, "keep_header_case: true");
    let answer = curl(&sidekey);
    has(
        &names(answer.as_bytes()),
        &[
            "X-ODD-name",
            "x-even-Name",
            "Etag",
            "Content-LENGTH",
            "Date",
        ],
    );
    let seen = names(&upstream.only().head);
    // What is ours is in the caller's place, and of the caller's spelling.
    has(
        &seen,
        &[
            "SOAPAction",
            "X-uPPer",
            "aUTHORIZATION",
            "Host",
            "User-Agent",
        ],
    );
    let token = auth.token();
    assert_eq!(upstream.only().bearer(), Some(token.as_str()));
    shown(
        "HTTP/1.1",
        "names of fields keep their spelling",
        "curl",
        "a server that looks at it",
    );
}

#[test]
fn what_nobody_has_spelt_has_capitals() {
    let auth = AuthServer::start();
    let (upstream, sidekey) = odd(&auth, "keep_header_case: true");
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(b"GET /api/ HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n\r\n");
    let refused = conn.response();
    assert_eq!(refused.status, 403);
    assert_eq!(call(sidekey.proxy, "GET", "/api/", &[], b"").status, 200);
    let seen = names(&upstream.only().head);
    has(&seen, &["Authorization"]);
}

#[test]
fn nothing_is_kept_where_nobody_asks() {
    let auth = AuthServer::start();
    let (upstream, sidekey) = odd(&auth, "keep_header_case: false");
    let answer = curl(&sidekey);
    has(
        &names(answer.as_bytes()),
        &["x-odd-name", "x-even-name", "etag"],
    );
    has(
        &names(&upstream.only().head),
        &["soapaction", "x-upper", "authorization"],
    );
}

#[test]
fn a_replay_is_spelt_in_the_same_way() {
    let auth = AuthServer::start();
    let rejected = AtomicBool::new(false);
    let upstream = Server::start(
        move |_: &Request| match rejected.swap(true, Ordering::Relaxed) {
            false => Answer::rejected(),
            true => Answer::raw(ODD),
        },
    );
    let conf = Conf::new(&auth, &upstream).route("keep_header_case: true");
    let sidekey = Sidekey::run(&conf);
    let answer = curl(&sidekey);
    has(&names(answer.as_bytes()), &["X-ODD-name"]);
    let seen = upstream.requests();
    assert_eq!(seen.len(), 2);
    assert_eq!(names(&seen[0].head), names(&seen[1].head));
    has(&names(&seen[1].head), &["SOAPAction", "X-uPPer"]);
}

#[test]
fn a_reload_changes_it() {
    let auth = AuthServer::start();
    let (upstream, sidekey) = odd(&auth, "keep_header_case: false");
    curl(&sidekey);
    has(&names(&upstream.last().head), &["soapaction"]);
    let kept = Conf::new(&auth, &upstream).route("keep_header_case: true");
    sidekey.configure(&kept.yaml());
    eventually("the spelling", || {
        let answer = curl(&sidekey);
        let answered = names(answer.as_bytes()).contains(&"X-ODD-name".to_owned());
        answered && names(&upstream.last().head).contains(&"SOAPAction".to_owned())
    });
}
