//! Traces, as a real collector's decoder sees them.

use crate::support::client::call;
use crate::support::frames::{Frames, get};
use crate::support::real::file;
use crate::support::sidekey::Launch;
use crate::support::{
    Answer, AuthServer, Conf, Conn, Gate, Server, Sidekey, eventually, eventually_some, free_port,
    local,
};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const SPANS: &str = "sidekey_spans_total";

/// `tests/real/otlp.py`, which decodes with OpenTelemetry's own code.
struct Collector {
    child: Child,
    port: u16,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start() -> Self {
        let mut child = Command::new(file(".venv/bin/python"))
            .arg(file("otlp.py"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().expect("a port").unwrap().parse().unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let shared = spans.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let span = serde_json::from_str(&line).unwrap();
                shared.lock().unwrap().push(span);
            }
        });
        Self { child, port, spans }
    }

    /// Only what callers record.
    fn of(&self, conf: Conf) -> Conf {
        conf.top(&traces(self.port, "ratio: 0"))
    }

    fn every(&self, conf: Conf) -> Conf {
        conf.top(&traces(self.port, "ratio: 1"))
    }

    fn all(&self) -> Vec<Value> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of a trace once its server span is here, that one first.
    fn trace(&self, id: &str) -> Vec<Value> {
        eventually_some("a server span", || {
            let all = self.all().into_iter().filter(|s| s["trace"] == id);
            let (servers, mut others): (Vec<_>, Vec<_>) = all.partition(|s| s["kind"] == 2);
            assert!(servers.len() < 2, "{servers:?}");
            let mut spans = servers;
            if spans.is_empty() {
                return None;
            }
            others.sort_by_key(|s| s["start"].as_u64());
            spans.extend(others);
            Some(spans)
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that refuses connections, and that nobody else gets meanwhile.
struct Closed {
    port: u16,
    _bound: Socket,
}

impl Closed {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&local(0).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self {
            port: address.port(),
            _bound: socket,
        }
    }
}

fn traces(port: u16, more: &str) -> String {
    format!("traces: {{endpoint: \"http://127.0.0.1:{port}\", {more}}}")
}

fn parent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CALLER}-{flags}")
}

fn traced(sidekey: &Sidekey, target: &str, traceparent: &str) -> u16 {
    let fields = [("traceparent", traceparent), ("tracestate", "a=1,b=2")];
    call(sidekey.proxy, "GET", target, &fields, b"").status
}

/// Trace, span and flags of what the upstream got.
fn received(request: &crate::support::http::Request) -> (String, String, String) {
    let traceparent = request.header("traceparent").expect("a traceparent");
    let fields: Vec<_> = traceparent.split('-').map(str::to_owned).collect();
    let [version, trace, span, flags] = fields.try_into().unwrap();
    assert_eq!(version, "00");
    (trace, span, flags)
}

#[test]
fn a_request_is_a_server_span_with_a_client_span_below() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let more = "ratio: 0, service_name: here, resource: {team.name: blue}, \
                headers: {x-api-key: {file: collector-key}}";
    let conf = Conf::new(&auth, &upstream).top(&traces(collector.port, more));
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: conf.log("{format: json}").yaml(),
        files: vec![("collector-key".into(), "the key\n".into())],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    let fields = [
        ("traceparent", &*parent(TRACE, "01")),
        ("tracestate", "a=1,b=2"),
        ("user-agent", "the caller/1"),
    ];
    let target = "/api/items/7?token=of-the-caller";
    assert_eq!(call(sidekey.proxy, "GET", target, &fields, b"").status, 200);

    let (trace, span, flags) = received(&upstream.only());
    assert_eq!((&*trace, &*flags), (TRACE, "01"));
    assert_eq!(upstream.only().header("tracestate"), Some("a=1,b=2"));
    let spans = collector.trace(TRACE);
    let [server, client] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(
        (&server["parent"], &server["name"]),
        (&json!(CALLER), &json!("GET /api"))
    );
    assert_eq!(
        server["attributes"],
        json!({
            "http.request.method": "GET", "url.scheme": "http", "url.path": "/api/items/7",
            "client.address": "127.0.0.1", "network.protocol.version": "1.1",
            "http.response.status_code": 200, "server.address": "127.0.0.1",
            "server.port": sidekey.proxy.port(), "user_agent.original": "the caller/1",
            "http.route": "/api", "sidekey.route": "main", "sidekey.account": "one",
        })
    );
    assert_eq!(
        (&client["parent"], &client["span"], &client["name"]),
        (&server["span"], &json!(span), &json!("GET"))
    );
    assert_eq!(client["kind"], 3);
    let port: u16 = upstream.url().rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(
        client["attributes"],
        json!({
            "http.request.method": "GET", "url.scheme": "http",
            "url.full": format!("http://127.0.0.1:{port}/items/7"),
            "server.address": "127.0.0.1", "server.port": port,
            "http.response.status_code": 200, "network.protocol.version": "1.1",
        })
    );
    for span in &spans {
        assert_eq!(
            (&span["state"], &span["status"]),
            (&json!("a=1,b=2"), &json!(0))
        );
        assert!(span["start"].as_u64() > Some(1_700_000_000_000_000_000));
        assert!(span["start"].as_u64() <= span["end"].as_u64());
        assert_eq!(span["headers"]["x-api-key"], "the key");
        assert_eq!(span["resource"]["service.name"], "here");
        assert_eq!(span["resource"]["team.name"], "blue");
    }
    assert!(server["start"].as_u64() <= client["start"].as_u64());
    assert!(client["end"].as_u64() <= server["end"].as_u64());
    eventually("the access log's line", || {
        let name = format!("\"trace_id\":\"{TRACE}\"");
        sidekey.logs().lines().any(|l| l.contains(&name))
    });
    assert!(!sidekey.logs().contains("the key"));
}

