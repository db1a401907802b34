//! Callers that take sidekey for their HTTP proxy: curl, Python, Node and Java
//! call `http://api.example.com/`, and the upstream is called by HTTPS with a
//! token; or have a tunnel to what the listener lists.

use crate::circuit::full;
use crate::support::authority::{Authority, TlsFront};
use crate::support::client::Conn;
use crate::support::outgoing::run_caller;
use crate::support::real::{file, python};
use crate::support::sidekey::Launch;
use crate::support::{Answer, AuthServer, Conf, Response, Server, Sidekey, eventually};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Parts {
    auth: AuthServer,
    api: Server,
    tls: TlsFront,
    sidekey: Sidekey,
}

/// sidekey with a route for `api.example.com`, whose upstream is a TLS server.
fn started() -> Parts {
    let auth = AuthServer::start();
    let live = auth.checker();
    let api = Server::start(move |request| {
        let said = format!("{} {} ", request.method, request.target);
        match live(request) {
            true => Answer::ok([said.as_bytes(), &request.body].concat()),
            false => Answer::rejected(),
        }
    });
    let authority = Authority::new("Works CA");
    let tls = TlsFront::start(&authority.issue(&["127.0.0.1"]), None, api.address);
    let conf = Conf::at(&auth.endpoint(), &format!("https://{}/", tls.address));
    let yaml = conf.route("tls: {ca: ca.pem}").yaml();
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: yaml.replace("path: /api/", "match: {host: api.example.com}"),
        files: vec![("ca.pem".into(), authority.pem.clone())],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    Parts {
        auth,
        api,
        tls,
        sidekey,
    }
}

impl Parts {
    fn proxy(&self) -> String {
        format!("http://{}", self.sidekey.proxy)
    }

    /// What came to the API carries our token, its own name, and nothing that was
    /// for the proxy.
    fn check_what_came(&self) {
        let requests = self.api.requests();
        assert!(!requests.is_empty());
        for request in requests {
            assert!(request.target.starts_with("/v1/"), "{request:?}");
            let authority = self.tls.address.to_string();
            assert_eq!(request.header("host"), Some(&*authority));
            assert!(request.bearer().is_some());
            for name in ["proxy-connection", "proxy-authorization", "http2-settings"] {
                assert_eq!(request.header(name), None, "{name}");
            }
        }
    }
}

/// The command without the machine's own proxies, and with `http_proxy`, if any.
fn run(command: &mut Command, http_proxy: Option<&str>) -> String {
    if let Some(proxy) = http_proxy {
        command.env("http_proxy", proxy);
    }
    let output = run_caller(command);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// One request, as it is written here.
fn ask(sidekey: &Sidekey, request: &str) -> Response {
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(request.replace('\n', "\r\n") + "\r\n");
    conn.response()
}

fn detail(answer: &Response) -> String {
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[test]
fn curl() {
    let parts = started();
    let proxy = parts.proxy();
    let url = "http://api.example.com/v1/x?y=z";
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "--max-time", "60"]);
        curl.args(["-x", &proxy]).args(arguments).arg(url);
        run(&mut curl, None)
    };
    assert_eq!(curl(&[]), "GET /v1/x?y=z ");
    parts.auth.revoke();
    assert_eq!(curl(&["-d", "a body"]), "POST /v1/x?y=z a body");
    assert_eq!(curl(&["-U", "user:password"]), "GET /v1/x?y=z ");
    assert_eq!(curl(&["-0"]), "GET /v1/x?y=z ", "HTTP/1.0");
    let mut by_environment = Command::new("curl");
    by_environment.args(["-sS", "--fail-with-body", "--max-time", "60", url]);
    assert_eq!(run(&mut by_environment, Some(&proxy)), "GET /v1/x?y=z ");
    parts.check_what_came();
}

#[test]
fn python_requests_and_urllib() {
    let parts = started();
    let mut command = python("callers/by_proxy.py");
    command.arg("http://api.example.com");
    assert_eq!(run(&mut command, Some(&parts.proxy())), "done\n");
    parts.check_what_came();
}

#[test]
fn node_http() {
    let parts = started();
    let mut node = Command::new("node");
    node.arg(file("callers/by_proxy.mjs"));
    node.args([&parts.proxy(), "http://api.example.com"]);
    assert_eq!(run(&mut node, None), "done\n");
    parts.check_what_came();
}

