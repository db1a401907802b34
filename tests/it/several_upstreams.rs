//! An upstream with several addresses: nginxes that stop, start again and fail,
//! with curl as the caller; and servers whose every request is known.

use crate::circuit::full;
use crate::support::feature::shown;
use crate::support::real::{Http2Nginx, Part, file, nginx, output};
use crate::support::sidekey::Launch;
use crate::support::{
    Answer, AuthServer, Conf, Conn, Gate, Server, Sidekey, call, eventually, eventually_some,
    free_port, local,
};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

/// An nginx that can be stopped and started again at its address.
struct Address {
    name: &'static str,
    address: SocketAddr,
    /// Its log, and what makes it fail.
    folder: tempfile::TempDir,
    running: Option<Part>,
}

impl Address {
    fn start(name: &'static str) -> Self {
        let mut started = Self {
            name,
            address: local(free_port()),
            folder: tempfile::tempdir().unwrap(),
            running: None,
        };
        started.run();
        started
    }

    fn run(&mut self) {
        let dir = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(file("nginx_of_several.conf")).unwrap();
        let text = text
            .replace("@DIR@", dir.path().to_str().unwrap())
            .replace("@LOG@", self.folder.path().to_str().unwrap())
            .replace("@LISTEN@", &self.address.to_string())
            .replace("@NAME@", self.name);
        self.running = Some(nginx(dir, &text).wait_until_it_listens(self.address));
    }

    fn stop(&mut self) {
        self.running = None;
    }

    fn fail(&self) {
        fs::write(self.folder.path().join("fails"), "").unwrap();
    }

    fn recover(&self) {
        fs::remove_file(self.folder.path().join("fails")).unwrap();
    }

    /// Its requests, once there are so many: method, status, `Host` and
    /// `Authorization`. nginx writes them down when it has answered.
    fn log_of(&self, count: usize) -> Vec<String> {
        eventually_some("its log", || {
            let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap();
            let lines: Vec<_> = log.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
    }

    fn is_healthy(&self, sidekey: &Sidekey) -> bool {
        let address = self.address.to_string();
        let labels = [("route", "main"), ("address", address.as_str())];
        sidekey.metric("sidekey_upstream_healthy", &labels) == 1.0
    }
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a SocketAddr>) -> String {
    let urls: Vec<_> = addresses
        .into_iter()
        .map(|a| format!("http://{a}/"))
        .collect();
    format!("[\"{}\"]", urls.join("\", \""))
}

/// One worker, so that turns can be told.
fn conf(auth: &AuthServer, addresses: &[SocketAddr]) -> Conf {
    Conf::at(&auth.endpoint(), &list(addresses)).top("workers: {count: 1}")
}

fn of(addresses: &[Address]) -> Vec<SocketAddr> {
    addresses.iter().map(|one| one.address).collect()
}

/// Where nobody listens: no test, and no service of our day.
fn nowhere() -> SocketAddr {
    local(1)
}

/// What curl gets, and the status.
fn curl(sidekey: &Sidekey, arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "-w", " %{http_code}"]);
    let url = format!("http://{}/api/", sidekey.proxy);
    output(curl.args(arguments).arg(url))
}

#[test]
fn requests_go_to_three_nginxes_in_turn() {
    let auth = AuthServer::start();
    let three = ["one", "two", "three"].map(Address::start);
    let sidekey = Sidekey::run(&conf(&auth, &of(&three)));
    let said: Vec<_> = (0..6).map(|_| curl(&sidekey, &[])).collect();
    let round = ["one 200", "two 200", "three 200"];
    assert_eq!(said, [round, round].concat());
    for nginx in &three {
        let line = format!("GET 200 {} Bearer {}", nginx.address, auth.token());
        assert_eq!(nginx.log_of(2), [line.clone(), line]);
        assert!(nginx.is_healthy(&sidekey));
    }
    let routes = sidekey.logs();
    assert!(
        routes.contains(&format!("http://{}/, http://", three[0].address)),
        "{routes}"
    );
    shown(
        "HTTP/1.1",
        "an upstream with several addresses, in turn",
        "curl",
        "nginx",
    );
}

