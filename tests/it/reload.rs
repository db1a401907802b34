//! The configuration is read again while requests run.

use crate::support::sidekey::Launch;
use crate::support::{
    Answer, AuthServer, Conf, Conn, Gate, Server, Sidekey, eventually, free_port, get, local,
};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

const RELOADS: &str = "sidekey_config_reloads_total";
const LAST: &str = "sidekey_config_last_reload_successful";

fn reloads(sidekey: &Sidekey, result: &str) -> f64 {
    sidekey.metric(RELOADS, &[("result", result)])
}

/// Sends SIGHUP and waits for the end of what it leads to.
fn hang_up(sidekey: &Sidekey) {
    let before = sidekey.metric(RELOADS, &[]);
    sidekey.signal("HUP");
    eventually("a reload", || sidekey.metric(RELOADS, &[]) > before);
}

/// A line is written behind what it tells of.
fn logs_say(sidekey: &Sidekey, what: &str) {
    eventually(what, || sidekey.logs().contains(what));
}

/// Puts another configuration there and waits until it was read.
fn have_read(sidekey: &Sidekey, yaml: &str) {
    sidekey.configure(yaml);
    hang_up(sidekey);
    // That may have been a reading that had begun before: the next one has not.
    hang_up(sidekey);
}

/// One more route of the account.
fn with_route(yaml: &str, path: &str, upstream: &Server) -> String {
    format!(
        "{yaml}  - {{name: \"more {path}\", path: {path}, upstream: \"{}/\", account: one}}\n",
        upstream.url()
    )
}

struct Stage {
    auth: AuthServer,
    upstream: Server,
    yaml: String,
    sidekey: Sidekey,
}

impl Stage {
    fn new(change: impl FnOnce(Conf) -> Conf) -> Self {
        let auth = AuthServer::start();
        let upstream = auth.upstream();
        let yaml = change(Conf::new(&auth, &upstream)).yaml();
        let sidekey = Sidekey::run_yaml(&yaml);
        Self {
            auth,
            upstream,
            yaml,
            sidekey,
        }
    }

    fn get(&self, target: &str) -> u16 {
        self.sidekey.get(target).status
    }

    /// Writes another configuration and has it read at once.
    fn read(&self, yaml: &str) {
        have_read(&self.sidekey, yaml);
    }
}

#[test]
fn sighup_adds_a_route_and_the_account_keeps_its_token() {
    let stage = Stage::new(|conf| conf);
    assert_eq!(stage.get("/more/"), 404);
    stage.read(&with_route(&stage.yaml, "/more/", &stage.upstream));
    assert_eq!(stage.get("/more/"), 200);
    assert_eq!(stage.get("/api/"), 200);
    assert_eq!(stage.auth.count(), 1, "the token is the one from the start");
    logs_say(&stage.sidekey, "routes: 1 added");
    stage.read(&stage.yaml);
    assert_eq!(stage.get("/more/"), 404, "and is gone again");
    assert_eq!(stage.auth.count(), 1);
}

#[test]
fn a_changed_file_is_noticed() {
    let stage = Stage::new(|conf| conf);
    let more = with_route(&stage.yaml, "/more/", &stage.upstream);
    stage.sidekey.configure(&more);
    eventually("the route", || stage.get("/more/") == 200);
    eventually("a count of it", || {
        reloads(&stage.sidekey, "success") >= 1.0
    });
}

#[test]
fn kubernetes_swaps_configuration_and_secret() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).yaml();
    let yaml = yaml.replace("{env: TEST_CLIENT_SECRET}", "{file: secret}");
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: yaml.clone(),
        files: vec![("secret".into(), "first".into())],
        mounted: true,
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    sidekey.mount(
        &with_route(&yaml, "/more/", &upstream),
        &[("secret", "first")],
    );
    eventually("the route", || sidekey.get("/more/").status == 200);
    assert_eq!(auth.count(), 1);
    sidekey.mount(
        &with_route(&yaml, "/more/", &upstream),
        &[("secret", "second")],
    );
    eventually("a token by the new secret", || auth.count() == 2);
    eventually("the reload", || reloads(&sidekey, "success") >= 2.0);
    assert_eq!(sidekey.get("/more/").status, 200);
}