#[test]
fn a_request_by_http_2_says_so() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&collector.of(Conf::new(&auth, &upstream)));
    let curl = Command::new("curl")
        .args(["-sS", "--fail", "--noproxy", "*", "--http2-prior-knowledge"])
        .args(["-H", &format!("traceparent: {}", parent(TRACE, "01"))])
        .arg(format!("http://{}/api/x", sidekey.proxy))
        .output()
        .unwrap();
    assert!(curl.status.success(), "{curl:?}");
    let spans = collector.trace(TRACE);
    let version = |span: &Value| span["attributes"]["network.protocol.version"].clone();
    assert_eq!(
        (version(&spans[0]), version(&spans[1])),
        (json!("2"), json!("1.1"))
    );
    let port = &spans[0]["attributes"]["server.port"];
    assert_eq!(*port, sidekey.proxy.port());
}

/// By HTTP/1.1 the connection ends, by HTTP/2 its stream is reset.
#[test]
fn a_caller_that_hangs_up_leaves_spans_that_say_so() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Server::start(move |_| Answer::ok("late").after(&held));
    let sidekey = Sidekey::run(&collector.of(Conf::new(&auth, &upstream)));
    let has_come = |n| eventually("the request", || upstream.count() == n);

    let mut caller = Conn::to(sidekey.proxy);
    let traceparent = parent(TRACE, "01");
    caller.send(format!(
        "GET /api/x?secret HTTP/1.1\r\nHost: {}\r\ntraceparent: {traceparent}\r\n\r\n",
        sidekey.proxy
    ));
    has_come(1);
    drop(caller);
    let spans = collector.trace(TRACE);
    let [server, client] = &spans[..] else {
        panic!("{spans:?}")
    };
    for span in &spans {
        let attributes = &span["attributes"];
        assert_eq!(attributes["error.type"], "caller_gone", "{span}");
        assert!(attributes.get("http.response.status_code").is_none());
        assert_eq!(span["status"], 2);
    }
    assert_eq!(server["name"], "GET /api");
    assert_eq!(server["attributes"]["sidekey.route"], "main");
    assert_eq!(client["parent"], server["span"]);
    let (_, span, _) = received(&upstream.only());
    assert_eq!(client["span"], json!(span));

    let other = "1af7651916cd43dd8448eb211c80319c";
    let (authority, traceparent) = (sidekey.proxy.to_string(), parent(other, "01"));
    let mut frames = Frames::to(sidekey.proxy);
    let mut head = get(&authority, "/api/y");
    head.push(("traceparent", &traceparent));
    frames.ask(1, &head);
    has_come(2);
    frames.reset(1, 8);
    let spans = collector.trace(other);
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0]["attributes"]["error.type"], "caller_gone");
    assert_eq!(spans[0]["attributes"]["network.protocol.version"], "2");
    gate.open();
}

