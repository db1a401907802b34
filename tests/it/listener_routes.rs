//! Listeners that serve some of the routes alone: curl and plain sockets, by
//! HTTP/1.1, by HTTP/2, through `http_proxy` and inside of CONNECT.

use crate::support::client::Conn;
use crate::support::frames::{Frames, HEADERS, get as by_http2};
use crate::support::sidekey::{Launch, command, run_to_end};
use crate::support::tls::{curled, put};
use crate::support::{
    Answer, AuthServer, Conf, Server, Sidekey, eventually, free_port, get, local,
};
use std::net::SocketAddr;

/// Of several, one may have what a reload brings before another.
const ONE_WORKER: &str = "workers: {count: 1}";
const PLAIN: &str = "listen: 127.0.0.1:@PROXY@\n";

struct Stage {
    sidekey: Sidekey,
    /// Without what `listen` says.
    yaml: String,
    other: u16,
    _upstream: Server,
    _auth: AuthServer,
}

impl Stage {
    /// With these keys for two listeners, and four routes: `main` at `/api/`,
    /// `deep` and `post` under it, and `named` for the host `crm.example`.
    fn new(first: &str, second: &str) -> Self {
        let auth = AuthServer::start();
        let live = auth.checker();
        let upstream = Server::start(move |request| match live(request) {
            true => Answer::ok(request.target.clone()),
            false => Answer::rejected(),
        });
        let conf = Conf::at(&auth.endpoint(), &format!("{}/main/", upstream.url()));
        let more = [
            ("deep", "path: /api/deep/"),
            ("post", "match: {path: /api/post/, methods: [POST]}"),
            ("named", "match: {host: crm.example}"),
        ]
        .map(|(name, what)| {
            let to = format!("{}/{name}/", upstream.url());
            format!("  - {{name: {name}, {what}, upstream: \"{to}\", account: one}}\n")
        });
        let yaml = conf.top(ONE_WORKER).yaml() + &more.concat();
        let other = free_port();
        let home = tempfile::tempdir().unwrap();
        let mut init = command(&home);
        init.args(["ca", "init", "--out", ".", "--host", "crm.example"]);
        let output = init.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let file = |name: &str| {
            let text = std::fs::read_to_string(home.path().join(name)).unwrap();
            (name.to_owned(), text)
        };
        let mut sidekey = Sidekey::launch(&Launch {
            yaml: listening(&yaml, other, first, second),
            files: vec![file("ca.pem"), file("ca-key.pem")],
            ..Launch::default()
        });
        sidekey.wait_for("/readyz");
        Self {
            sidekey,
            yaml,
            other,
            _upstream: upstream,
            _auth: auth,
        }
    }

    fn first(&self) -> SocketAddr {
        self.sidekey.proxy
    }

    fn second(&self) -> SocketAddr {
        local(self.other)
    }

    fn reload(&self, first: &str, second: &str) {
        let yaml = listening(&self.yaml, self.other, first, second);
        self.sidekey.configure(&yaml);
        self.sidekey.signal("HUP");
    }
}

fn listening(yaml: &str, other: u16, first: &str, second: &str) -> String {
    let listen = format!(
        "listen:\n  - {{address: 127.0.0.1:@PROXY@{first}}}\n  - {{address: 127.0.0.1:{other}{second}}}\n"
    );
    assert!(yaml.contains(PLAIN));
    yaml.replace(PLAIN, &listen)
}

/// What curl got, and with which status; a refusal as its code.
fn asked(arguments: &[&str]) -> String {
    let said = curled(&[&["-w", "\n%{http_code}"], arguments].concat());
    let (body, status) = said.rsplit_once('\n').unwrap();
    let problem: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let code = problem.and_then(|problem| problem["code"].as_str().map(str::to_owned));
    format!("{status} {}", code.as_deref().unwrap_or(body))
}

#[test]
fn each_listener_serves_its_own_routes_as_if_there_were_no_others() {
    let stage = Stage::new(", routes: [main]", ", routes: [named, deep]");
    let (first, second) = (stage.first(), stage.second());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let at = |address: SocketAddr, path: &str, more: &[&str]| {
            let url = format!("http://{address}{path}");
            asked(&[&[version, &*url], more].concat())
        };
        // The longer one is another listener's, and hides nothing here.
        assert_eq!(at(first, "/api/deep/x", &[]), "200 /main/deep/x");
        assert_eq!(at(second, "/api/deep/x", &[]), "200 /deep/x");
        // Nor does one that would ask for another method.
        assert_eq!(at(first, "/api/post/x", &[]), "200 /main/post/x");
        assert_eq!(at(second, "/api/x", &[]), "404 route_not_found");
        assert_eq!(at(second, "/api/post/x", &[]), "404 route_not_found");
        // Only hosts that the listener's own routes name are known to it.
        let host = ["-H", "Host: crm.example"];
        assert_eq!(at(first, "/api/x", &host), "403 caller_not_allowed");
        assert_eq!(at(second, "/x", &host), "200 /named/x");
    }
    let lines = [
        format!("http://{first} for applications (routes: main)"),
        format!("http://{second} for applications (routes: deep, named)"),
        "no listener serves the route `post`".to_owned(),
    ];
    for line in lines {
        eventually(&line, || stage.sidekey.logs().contains(&line));
    }
}