#[test]
fn one_that_stops_is_missed_by_nobody_and_comes_back() {
    let auth = AuthServer::start();
    let mut two = ["one", "two"].map(Address::start);
    let sidekey = Sidekey::run(&conf(&auth, &of(&two)));
    assert_eq!(curl(&sidekey, &[]), "one 200");
    assert_eq!(curl(&sidekey, &["-d", "a body"]), "two 200");
    two[0].stop();
    for _ in 0..4 {
        assert_eq!(curl(&sidekey, &[]), "two 200");
        assert_eq!(curl(&sidekey, &["-d", "a body"]), "two 200");
    }
    assert!(!two[0].is_healthy(&sidekey), "it was tried three times");
    assert!(two[1].is_healthy(&sidekey));
    let gone = format!("upstream {} of route main has failed", two[0].address);
    eventually("the log", || sidekey.logs().contains(&gone));
    let log = two[1].log_of(9);
    let posts = log.iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!((log.len(), posts), (9, 5), "each once");
    two[0].run();
    eventually("it is back", || curl(&sidekey, &[]) == "one 200");
    assert!(two[0].is_healthy(&sidekey));
    eventually("the log", || {
        sidekey.logs().contains("of route main is well again")
    });
    shown(
        "HTTP/1.1",
        "an address that stops and comes back",
        "curl",
        "nginx",
    );
}

#[test]
fn one_that_answers_503_is_left_out_after_three_of_them() {
    let auth = AuthServer::start();
    let two = ["one", "two"].map(Address::start);
    let sidekey = Sidekey::run(&conf(&auth, &of(&two)));
    two[0].fail();
    for _ in 0..3 {
        // The upstream's own answer is passed on.
        assert!(curl(&sidekey, &[]).ends_with(" 503"));
        assert_eq!(curl(&sidekey, &[]), "two 200");
    }
    eventually("it is left out", || !two[0].is_healthy(&sidekey));
    assert_eq!(two[0].log_of(3).len(), 3);
    two[0].recover();
    eventually("it is back", || curl(&sidekey, &[]) == "one 200");
    assert!(two[0].is_healthy(&sidekey));
    shown(
        "HTTP/1.1",
        "an address that answers 503 for a while",
        "curl",
        "nginx",
    );
}

#[test]
fn where_all_are_gone_all_are_tried() {
    let auth = AuthServer::start();
    let mut two = ["one", "two"].map(Address::start);
    let sidekey = Sidekey::run(&conf(&auth, &of(&two)));
    two[0].stop();
    two[1].stop();
    for _ in 0..8 {
        assert!(curl(&sidekey, &[]).ends_with(" 502"));
    }
    assert!(!two[0].is_healthy(&sidekey) && !two[1].is_healthy(&sidekey));
    two[1].run();
    // At once: there is none to spare it for.
    assert_eq!(curl(&sidekey, &[]), "two 200");
}

/// Takes a request and closes the connection without an answer.
fn silent() -> Server {
    Server::start(|_| Answer::raw(""))
}

#[test]
fn what_was_sent_goes_on_only_where_it_may_be_repeated() {
    let auth = AuthServer::start();
    let (silent, good) = (silent(), auth.echo());
    let conf = conf(&auth, &[silent.address, good.address]);
    let sidekey = Sidekey::run(&conf);
    let post = call(sidekey.proxy, "POST", "/api/", &[], b"once");
    assert_eq!((post.status, good.count()), (502, 0));
    assert_eq!(post.header("Sidekey-Error"), Some("upstream_unreachable"));
    assert_eq!(silent.count(), 1);
    assert_eq!(sidekey.get("/api/1").text(), "GET /1 ");
    // Its turn again.
    let put = call(sidekey.proxy, "PUT", "/api/2", &[], b"twice");
    assert_eq!(put.text(), "PUT /2 twice");
    assert_eq!((silent.count(), good.count()), (2, 2));
    assert_eq!(good.last().header("host"), Some(&*good.address.to_string()));
}