#[test]
fn the_span_of_one_that_hung_up_names_the_address_in_use() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let gate = Gate::closed();
    let held = gate.clone();
    let second = Server::start(move |_| Answer::ok("late").after(&held));
    // Nobody listens at the first.
    let urls = format!("[\"http://{}/\", \"{}/\"]", local(1), second.url());
    let conf = Conf::at(&auth.endpoint(), &urls).top("workers: {count: 1}");
    let sidekey = Sidekey::run(&collector.of(conf));
    let mut caller = Conn::to(sidekey.proxy);
    caller.send(format!(
        "GET /api/x HTTP/1.1\r\nHost: {}\r\ntraceparent: {}\r\n\r\n",
        sidekey.proxy,
        parent(TRACE, "01")
    ));
    eventually("the request", || second.count() == 1);
    drop(caller);
    let spans = collector.trace(TRACE);
    let [_, first, gone] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(first["attributes"]["server.port"], 1);
    assert_eq!(gone["attributes"]["error.type"], "caller_gone");
    let port = second.address.port();
    assert_eq!(gone["attributes"]["server.port"], port);
    let url = format!("http://{}/x", second.address);
    assert_eq!(gone["attributes"]["url.full"], json!(url));
    gate.open();
}

#[test]
fn a_replay_is_a_second_client_span() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&collector.of(Conf::new(&auth, &upstream)));
    auth.revoke();
    assert_eq!(traced(&sidekey, "/api/x", &parent(TRACE, "01")), 200);
    let spans = collector.trace(TRACE);
    let [server, first, second] = &spans[..] else {
        panic!("{spans:?}")
    };
    let sent: Vec<_> = upstream.requests().iter().map(|r| received(r).1).collect();
    assert_eq!(json!(sent), json!([first["span"], second["span"]]));
    for client in [first, second] {
        assert_eq!(
            (&client["parent"], &client["kind"]),
            (&server["span"], &json!(3))
        );
    }
    let attribute = |span: &Value, name: &str| span["attributes"][name].clone();
    assert_eq!(attribute(first, "http.response.status_code"), 401);
    assert_eq!(attribute(first, "error.type"), "401");
    assert_eq!(attribute(first, "http.request.resend_count"), Value::Null);
    assert_eq!(first["status"], 2);
    assert_eq!(attribute(second, "http.response.status_code"), 200);
    assert_eq!(attribute(second, "http.request.resend_count"), 1);
    assert_eq!(attribute(server, "http.response.status_code"), 200);
    assert_eq!(
        (&second["status"], &server["status"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(server["events"][0]["name"], "token rejected");
    let wait = &server["events"][0]["attributes"]["sidekey.token_wait"];
    assert!(wait.as_f64() >= Some(0.0), "{server}");
}

#[test]
fn what_is_no_valid_traceparent_is_replaced() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&collector.every(Conf::new(&auth, &upstream)));
    let valid = parent(TRACE, "01");
    let zero = "0".repeat(32);
    let bad = [
        String::new(),
        "gibberish".into(),
        parent(&zero, "01"),
        parent(&TRACE.to_uppercase(), "01"),
        format!("{valid}-more"),
        valid.replacen("00", "ff", 1),
    ];
    let new = bad.map(|bad| {
        assert_eq!(traced(&sidekey, "/api/x", &bad), 200);
        let got = upstream.last();
        let (trace, _, flags) = received(&got);
        assert!(trace != TRACE && trace != zero && flags == "01", "{bad}");
        assert_eq!(got.header("tracestate"), None, "{bad}");
        trace
    });
    for trace in new {
        let spans = collector.trace(&trace);
        assert_eq!((spans.len(), &spans[0]["parent"]), (2, &json!("")));
    }
    let twice = [("traceparent", &*valid), ("traceparent", &*valid)];
    assert_eq!(call(sidekey.proxy, "GET", "/api/", &twice, b"").status, 200);
    assert_ne!(received(&upstream.last()).0, TRACE);
    let later = format!("{}-more", valid.replacen("00", "01", 1));
    assert_eq!(traced(&sidekey, "/api/x", &later), 200);
    assert_eq!(received(&upstream.last()).0, TRACE, "a later version");
    assert_eq!(collector.trace(TRACE)[0]["parent"], CALLER);
}

