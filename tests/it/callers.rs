//! What a caller sends and what of it goes on: the token's place is ours, and
//! hop-by-hop fields end here.

use crate::support::{Answer, AuthServer, Conf, Conn, Response, Server, Sidekey, call};

fn started(change: impl FnOnce(Conf) -> Conf) -> (AuthServer, Server, Sidekey) {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let sidekey = Sidekey::run(&change(Conf::new(&auth, &upstream)));
    (auth, upstream, sidekey)
}

fn send(sidekey: &Sidekey, target: &str, headers: &[(&str, &str)]) -> Response {
    let answer = call(sidekey.proxy, "GET", target, headers, b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

#[test]
fn the_callers_own_authorization_is_replaced() {
    let (auth, upstream, sidekey) = started(|c| c);
    let own = [
        ("Authorization", "Bearer mine"),
        ("authorization", "Basic bWluZQ=="),
        ("AUTHORIZATION", ""),
    ];
    send(&sidekey, "/api/", &own);
    let expected = format!("Bearer {}", auth.token());
    assert_eq!(upstream.only().all("authorization"), [expected]);
}

#[test]
fn any_header_and_any_template_can_hold_the_token() {
    let (auth, upstream, sidekey) = started(|c| {
        c.integration("token: {in: header, name: X-Key, value: \"key=<{token}>, v=2\"}")
    });
    send(
        &sidekey,
        "/api/",
        &[("X-Key", "mine"), ("Authorization", "Bearer mine")],
    );
    let seen = upstream.only();
    assert_eq!(seen.all("x-key"), [format!("key=<{}>, v=2", auth.token())]);
    // Not the token's place here, so it is the caller's own affair.
    assert_eq!(seen.bearer(), Some("mine"));
}

#[test]
fn a_query_parameter_can_hold_the_token() {
    let (auth, upstream, sidekey) =
        started(|c| c.integration("token: {in: query, name: access_token, value: \"{token}\"}"));
    let spellings = "access_token=mine&a=1&acces%73_token=mine&b=%20+&%61ccess_token&c";
    send(&sidekey, &format!("/api/x?{spellings}"), &[]);
    let seen = upstream.only();
    let (path, query) = seen.target.split_once('?').expect("a query");
    assert_eq!(path, "/x");
    let (kept, ours) = query.rsplit_once('&').expect("two parameters");
    assert_eq!(kept, "a=1&b=%20+&c", "the rest byte for byte");
    let pairs: Vec<_> = url::form_urlencoded::parse(ours.as_bytes())
        .into_owned()
        .collect();
    assert_eq!(pairs, [("access_token".to_owned(), auth.token())]);
    assert_eq!(seen.header("authorization"), None);
}

#[test]
fn the_token_alone_makes_a_query() {
    let (_auth, upstream, sidekey) =
        started(|c| c.integration("token: {in: query, name: key, value: \"{token}\"}"));
    for target in ["/api/x", "/api/x?key=mine"] {
        send(&sidekey, target, &[]);
        let target = upstream.last().target;
        assert!(target.starts_with("/x?key=tk1"), "{target}");
        assert_eq!(target.matches('?').count(), 1, "{target}");
        assert_eq!(target.matches("key=").count(), 1, "{target}");
    }
}

#[test]
fn request_parameters_replace_what_the_caller_sent() {
    let (_auth, upstream, sidekey) = started(|c| {
        c.integration("request_parameters:")
            .integration("  - {in: header, name: X-Tenant, value: blue}")
            .integration("  - {in: query, name: api version, value: \"2 & 3\"}")
    });
    let mine = [("X-Tenant", "red"), ("x-tenant", "green")];
    send(&sidekey, "/api/?api+version=1&a=b&api%20version=0", &mine);
    let seen = upstream.only();
    assert_eq!(seen.all("x-tenant"), ["blue"]);
    let query = seen.target.split_once('?').expect("a query").1;
    let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(pairs, [pair("a", "b"), pair("api version", "2 & 3")]);
}

#[test]
fn hop_by_hop_fields_end_here() {
    let (_auth, upstream, sidekey) = started(|c| c);
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "GET /api/ HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, X-Mine\r\nConnection: x-also\r\n\
         X-Mine: a\r\nX-Also: b\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic eA==\r\nTE: gzip\r\nUpgrade: websocket\r\n\
         X-Kept: yes\r\nAccept: text/plain\r\n\r\n"
    ));
    assert_eq!(conn.response().status, 200);
    let seen = upstream.only();
    for gone in [
        "x-mine",
        "x-also",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
    ] {
        assert!(seen.all(gone).is_empty(), "{gone}: {seen:?}");
    }
    assert_eq!(seen.header("x-kept"), Some("yes"));
    assert_eq!(seen.header("accept"), Some("text/plain"));
}