#[test]
fn java_http_client_and_url_connection() {
    let parts = started();
    let mut java = Command::new("java");
    java.arg(file("callers/ByProxy.java"));
    java.args([&parts.proxy(), "http://api.example.com"]);
    assert_eq!(run(&mut java, None), "done\n");
    parts.check_what_came();
}

#[test]
fn the_usual_port_may_be_written_or_not() {
    let parts = started();
    for (target, host, status) in [
        ("api.example.com:80", "api.example.com", 200),
        ("api.example.com", "api.example.com:80", 200),
        ("API.example.com", "api.example.com", 200),
        ("api.example.com", "other.example.com", 400),
        ("api.example.com:8080", "api.example.com", 400),
        ("user:password@api.example.com", "api.example.com", 400),
    ] {
        let request = format!("GET http://{target}/v1/x HTTP/1.1\nHost: {host}\n");
        let answer = ask(&parts.sidekey, &request);
        assert_eq!(answer.status, status, "{target} {host}: {}", answer.text());
    }
    parts.check_what_came();
    assert_eq!(parts.api.count(), 3);
}

#[test]
fn a_host_that_no_route_names_is_told_what_is_missing() {
    let parts = started();
    let request = "GET http://other.example.com/v1/x HTTP/1.1\nHost: other.example.com\n";
    let answer = ask(&parts.sidekey, request);
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(answer.problem(), "route_not_found");
    let said = detail(&answer);
    assert!(
        said.contains("match: {host: \"other.example.com\"}") && said.contains("no_proxy"),
        "{said}"
    );
    assert_eq!(parts.api.count(), 0);
}

/// What is meant for another host does not come to a route that has only a path.
#[test]
fn a_route_without_a_host_takes_no_other_hosts_requests() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).yaml();
    let named = format!(
        "  - {{match: {{host: api.example.com, path: /v1/}}, upstream: \"{}/\", account: one}}\n",
        upstream.url()
    );
    let sidekey = Sidekey::run_yaml(&(yaml + &named));
    for (host, path, status) in [
        ("api.example.com", "/v1/", 200),
        ("api.example.com", "/api/", 404),
        ("other.example.com", "/api/", 404),
        ("localhost", "/api/", 200),
    ] {
        let request = format!("GET http://{host}{path} HTTP/1.1\nHost: {host}\n");
        let answer = ask(&sidekey, &request);
        assert_eq!(answer.status, status, "{host}{path}: {}", answer.text());
    }
    assert_eq!(upstream.count(), 2);
}

/// A target may have a query, and no path (RFC 9112, 3.2.1): a server gets a slash.
#[test]
fn an_absolute_target_without_a_path_has_one_further_on() {
    let (auth, upstream) = (
        AuthServer::start(),
        Server::start(|_| Answer::ok("content")),
    );
    let yaml = Conf::new(&auth, &upstream).yaml();
    let named = format!(
        "  - {{match: {{host: api.example.com, path: /}}, upstream: \"{}/\", account: one}}\n",
        upstream.url()
    );
    let sidekey = Sidekey::run_yaml(&(yaml + &named));
    let request = "GET http://api.example.com?a=b HTTP/1.1\nHost: api.example.com\n";
    let answer = ask(&sidekey, request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.last().target, "/?a=b");
}

#[test]
fn connect_is_refused_with_what_to_do() {
    let parts = started();
    for host in ["api.example.com:443", "other.example.com:443"] {
        let request = format!("CONNECT {host} HTTP/1.1\nHost: {host}\n");
        let answer = ask(&parts.sidekey, &request);
        assert_eq!(answer.status, 405, "{}", answer.text());
        assert_eq!(answer.problem(), "method_not_allowed");
        let name = host.split(':').next().unwrap();
        let said = detail(&answer);
        assert!(said.contains(&format!("http://{name}/")), "{said}");
    }
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "60", "-x", &parts.proxy()]);
    let output = curl.arg("https://api.example.com/v1/x").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("405"), "{said}");
    assert_eq!(parts.api.count(), 0);
}

/// A server that says back what it is told, and how many have come.
struct Echo {
    address: SocketAddr,
    came: Arc<AtomicUsize>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::new(AtomicUsize::new(0));
        let counted = came.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut back = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut stream, &mut back);
                    let _ = back.shutdown(Shutdown::Write);
                });
            }
        });
        Self { address, came }
    }
}