#[test]
fn an_idempotent_request_goes_on_once() {
    let auth = AuthServer::start();
    let three = [silent(), silent(), silent()];
    let addresses = three.iter().map(|one| one.address).collect::<Vec<_>>();
    let sidekey = Sidekey::run(&conf(&auth, &addresses));
    assert_eq!(sidekey.get("/api/").status, 502);
    assert_eq!(three.iter().map(Server::count).sum::<usize>(), 2);
}

#[test]
fn a_body_that_was_not_sent_goes_to_the_next_address_whole() {
    let auth = AuthServer::start();
    let good = auth.echo();
    let conf = conf(&auth, &[nowhere(), good.address]).route("replay_body_limit: 1KiB");
    let sidekey = Sidekey::run(&conf);
    let body = "x".repeat(300_000);
    let post = call(sidekey.proxy, "POST", "/api/", &[], body.as_bytes());
    assert_eq!(post.text(), format!("POST / {body}"));
    assert_eq!(good.only().header("host"), Some(&*good.address.to_string()));
}

#[test]
fn a_replay_goes_to_the_address_that_has_rejected_the_token() {
    let auth = AuthServer::start();
    let (one, two) = (auth.upstream(), auth.upstream());
    let sidekey = Sidekey::run(&conf(&auth, &[one.address, two.address]));
    assert_eq!(sidekey.get("/api/").status, 200);
    auth.revoke();
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!((one.count(), two.count()), (1, 2));
}

#[test]
fn a_replay_after_a_move_goes_there_too() {
    let auth = AuthServer::start();
    let good = auth.upstream();
    let sidekey = Sidekey::run(&conf(&auth, &[nowhere(), good.address]));
    auth.revoke();
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!(good.count(), 2);
}

#[test]
fn hosts_and_addresses_are_those_of_whoever_answers() {
    let auth = AuthServer::start();
    let other = nowhere();
    let good = Server::start(move |request| {
        let own = request.header("host").unwrap_or_default().to_owned();
        Answer::new(302)
            .header("Location", &format!("http://{own}/here"))
            .header("Content-Location", &format!("http://{other}/there"))
            .header("Set-Cookie", "a=1; Domain=127.0.0.1")
    });
    let conf = conf(&auth, &[other, good.address]);
    let sidekey = Sidekey::run(&conf.route("rewrite_addresses: true"));
    let answer = sidekey.get("/api/");
    let own = format!("http://{}/api", sidekey.proxy);
    assert_eq!(answer.header("location"), Some(&*format!("{own}/here")));
    let there = answer.header("content-location");
    assert_eq!(there, Some(&*format!("{own}/there")));
    drop(sidekey);
    let conf = self::conf(&auth, &[other, good.address]);
    let sidekey = Sidekey::run(&conf.route("preserve_host: true"));
    sidekey.get("/api/");
    let kept = sidekey.proxy.to_string();
    assert_eq!(good.last().header("host"), Some(kept.as_str()));
}

#[test]
fn a_websocket_is_opened_at_an_address_that_is_there() {
    let auth = AuthServer::start();
    let good = Server::start(|_| {
        Answer::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
    });
    let sidekey = Sidekey::run(&conf(&auth, &[nowhere(), good.address]));
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(format!(
        "GET /api/ HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        sidekey.proxy
    ));
    assert!(conn.until("\r\n\r\n").starts_with("HTTP/1.1 101"));
}