#[test]
fn a_trace_that_nobody_records_goes_on_and_is_not_sent() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&collector.of(Conf::new(&auth, &upstream)));
    let other = "1".repeat(32);
    assert_eq!(traced(&sidekey, "/api/x", &parent(&other, "00")), 200);
    let (trace, span, flags) = received(&upstream.last());
    assert_eq!((trace, &*flags), (other, "00"));
    assert_ne!(span, CALLER);
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!(received(&upstream.last()).2, "00", "a trace of our own");
    // What comes after them is here, and they are not.
    assert_eq!(traced(&sidekey, "/api/x", &parent(TRACE, "01")), 200);
    collector.trace(TRACE);
    assert!(collector.all().iter().all(|s| s["trace"] == TRACE));
}

#[test]
fn without_traces_the_callers_fields_go_through_untouched() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    for traceparent in [&*parent(TRACE, "01"), "gibberish"] {
        assert_eq!(traced(&sidekey, "/api/x", traceparent), 200);
        let got = upstream.last();
        assert_eq!(got.header("traceparent"), Some(traceparent));
        assert_eq!(got.header("tracestate"), Some("a=1,b=2"));
    }
    assert_eq!(sidekey.get("/api/x").status, 200);
    assert_eq!(upstream.last().header("traceparent"), None);
    assert!(!sidekey.logs().contains("trace_id"));
    assert!(!sidekey.metrics().contains(SPANS));
}

#[test]
fn failures_are_named_by_their_codes() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let closed = Closed::new();
    let nowhere = format!("http://127.0.0.1:{}/secret-base/", closed.port);
    let conf = collector.of(Conf::at(&auth.endpoint(), &nowhere));
    let sidekey = Sidekey::run(&conf);
    assert_eq!(traced(&sidekey, "/api/x", &parent(TRACE, "01")), 502);
    let spans = collector.trace(TRACE);
    assert_eq!(spans.len(), 2);
    for span in &spans {
        assert_eq!(span["attributes"]["error.type"], "upstream_unreachable");
        assert_eq!(span["status"], 2);
    }
    let url = spans[1]["attributes"]["url.full"].as_str().unwrap();
    assert!(url.ends_with("/REDACTED/x"), "{url}");
    let other = "2".repeat(32);
    let fields = [("traceparent", &*parent(&other, "01"))];
    let answer = call(sidekey.proxy, "BREW", "/elsewhere", &fields, b"");
    assert_eq!(answer.status, 404);
    let spans = collector.trace(&other);
    assert_eq!((spans.len(), &spans[0]["name"]), (1, &json!("HTTP")));
    let attributes = &spans[0]["attributes"];
    assert_eq!(attributes["error.type"], "route_not_found");
    assert_eq!(attributes["http.request.method"], "_OTHER");
    assert_eq!(
        (&spans[0]["status"], &attributes["http.route"]),
        (&json!(0), &Value::Null)
    );
}

#[test]
fn waiting_for_a_token_is_an_event() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    auth.fail(Answer::new(500));
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top("refresh: {token_wait: 200ms}");
    let sidekey = Sidekey::run_unready(&collector.of(conf));
    assert_eq!(traced(&sidekey, "/api/x", &parent(TRACE, "01")), 503);
    let spans = collector.trace(TRACE);
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0]["attributes"]["error.type"], "token_unavailable");
    assert_eq!(spans[0]["events"][0]["name"], "token wait");
    assert!(spans[0]["events"][0]["at"].as_u64() >= spans[0]["start"].as_u64());
}

#[test]
fn a_token_in_the_query_is_in_no_span() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let conf = Conf::new(&auth, &upstream)
        .integration("token: {in: query, name: access_token, value: \"{token}\"}");
    let sidekey = Sidekey::run(&collector.every(conf));
    assert_eq!(
        traced(&sidekey, "/api/x?of=caller", &parent(TRACE, "01")),
        200
    );
    assert!(upstream.only().target.contains("access_token="));
    let spans = json!(collector.trace(TRACE)).to_string();
    for secret in ["access_token", &auth.token()[..12], "of=caller"] {
        assert!(!spans.contains(secret), "{secret}: {spans}");
    }
}

#[test]
fn a_collector_that_is_down_costs_spans_and_nothing_else() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let closed = Closed::new();
    let conf = Conf::new(&auth, &upstream).top(&traces(closed.port, "ratio: 1"));
    let mut sidekey = Sidekey::run(&conf);
    let lost = || sidekey.metric(SPANS, &[("outcome", "failed")]);
    assert_eq!(lost(), 0.0);
    for _ in 0..5 {
        assert_eq!(sidekey.get("/api/").status, 200);
    }
    eventually("lost spans", || lost() >= 2.0);
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!(sidekey.metric(SPANS, &[("outcome", "exported")]), 0.0);
    sidekey.signal("TERM");
    assert!(sidekey.ended().success());
    assert_eq!(sidekey.logs().matches("spans can't be sent").count(), 1);
}