/// The file with these lines under `connect`, and a listener in its long form.
fn tunnelling(auth: &AuthServer, connect: &str) -> String {
    let yaml = Conf::at(&auth.endpoint(), "http://127.0.0.1:1/").yaml();
    let listen = "listen: 127.0.0.1:@PROXY@\n";
    let long = format!("listen:\n  - address: 127.0.0.1:@PROXY@\n    connect: {connect}\n");
    assert!(yaml.contains(listen));
    yaml.replace(listen, &long)
}

/// Asks for a tunnel; its head is read where there is one.
fn connect(sidekey: &Sidekey, target: &str, behind: &str) -> (Conn, u16) {
    let mut conn = Conn::to(sidekey.proxy);
    conn.send(format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n{behind}"
    ));
    let head = conn.until("\r\n\r\n");
    conn.skip_head();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 200 {
        for framing in ["content-length", "transfer-encoding"] {
            assert!(!head.to_ascii_lowercase().contains(framing), "{head}");
        }
    }
    (conn, status)
}

#[test]
fn a_tunnel_carries_bytes_both_ways_to_what_is_listed() {
    let (auth, echo) = (AuthServer::start(), Echo::start());
    let list = format!("{{tunnel: [\"{}\"]}}", echo.address);
    let sidekey = Sidekey::run_yaml(&tunnelling(&auth, &list));
    let (mut conn, status) = connect(&sidekey, &echo.address.to_string(), "early;");
    assert_eq!(status, 200);
    assert_eq!(conn.exactly(6), b"early;");
    let much = "0123456789".repeat(100_000);
    for round in [much.as_str(), "\x00\u{ff}", much.as_str()] {
        conn.send(round);
        assert!(conn.exactly(round.len()) == round.as_bytes());
    }
    let open = || sidekey.metric("sidekey_tunnels_open", &[]);
    assert_eq!(open(), 1.0);
    drop(conn);
    let size = "early;".len() + 2 * much.len() + "\x00\u{ff}".len();
    let (target, bytes) = (
        format!(" CONNECT {} ", echo.address),
        format!(" received={size} sent={size}"),
    );
    eventually("the tunnel's line in the access log", || {
        let logs = sidekey.logs();
        let mut lines = logs.lines().filter(|line| line.contains(" 200 "));
        lines.any(|line| line.contains(&target) && line.contains(&bytes))
    });
    assert_eq!((open(), tunnels(&sidekey, "ended")), (0.0, 1.0));
    for way in ["from_caller", "to_caller"] {
        let carried = sidekey.metric("sidekey_tunnel_bytes_total", &[("direction", way)]);
        assert_eq!(carried, f64::from(u32::try_from(size).unwrap()));
    }
}

/// Those that are over, or came to nothing, in this way.
fn tunnels(sidekey: &Sidekey, outcome: &str) -> f64 {
    sidekey.metric("sidekey_tunnels_total", &[("outcome", outcome)])
}

#[test]
fn what_is_not_listed_is_refused_without_a_call() {
    let (auth, echo) = (AuthServer::start(), Echo::start());
    let port = echo.address.port();
    let list = format!("{{tunnel: [\"127.0.0.1:1\", \"*.example.org:{port}\"]}}");
    let sidekey = Sidekey::run_yaml(&tunnelling(&auth, &list));
    for target in [&*format!("127.0.0.1:{port}"), "example.com:443"] {
        let answer = ask(
            &sidekey,
            &format!("CONNECT {target} HTTP/1.1\nHost: {target}\n"),
        );
        assert_eq!(
            (answer.status, answer.problem()),
            (405, "method_not_allowed")
        );
        assert!(detail(&answer).contains("connect.tunnel"));
    }
    for (request, status) in [
        ("CONNECT 127.0.0.1:1 HTTP/1.1\nHost: other:1\n", 400),
        ("CONNECT 127.0.0.1:1 HTTP/1.1\n", 400),
        (
            "CONNECT 127.0.0.1:1 HTTP/1.1\nHost: 127.0.0.1:1\nContent-Length: 0\n",
            400,
        ),
        // Nobody listens there.
        ("CONNECT 127.0.0.1:1 HTTP/1.1\nHost: 127.0.0.1:1\n", 502),
        ("CONNECT 127.0.0.1:1 HTTP/1.0\n", 502),
    ] {
        assert_eq!(ask(&sidekey, request).status, status, "{request}");
    }
    assert_eq!(tunnels(&sidekey, "refused"), 5.0);
    assert_eq!(tunnels(&sidekey, "unreachable"), 2.0);
    assert_eq!(echo.came.load(Ordering::SeqCst), 0);
}