#[test]
fn a_bad_file_changes_nothing_and_everybody_is_told() {
    let stage = Stage::new(|conf| conf);
    let sidekey = &stage.sidekey;
    assert_eq!(sidekey.metric(LAST, &[]), 1.0);
    let bad =
        with_route(&stage.yaml, "/more/", &stage.upstream).replace("path: /more/", "pth: /more/");
    stage.read(&bad);
    assert_eq!(reloads(sidekey, "success"), 0.0);
    assert!(reloads(sidekey, "failure") >= 1.0);
    assert_eq!(sidekey.metric(LAST, &[]), 0.0);
    assert_eq!((stage.get("/api/"), stage.get("/more/")), (200, 404));
    let config = sidekey.api("GET", "/api/config", "").json();
    assert_eq!(config["last_reload"]["successful"], false);
    let said = config["last_reload"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    for part in ["pth", "`path`", "sidekey.yaml:"] {
        assert!(said.contains(part), "{part}: {said}");
        logs_say(sidekey, part);
    }
    let page = overview(sidekey);
    assert!(
        page.contains("can't be used") || page.contains("can&#39;t be used"),
        "{page}"
    );
    assert!(page.contains("pth"), "{page}");
    stage.read(&stage.yaml);
    assert_eq!(sidekey.metric(LAST, &[]), 1.0);
    let config = sidekey.api("GET", "/api/config", "").json();
    assert_eq!(config["last_reload"]["successful"], true);
    assert!(!overview(sidekey).contains("pth"));
}

/// The page with all accounts, as somebody sees it who has the admin token.
fn overview(sidekey: &Sidekey) -> String {
    let link = sidekey.api("POST", "/api/links", "").json();
    let path = link["url"]
        .as_str()
        .unwrap()
        .split_once("/session/")
        .unwrap()
        .1
        .to_owned();
    let opened = get(sidekey.admin, &format!("/session/{path}"));
    let cookie = opened
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let headers = [("Cookie", cookie.as_str())];
    crate::support::call(sidekey.admin, "GET", "/", &headers, b"").text()
}

#[test]
fn what_takes_effect_at_the_next_start_only_is_said() {
    let stage = Stage::new(|conf| conf);
    let yaml = stage
        .yaml
        .replace("store: {memory: true}", "store: {path: other.db}");
    stage.read(&format!("workers: {{count: 7}}\n{yaml}"));
    let config = stage.sidekey.api("GET", "/api/config", "").json();
    assert_eq!(
        config["needs_restart"],
        serde_json::json!(["store", "workers"])
    );
    let said = "next start only, and stay as they were: store, workers";
    logs_say(&stage.sidekey, said);
    assert_eq!(stage.get("/api/"), 200);
}

#[test]
fn running_requests_are_not_disturbed() {
    let auth = AuthServer::start();
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let upstream = Server::start(move |request| match request.method.as_str() {
        "GET" => Answer::ok("x".repeat(1 << 20)).halfway(&at_gate),
        _ => Answer::ok(request.body.clone()),
    });
    let yaml = Conf::new(&auth, &upstream).yaml();
    let sidekey = Sidekey::run_yaml(&yaml);
    let mut download = Conn::to(sidekey.proxy);
    download.send(format!(
        "GET /api/ HTTP/1.1\r\nHost: {}\r\n\r\n",
        sidekey.proxy
    ));
    eventually("half of the download", || gate.came() == 1);
    let mut upload = Conn::to(sidekey.proxy);
    let length = 1 << 20;
    upload.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n",
        sidekey.proxy
    ));
    upload.send("y".repeat(length / 2));
    eventually("the upload's connection", || upstream.open() == 2);
    // Its route changes, then goes altogether.
    have_read(&sidekey, &format!("{yaml}    timeout: 7s\n"));
    let elsewhere = Server::start(|_| Answer::ok("elsewhere"));
    let other = yaml.replace("path: /api/", "path: /other/");
    have_read(&sidekey, &other.replace(&upstream.url(), &elsewhere.url()));
    assert_eq!(sidekey.get("/api/").status, 404);
    upload.send("y".repeat(length / 2));
    let answer = upload.response();
    assert_eq!((answer.status, answer.body.len()), (200, length));
    gate.open();
    let answer = download.response();
    assert_eq!((answer.status, answer.body.len()), (200, 1 << 20));
    assert_eq!(
        download.get("/api/").status,
        404,
        "the connection goes on, by the new routes"
    );
    let unused = "no connection left to where no route leads any more";
    eventually(unused, || upstream.open() == 0);
}