#[test]
fn a_busy_collector_is_asked_again_and_a_refusal_is_taken() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let calls = Arc::new(Mutex::new(vec![400, 200, 429, 503]));
    let collector = Server::start(move |_| {
        let status = calls.lock().unwrap().pop().unwrap_or(200);
        Answer::new(status).header("Retry-After", "1")
    });
    let port = collector.url().rsplit(':').next().unwrap().parse().unwrap();
    let conf = Conf::new(&auth, &upstream).top(&traces(port, "ratio: 1"));
    let sidekey = Sidekey::run(&conf);
    let count = |outcome| sidekey.metric(SPANS, &[("outcome", outcome)]);
    // No route, so nothing but a server span.
    let one_span = || assert_eq!(sidekey.get("/elsewhere").status, 404);
    one_span();
    eventually("a span that is taken", || count("exported") == 1.0);
    let bodies: Vec<_> = collector.requests().into_iter().map(|r| r.body).collect();
    assert!(bodies.len() == 3 && bodies[0] == bodies[1] && bodies[1] == bodies[2]);
    one_span();
    eventually("one that is refused", || count("failed") == 1.0);
    one_span();
    eventually("another that is taken", || count("exported") == 2.0);
}

/// The agent of PyPI's `rotel`, which passes on what it gets.
struct Rotel {
    child: Child,
    port: u16,
}

impl Rotel {
    fn to(collector: &Collector) -> Self {
        let packages = std::fs::read_dir(file(".venv/lib")).unwrap();
        let agents = packages.map(|python| {
            let python = python.unwrap().path();
            python.join("site-packages/rotel/rotel-agent")
        });
        let agent = agents.into_iter().find(|path| path.exists());
        let port = free_port();
        let mut child = Command::new(agent.expect("rotel: ./test installs it"))
            .arg("start")
            .args(["--otlp-http-endpoint", &local(port).to_string()])
            .args(["--otlp-grpc-endpoint", &local(free_port()).to_string()])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
            .arg("--otlp-exporter-endpoint")
            .arg(format!("http://{}", local(collector.port)))
            .arg("--disable-batching")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("rotel", || {
            assert!(child.try_wait().unwrap().is_none(), "rotel ended");
            TcpStream::connect(local(port)).is_ok()
        });
        Self { child, port }
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_agent_understands_them_and_passes_them_on() {
    let collector = Collector::start();
    let rotel = Rotel::to(&collector);
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).top(&traces(rotel.port, "ratio: 0"));
    let sidekey = Sidekey::run(&conf);
    auth.revoke();
    assert_eq!(traced(&sidekey, "/api/x", &parent(TRACE, "01")), 200);
    // In whatever order the agent sends them.
    eventually("all spans", || collector.all().len() == 3);
    let spans = collector.trace(TRACE);
    assert_eq!(spans[0]["parent"], CALLER);
    assert_eq!(spans[0]["resource"]["service.name"], "sidekey");
    assert_eq!(spans[2]["attributes"]["http.request.resend_count"], 1);
    eventually("three spans", || {
        sidekey.metric(SPANS, &[("outcome", "exported")]) == 3.0
    });
}

#[test]
fn the_last_spans_are_sent_before_the_end() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let mut sidekey = Sidekey::run(&collector.of(Conf::new(&auth, &upstream)));
    assert_eq!(traced(&sidekey, "/api/x", &parent(TRACE, "01")), 200);
    sidekey.signal("TERM");
    sidekey.ended();
    assert_eq!(collector.trace(TRACE).len(), 2);
}

#[test]
fn other_settings_wait_for_the_next_start() {
    let collector = Collector::start();
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream);
    let mut sidekey = Sidekey::run(&collector.of(Conf::new(&auth, &upstream)));
    sidekey.configure(&conf.yaml());
    sidekey.signal("HUP");
    eventually("the warning", || {
        sidekey
            .logs()
            .contains("next start only, and stay as they were: traces")
    });
    assert_eq!(traced(&sidekey, "/api/x", &parent(TRACE, "01")), 200);
    collector.trace(TRACE);
    sidekey.restart();
    assert_eq!(traced(&sidekey, "/api/x", "gibberish"), 200);
    assert_eq!(upstream.last().header("traceparent"), Some("gibberish"));
}