#[test]
fn a_listener_without_the_key_serves_all_of_them() {
    let stage = Stage::new("", ", routes: [deep]");
    let (first, second) = (stage.first(), stage.second());
    assert_eq!(get(first, "/api/deep/x").text(), "/deep/x");
    assert_eq!(get(first, "/api/x").text(), "/main/x");
    assert_eq!(get(first, "/api/post/x").status, 200);
    assert_eq!(get(second, "/api/deep/x").text(), "/deep/x");
    assert_eq!(get(second, "/api/x").problem(), "route_not_found");
    assert!(!stage.sidekey.logs().contains("no listener serves"));
}

#[test]
fn callers_that_take_it_for_their_proxy_find_its_own_routes_alone() {
    let intercept = "connect: {intercept: [crm.example], \
                     authority: {certificate: ca.pem, key: ca-key.pem}}";
    let stage = Stage::new(
        &format!(", {intercept}, routes: [main, post]"),
        &format!(", {intercept}, routes: [deep, named]"),
    );
    let trusted = stage.sidekey.folder().join("ca.pem");
    let trusted = trusted.to_str().unwrap();
    for (address, expected) in [
        (stage.first(), "404 route_not_found"),
        (stage.second(), "200 /named/x"),
    ] {
        let proxy = format!("http://{address}");
        let by = |url: &str| asked(&["--noproxy", "", "--cacert", trusted, "-x", &proxy, url]);
        assert_eq!(by("http://crm.example/x"), expected);
        assert_eq!(by("https://crm.example/x"), expected);
    }
    // Of the first alone `check` says so.
    let file = stage.sidekey.configuration();
    let (code, said) = run_to_end(&["check", "--config", file.to_str().unwrap()]);
    let unrouted = "crm.example is intercepted, and no route names it";
    assert_eq!((code, said.matches(unrouted).count()), (0, 1), "{said}");
}

#[test]
fn another_list_holds_from_the_next_request_on_also_on_open_connections() {
    let stage = Stage::new(", routes: [main]", ", routes: [post, named]");
    let address = stage.first();
    let mut by_1_1 = Conn::to(address);
    let mut by_2 = Frames::to(address);
    let authority = address.to_string();
    let mut stream = 1;
    let mut status_by_2 = |path: &str| {
        by_2.ask(stream, &by_http2(&authority, path));
        stream += 2;
        by_2.until(HEADERS).status()
    };
    assert_eq!(by_1_1.get("/api/deep/x").text(), "/main/deep/x");
    assert_eq!(status_by_2("/api/x"), 200);

    stage.reload(", routes: [deep]", ", routes: [post, named]");
    eventually("the other list", || {
        by_1_1.get("/api/deep/x").text() == "/deep/x"
    });
    assert_eq!(by_1_1.get("/api/x").problem(), "route_not_found");
    assert_eq!(status_by_2("/api/x"), 404);
    assert_eq!(status_by_2("/api/deep/x"), 200);
    let said = format!("at http://{address} the routes deep alone");
    eventually(&said, || stage.sidekey.logs().contains(&said));

    // The routes change, and the list does not.
    let moved = stage.yaml.replace("/deep/\"", "/deeper/\"");
    assert_ne!(moved, stage.yaml);
    let first = ", routes: [deep]";
    let yaml = listening(&moved, stage.other, first, "");
    stage.sidekey.configure(&yaml);
    stage.sidekey.signal("HUP");
    eventually("the other upstream", || {
        by_1_1.get("/api/deep/x").text() == "/deeper/x"
    });

    stage.reload("", "");
    eventually("all routes", || by_1_1.get("/api/x").text() == "/main/x");
    assert_eq!(status_by_2("/api/x"), 200);
    let said = format!("all routes at http://{address}");
    eventually(&said, || stage.sidekey.logs().contains(&said));
    let logs = stage.sidekey.logs();
    assert!(!logs.contains("listening on"), "{logs}");
}

#[test]
fn check_names_the_routes_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = Conf::at("http://127.0.0.1:1/", "http://127.0.0.1:1/").yaml();
    let yaml = yaml.replace("@ADMIN@", "7481");
    let check = |routes: &str| {
        let listen = format!("listen: [{{address: \"127.0.0.1:7480\", routes: {routes}}}]\n");
        let path = put(folder.path(), "sidekey.yaml", &yaml.replace(PLAIN, &listen));
        run_to_end(&["check", "--config", &path])
    };
    let (code, said) = check("[man]");
    assert_eq!(code, 1, "{said}");
    let mistake = "sidekey.yaml:1:47: error: no such route: `man`";
    assert!(said.contains(mistake), "{said}");
    assert!(said.contains("main"), "{said}");
    let (code, said) = check("[]");
    assert!(code == 1 && said.contains("names no route"), "{said}");
}