#[test]
fn a_changed_client_secret_brings_a_new_token_and_the_old_one_serves_meanwhile() {
    let stage = Stage::new(|conf| conf);
    let old = stage.auth.token();
    let held = stage.auth.hold();
    let secret = stage
        .yaml
        .replace("{env: TEST_CLIENT_SECRET}", "another-secret");
    stage.read(&secret);
    eventually("the request for a token", || held.came() == 1);
    assert_eq!(stage.get("/api/"), 200);
    assert_eq!(stage.upstream.last().bearer(), Some(old.as_str()));
    held.open();
    eventually("the new token", || {
        stage.get("/api/");
        stage.upstream.last().bearer() == Some(stage.auth.token().as_str())
    });
    assert_eq!(stage.auth.count(), 2);
    assert_ne!(stage.auth.token(), old);
}

#[test]
fn another_client_starts_anew_and_a_changed_template_keeps_the_token() {
    let mut stage = Stage::new(|conf| conf);
    let elsewhere = Server::start(|_| Answer::ok("content"));
    stage.yaml = stage.yaml.replace(&stage.upstream.url(), &elsewhere.url());
    let first = stage.auth.token();
    let template = stage.yaml.replace(
        "    oauth2:\n",
        "    token: {in: header, name: X-Token, value: \"T {token}\"}\n    oauth2:\n",
    );
    stage.read(&template);
    stage.get("/api/");
    let sent = elsewhere.last();
    assert_eq!(sent.header("x-token"), Some(format!("T {first}").as_str()));
    assert_eq!(stage.auth.count(), 1);
    stage.read(
        &stage
            .yaml
            .replace("client_id: \"the client\"", "client_id: other"),
    );
    eventually("a token of the other client", || stage.get("/api/") == 200);
    assert_eq!(stage.auth.count(), 2);
    let second = stage.auth.token();
    assert_eq!(elsewhere.last().bearer(), Some(second.as_str()));
    assert_ne!(first, second);
}

#[test]
fn a_removed_account_takes_its_route_along() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).yaml();
    let two = with_route(&yaml, "/two/", &upstream).replace("account: one}", "account: two}");
    let two = two.replace("routes:\n", "  - {key: two, integration: test}\nroutes:\n");
    let sidekey = Sidekey::run_yaml(&two);
    assert_eq!(sidekey.get("/two/").status, 200);
    have_read(&sidekey, &yaml);
    let gone = sidekey.get("/two/");
    assert_eq!(
        (gone.status, gone.header("sidekey-error")),
        (404, Some("route_not_found"))
    );
    assert_eq!(sidekey.api("GET", "/api/accounts/two", "").status, 404);
    assert_eq!(sidekey.get("/api/").status, 200);
    have_read(&sidekey, &two);
    assert_eq!(sidekey.get("/two/").status, 200, "and comes back");
}