#[test]
fn a_caller_that_hangs_up_before_its_tunnel_is_made_is_counted() {
    let auth = AuthServer::start();
    let (listener, _queued) = full();
    let target = listener.local_addr().unwrap();
    let list = format!("{{tunnel: [\"{target}\"], connect_timeout: 60s}}");
    let yaml = tunnelling(&auth, &list) + "workers: {count: 1}\n";
    let sidekey = Sidekey::run_yaml(&yaml);
    let mut caller = Conn::to(sidekey.proxy);
    caller.send(format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
    ));
    eventually("it was taken", || {
        sidekey.metric("sidekey_connections", &[]) == 1.0
    });
    // The one worker has taken up what came before these.
    for _ in 0..3 {
        assert_eq!(sidekey.get("/nowhere").status, 404);
    }
    drop(caller);
    eventually("its count", || tunnels(&sidekey, "lost") == 1.0);
}

#[test]
fn a_pattern_leads_to_no_address_of_this_machine() {
    let (auth, echo) = (AuthServer::start(), Echo::start());
    let list = format!("{{tunnel: [\"*.0.0.1:{}\"]}}", echo.address.port());
    let sidekey = Sidekey::run_yaml(&tunnelling(&auth, &list));
    let target = echo.address;
    let answer = ask(
        &sidekey,
        &format!("CONNECT {target} HTTP/1.1\nHost: {target}\n"),
    );
    assert_eq!(answer.problem(), "upstream_unreachable");
    assert!(detail(&answer).contains("list the host itself"));
    assert_eq!(echo.came.load(Ordering::SeqCst), 0);
}

#[test]
fn a_silent_tunnel_ends_and_so_does_one_when_the_process_drains() {
    let (auth, echo) = (AuthServer::start(), Echo::start());
    let list = format!(
        "{{tunnel: [\"{}\"], tunnel_idle_timeout: 200ms}}",
        echo.address
    );
    let sidekey = Sidekey::run_yaml(&tunnelling(&auth, &list));
    let (mut conn, status) = connect(&sidekey, &echo.address.to_string(), "");
    assert_eq!(status, 200);
    assert!(conn.closed(), "silent for too long");
    eventually("its count", || tunnels(&sidekey, "idle") == 1.0);

    let list = format!("{{tunnel: [\"{}\"]}}", echo.address);
    let yaml = tunnelling(&auth, &list) + "drain: {timeout: 1s}\n";
    let mut sidekey = Sidekey::run_yaml(&yaml);
    let (mut conn, status) = connect(&sidekey, &echo.address.to_string(), "x");
    assert_eq!((status, conn.exactly(1)), (200, b"x".to_vec()));
    sidekey.signal("TERM");
    assert!(conn.closed(), "the process ends");
    sidekey.ended();
}

#[test]
fn a_reload_changes_what_may_be_reached() {
    let (auth, echo) = (AuthServer::start(), Echo::start());
    let target = echo.address.to_string();
    let sidekey = Sidekey::run_yaml(&tunnelling(&auth, "{tunnel: [\"127.0.0.1:1\"]}"));
    assert_eq!(connect(&sidekey, &target, "").1, 405);
    let list = format!("{{tunnel: [\"{target}\"]}}");
    sidekey.configure(&tunnelling(&auth, &list));
    sidekey.signal("HUP");
    eventually("the new list", || connect(&sidekey, &target, "").1 == 200);
}

/// The answer comes by HTTPS from the API itself, which sees no token of ours.
#[test]
fn curl_calls_https_through_a_tunnel() {
    let auth = AuthServer::start();
    let api = Server::start(|_| Answer::ok("from the API"));
    let authority = Authority::new("Works CA");
    let tls = TlsFront::start(&authority.issue(&["127.0.0.1"]), None, api.address);
    let list = format!("{{tunnel: [\"{}\"]}}", tls.address);
    let sidekey = Sidekey::run_yaml(&tunnelling(&auth, &list));
    sidekey.put("ca.pem", &authority.pem);
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--fail",
        "--max-time",
        "60",
        "--noproxy",
        "",
        "--cacert",
    ]);
    curl.arg(sidekey.folder().join("ca.pem"));
    curl.arg("-x").arg(format!("http://{}", sidekey.proxy));
    curl.arg(format!("https://{}/", tls.address));
    assert_eq!(run(&mut curl, None), "from the API");
    assert_eq!(api.only().bearer(), None);
}