#[test]
fn http2_over_tls_to_two_nginxes() {
    let auth = AuthServer::start();
    let behind = auth.echo();
    let authority = crate::support::authority::Authority::new("the authority");
    let pair = authority.issue(&["localhost"]);
    let start = || Http2Nginx::start(behind.address, &pair.certificate, &pair.key);
    let (one, two) = (start(), start());
    let (ports, gone) = ([one.tls.port(), two.tls.port()], nowhere().port());
    let url = |port: u16| format!("https://localhost:{port}/");
    let list = format!(
        "[\"{}\", \"{}\", \"{}\"]",
        url(gone),
        url(ports[0]),
        url(ports[1])
    );
    let conf = Conf::at(&auth.endpoint(), &list).top("workers: {count: 1}");
    let conf = conf.route("tls: {ca: ca.pem}");
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: conf.yaml(),
        files: vec![("ca.pem".into(), authority.pem.clone())],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    let said: Vec<_> = (0..6).map(|_| curl(&sidekey, &[])).collect();
    for port in ports {
        let here = format!(" localhost:{port} 200");
        assert!(said.iter().any(|said| said.ends_with(&here)), "{said:?}");
    }
    assert!(
        said.iter().all(|said| said.starts_with("HTTP/2.0")),
        "{said:?}"
    );
    drop(one);
    for _ in 0..4 {
        let said = curl(&sidekey, &[]);
        let here = format!(" localhost:{} 200", ports[1]);
        assert!(said.ends_with(&here), "{said}");
    }
    shown(
        "HTTP/2 upstream",
        "an upstream with several addresses",
        "curl",
        "nginx",
    );
}

#[test]
fn a_reload_changes_the_list_and_keeps_what_is_known() {
    let auth = AuthServer::start();
    let two = ["one", "two"].map(Address::start);
    let sidekey = Sidekey::run(&conf(&auth, &of(&two)));
    two[0].fail();
    eventually("it is left out", || {
        curl(&sidekey, &[]);
        !two[0].is_healthy(&sidekey)
    });
    let third = Address::start("three");
    let mut addresses = of(&two);
    addresses.push(third.address);
    sidekey.configure(&conf(&auth, &addresses).route("timeout: 59s").yaml());
    sidekey.signal("HUP");
    eventually("the third is asked", || curl(&sidekey, &[]) == "three 200");
    assert!(third.is_healthy(&sidekey) && !two[0].is_healthy(&sidekey));
    sidekey.configure(&conf(&auth, &[third.address, two[1].address]).yaml());
    sidekey.signal("HUP");
    eventually("the first is known no more", || {
        !sidekey.metrics().contains(&two[0].address.to_string())
    });
    let said = [curl(&sidekey, &[]), curl(&sidekey, &[])];
    assert!(said.contains(&"two 200".to_owned()) && said.contains(&"three 200".to_owned()));
}

#[test]
fn one_that_takes_no_connection_leaves_time_for_another() {
    let auth = AuthServer::start();
    let (full, _queued) = full();
    let good = auth.echo();
    let addresses = [full.local_addr().unwrap(), good.address];
    let sidekey = Sidekey::run(&conf(&auth, &addresses).route("connect_timeout: 1s"));
    for nth in 0..3 {
        let post = call(sidekey.proxy, "POST", "/api/", &[], b"a body");
        assert_eq!((post.status, post.text().as_str()), (200, "POST / a body"));
        assert_eq!(good.count(), 2 * nth + 1);
        // Its turn.
        assert_eq!(sidekey.get("/api/").status, 200);
    }
    eventually("the log", || {
        sidekey.logs().contains("of route main has failed")
    });
}

#[test]
fn one_whose_connections_are_all_in_use_is_passed_by() {
    let (auth, gate) = (AuthServer::start(), Gate::closed());
    let held = gate.clone();
    let one = Server::start(move |_| Answer::ok("held").after(&held));
    let two = auth.upstream();
    let conf = conf(&auth, &[one.address, two.address])
        .top("limits: {pool_connections_per_origin: 1, pool_queue: 0}");
    let sidekey = Sidekey::run(&conf);
    let mut first = Conn::to(sidekey.proxy);
    first.ask("/api/");
    eventually("it is held", || gate.came() == 1);
    for _ in 0..6 {
        assert_eq!(call(sidekey.proxy, "POST", "/api/", &[], b"x").status, 200);
    }
    assert_eq!((one.count(), two.count()), (1, 6));
    gate.open();
    assert_eq!(first.response().text(), "held");
    assert!(
        !sidekey.logs().contains("has failed"),
        "it did nothing wrong"
    );
}