#[test]
fn listeners_come_and_go() {
    let auth = AuthServer::start();
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let upstream = Server::start(move |request| match request.target.as_str() {
        "/slow" => Answer::ok("first half, second half").halfway(&at_gate),
        _ => Answer::ok("content"),
    });
    let yaml = Conf::new(&auth, &upstream).yaml();
    let sidekey = Sidekey::run_yaml(&yaml);
    let port = free_port();
    let two = yaml.replace(
        "listen: 127.0.0.1:@PROXY@\n",
        &format!("listen:\n  - address: 127.0.0.1:@PROXY@\n  - address: 127.0.0.1:{port}\n"),
    );
    have_read(&sidekey, &two);
    assert_eq!(get(local(port), "/api/").status, 200);
    let mut slow = Conn::to(local(port));
    slow.send(format!(
        "GET /api/slow HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    ));
    let mut idle = Conn::to(local(port));
    assert_eq!(idle.get("/api/").status, 200);
    let mut staying = Conn::to(sidekey.proxy);
    assert_eq!(staying.get("/api/").status, 200);
    eventually("half of the response", || gate.came() == 1);
    have_read(&sidekey, &yaml);
    eventually("no new connections", || {
        TcpStream::connect(local(port)).is_err()
    });
    assert!(idle.closed());
    gate.open();
    assert_eq!(slow.response().text(), "first half, second half");
    assert!(slow.closed());
    assert_eq!(
        staying.get("/api/").status,
        200,
        "the other listener goes on"
    );
    have_read(&sidekey, &two);
    assert_eq!(get(local(port), "/api/").status, 200, "and it is back");
}

#[test]
fn a_listener_that_can_t_be_had_changes_nothing() {
    let stage = Stage::new(|conf| conf);
    let taken = stage.upstream.address.port();
    let two = stage.yaml.replace(
        "listen: 127.0.0.1:@PROXY@\n",
        &format!("listen:\n  - address: 127.0.0.1:@PROXY@\n  - address: 127.0.0.2:@ADMIN@\n  - address: 127.0.0.1:{taken}\n"),
    );
    let elsewhere = Server::start(|_| Answer::ok("elsewhere"));
    let two = two.replace(&stage.upstream.url(), &elsewhere.url());
    stage.read(&with_route(&two, "/more/", &elsewhere));
    assert!(reloads(&stage.sidekey, "failure") >= 1.0);
    logs_say(&stage.sidekey, &format!("127.0.0.1:{taken} is in use"));
    assert_eq!((stage.get("/api/"), stage.get("/more/")), (200, 404));
    let wider = stage
        .yaml
        .replace("listen: 127.0.0.1:@PROXY@", "listen: 0.0.0.0:@PROXY@");
    stage.read(&wider);
    logs_say(&stage.sidekey, "in use by sidekey itself");
    assert_eq!(stage.get("/api/"), 200);
}

#[test]
fn hosts_of_a_listener_and_the_admin_token_change() {
    let stage = Stage::new(|conf| conf);
    let host = [("Host", "app.test")];
    let by_name = || crate::support::call(stage.sidekey.proxy, "GET", "/api/", &host, b"").status;
    assert_eq!(by_name(), 403);
    let mut before = Conn::to(stage.sidekey.proxy);
    assert_eq!(before.get("/api/").status, 200);
    let yaml = stage.yaml.replace(
        "listen: 127.0.0.1:@PROXY@\n",
        "listen: [{address: \"127.0.0.1:@PROXY@\", hosts: [app.test]}]\n",
    );
    let yaml = yaml.replace("admin: {", "admin: {token: {file: admin}, ");
    stage.sidekey.put("admin", "first-token");
    stage.read(&yaml);
    assert_eq!(by_name(), 200);
    assert!(before.closed(), "it let in others");
    let status = |token: &str| {
        let bearer = format!("Bearer {token}");
        let fields = [("Authorization", bearer.as_str())];
        crate::support::call(stage.sidekey.admin, "GET", "/api/accounts", &fields, b"").status
    };
    assert_eq!((status("first-token"), status("second-token")), (200, 401));
    let link = crate::support::call(
        stage.sidekey.admin,
        "POST",
        "/api/links",
        &[("Authorization", "Bearer first-token")],
        b"",
    );
    stage.sidekey.put("admin", "second-token");
    eventually("the other token", || status("second-token") == 200);
    assert_eq!(status("first-token"), 401);
    let link = link.json()["url"].as_str().unwrap().to_owned();
    let path = link.split_once("/session/").unwrap().1;
    let opened = get(stage.sidekey.admin, &format!("/session/{path}"));
    assert!(
        opened.header("set-cookie").is_none(),
        "a link of the old token"
    );
}

/// What keeps a few clients busy until it is told to end.
struct Load {
    end: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Load {
    fn on(address: SocketAddr) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let clients = (0..4).map(|number| {
            let end = end.clone();
            std::thread::spawn(move || {
                let mut answered = 0;
                let mut conn = Conn::to(address);
                while !end.load(Ordering::Relaxed) {
                    // Half of them with a connection for each request.
                    if number % 2 == 0 {
                        conn = Conn::to(address);
                    }
                    let answer = conn.get("/api/");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answered += 1;
                }
                answered
            })
        });
        Self {
            clients: clients.collect(),
            end,
        }
    }

    /// How many requests were answered with 200, which is all of them.
    fn ended(self) -> usize {
        self.end.store(true, Ordering::Relaxed);
        let counts = self
            .clients
            .into_iter()
            .map(|client| client.join().unwrap());
        counts.sum()
    }
}

#[test]
fn two_hundred_reloads_under_load_lose_nothing_and_hold_nothing() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).log("{access: false}").yaml();
    let sidekey = Sidekey::run_yaml(&yaml);
    let port = free_port();
    // One state has a route, an account and a listener more; each reload brings
    // the lasting account another secret, and the other one another client.
    let state = |number: usize| {
        let secret = format!("secret-{number}");
        let yaml = yaml.replace("{env: TEST_CLIENT_SECRET}", &secret);
        if number.is_multiple_of(2) {
            return yaml;
        }
        let more = with_route(&yaml, "/more/", &upstream).replace("account: one}", "account: two}");
        more.replace("routes:\n", "  - {key: two, integration: other}\nroutes:\n").replace(
            "integrations:\n",
            &format!(
                "integrations:\n  - {{key: other, oauth2: {{token_endpoint: \"{}\", grant_type: \
                 client_credentials, client_id: c{number}, client_secret: s}}}}\n",
                auth.endpoint()
            ),
        ).replace(
            "listen: 127.0.0.1:@PROXY@\n",
            &format!("listen:\n  - address: 127.0.0.1:@PROXY@\n  - address: 127.0.0.1:{port}\n"),
        )
    };
    let load = Load::on(sidekey.proxy);
    let reload = |number| {
        sidekey.configure(&state(number));
        hang_up(&sidekey);
    };
    (0..60).for_each(reload);
    let (memory, files) = (sidekey.memory("VmRSS"), sidekey.open_files());
    (60..260).for_each(reload);
    assert!(load.ended() > 260);
    assert!(reloads(&sidekey, "success") >= 260.0);
    assert_eq!(reloads(&sidekey, "failure"), 0.0, "{}", sidekey.logs());
    // What the last requests had is given back in a moment; what leaks is not.
    eventually("the files to be closed", || {
        let after = sidekey.open_files();
        eprintln!("files: {files}, then {after}");
        after <= files + 8
    });
    eventually("the memory to be given back", || {
        let after = sidekey.memory("VmRSS");
        eprintln!("memory: {memory} KiB, then {after} KiB");
        after <= memory + 2048
    });
}