#[test]
fn connection_cannot_take_the_token_away() {
    let (auth, upstream, sidekey) = started(|c| c);
    send(
        &sidekey,
        "/api/",
        &[("Connection", "Authorization, X-Mine"), ("X-Mine", "a")],
    );
    let seen = upstream.only();
    assert_eq!(seen.bearer(), Some(auth.token().as_str()));
    let authority = upstream.address.to_string();
    assert_eq!(seen.header("host"), Some(authority.as_str()));
}

#[test]
fn the_upstreams_answer_comes_back_without_its_hop_by_hop_fields() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| {
        Answer::new(207)
            .header("Connection", "X-Private")
            .header("X-Private", "a")
            .header("Keep-Alive", "timeout=9")
            .header("Proxy-Authenticate", "Basic")
            .header("Set-Cookie", "a=1")
            .header("Set-Cookie", "b=2")
            .header("X-Kept", "yes")
            .body("content")
    });
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let mut conn = Conn::to(sidekey.proxy);
    let answer = conn.get("/api/");
    assert_eq!((answer.status, answer.text().as_str()), (207, "content"));
    for gone in ["x-private", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!(answer.header("x-kept"), Some("yes"));
    let cookies: Vec<_> = answer
        .headers
        .iter()
        .filter(|(n, _)| n.eq_ignore_ascii_case("set-cookie"))
        .collect();
    assert_eq!(cookies.len(), 2);
    assert_eq!(conn.get("/api/").status, 207, "the connection is kept");
}

#[test]
fn redirects_are_passed_on() {
    let auth = AuthServer::start();
    let upstream =
        Server::start(|_| Answer::new(302).header("Location", "https://other.example/x?y"));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let answer = sidekey.get("/api/");
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some("https://other.example/x?y"));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn the_token_parameter_is_taken_out_of_a_location() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| {
        let location = format!("http://elsewhere.example{}&z=1", request.target);
        Answer::new(302).header("Location", &location)
    });
    let conf = Conf::new(&auth, &upstream);
    let conf = conf.integration("token: {in: query, name: key, value: \"{token}\"}");
    let sidekey = Sidekey::run(&conf);
    let answer = sidekey.get("/api/x?a=b");
    assert_eq!(
        answer.header("location"),
        Some("http://elsewhere.example/x?a=b&z=1")
    );
}

#[test]
fn bodies_stream_both_ways() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| Answer::ok(request.body.clone()));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &body);
    assert!(answer.status == 200 && answer.body == body);
    let mut conn = Conn::to(sidekey.proxy);
    let host = sidekey.proxy;
    conn.send(format!(
        "PUT /api/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for piece in body.chunks(100_000) {
        conn.send(format!("{:x}\r\n", piece.len()));
        conn.send(piece);
        conn.send("\r\n");
    }
    conn.send("0\r\n\r\n");
    let answer = conn.response();
    assert!(answer.status == 200 && answer.body == body);
}

#[test]
fn a_head_request_gets_a_head() {
    let (_auth, upstream, sidekey) = started(|c| c);
    let answer = call(sidekey.proxy, "HEAD", "/api/", &[], b"");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(upstream.only().method, "HEAD");
}