#[test]
fn a_route_waits_for_an_account_that_is_created_while_it_runs() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream)
        .store("{path: store.db, key: {generate: true}}")
        .integration("parameters: [tenant]")
        .oauth2("token_parameters: {tenant: \"{tenant}\"}")
        .yaml();
    let yaml = yaml.replace(
        "integration: test}",
        "integration: test, parameters: {tenant: a}}",
    );
    let mut sidekey = Sidekey::run_yaml(&yaml);
    let create = |sidekey: &Sidekey, key: &str| {
        let body =
            format!(r#"{{"key":"{key}","integration":"test","parameters":{{"tenant":"b"}}}}"#);
        assert_eq!(sidekey.api("POST", "/api/accounts", &body).status, 201);
    };
    create(&sidekey, "early");
    let more = ["early", "late"].map(|account| {
        format!(
            "  - {{path: /{account}/, upstream: \"{}/{{tenant}}/\", account: {account}, integration: test}}\n",
            upstream.url()
        )
    });
    have_read(&sidekey, &format!("{yaml}{}", more.concat()));
    assert_eq!(
        sidekey.get("/early/x").status,
        200,
        "created before the route was there"
    );
    assert_eq!(upstream.last().target, "/b/x");
    let waiting = |sidekey: &Sidekey| {
        let answer = sidekey.get("/late/x");
        let code = answer.header("sidekey-error").map(str::to_owned);
        (answer.status, code.unwrap_or_default())
    };
    let refused = (503, "account_not_connected".to_owned());
    assert_eq!(waiting(&sidekey), refused);
    create(&sidekey, "late");
    eventually("its account", || waiting(&sidekey).0 == 200);
    assert_eq!(upstream.last().target, "/b/x");
    sidekey.restart();
    assert_eq!(waiting(&sidekey).0, 200, "also after a restart");
    assert_eq!(sidekey.api("DELETE", "/api/accounts/late", "").status, 200);
    eventually("no account", || waiting(&sidekey) == refused);
    assert_eq!(sidekey.get("/early/x").status, 200);
}
