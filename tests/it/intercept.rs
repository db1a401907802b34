//! Callers that only know `https://` and a proxy: what they CONNECT to ends at
//! sidekey, which shows a certificate of a local authority, and their requests
//! get tokens. curl, Python, Node and Java, with nginx as the API.

use crate::support::authority::{Authority, TlsFront, for_callers};
use crate::support::client::Conn;
use crate::support::feature::shown;
use crate::support::outgoing::run_caller;
use crate::support::real::{Http2Nginx, file, python};
use crate::support::scripted::{ACCEPTED, ASKING, masked};
use crate::support::sidekey::{Launch, command};
use crate::support::{
    Answer, AuthServer, Conf, Gate, Response, Scripted, Server, Sidekey, eventually,
    eventually_some,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;

const INTERCEPT: &str = "[api.example.com, \"*.crm.example.com\"]";
/// The only route: for both hosts, of an upstream by HTTPS.
const ROUTES: &str = "\
\x20 - {match: {host: api.example.com}, upstream: \"@API@\", account: one, tls: {ca: works.pem}, rewrite_addresses: true}
\x20 - {match: {host: \"*.crm.example.com\"}, upstream: \"@API@\", account: one, tls: {ca: works.pem}}
";
/// Of several, one may have what a reload brings before another.
const ONE_WORKER: &str = "workers: {count: 1}";

struct Parts {
    auth: AuthServer,
    api: Server,
    _nginx: Http2Nginx,
    sidekey: Sidekey,
    yaml: String,
}

/// With these lines at the listener, `connect` among them, and at the top.
fn launched(
    listener: &str,
    top: &str,
    answer: impl Fn() -> Answer + Send + Sync + 'static,
) -> Parts {
    let auth = AuthServer::start();
    let live = auth.checker();
    let api = Server::start(move |request| {
        let path = request.target.strip_prefix("/echo").unwrap();
        let said = format!("{} {path} ", request.method);
        match live(request) {
            true => answer().body([said.as_bytes(), &request.body].concat()),
            false => Answer::rejected(),
        }
    });
    let works = Authority::new("Works CA");
    let pair = works.issue(&["localhost"]);
    let nginx = Http2Nginx::start(api.address, &pair.certificate, &pair.key);
    let upstream = format!("https://localhost:{}/echo/", nginx.tls.port());
    let (sidekey, yaml) = ran(&auth, &upstream, listener, top, works);
    Parts {
        auth,
        api,
        _nginx: nginx,
        sidekey,
        yaml,
    }
}

/// sidekey for this upstream, and its configuration.
fn ran(
    auth: &AuthServer,
    upstream: &str,
    listener: &str,
    top: &str,
    works: Authority,
) -> (Sidekey, String) {
    let conf = Conf::at(&auth.endpoint(), "http://127.0.0.1:1/").top(top);
    let long = format!("listen:\n  - address: 127.0.0.1:@PROXY@\n{listener}");
    let yaml = conf.yaml().replace("listen: 127.0.0.1:@PROXY@\n", &long);
    let yaml = yaml + &ROUTES.replace("@API@", upstream);
    let own = works.issue(&["127.0.0.1"]);
    let (certificate, key) = for_callers(&["api.example.com", "*.crm.example.com"]);
    let files = [
        ("works.pem", works.pem),
        ("own.pem", own.certificate),
        ("own-key.pem", own.key),
        ("ca.pem", certificate),
        ("ca-key.pem", key),
    ];
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: yaml.clone(),
        files: files.map(|(name, text)| (name.to_owned(), text)).into(),
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    (sidekey, yaml)
}

fn connect(more: &str) -> String {
    format!(
        "    connect: {{intercept: {INTERCEPT}, authority: {{certificate: ca.pem, key: ca-key.pem}}{more}}}\n"
    )
}

fn started() -> Parts {
    launched(&connect(""), "", || Answer::new(200))
}

impl Parts {
    fn proxy(&self) -> String {
        format!("http://{}", self.sidekey.proxy)
    }

    fn authority(&self) -> String {
        self.file("ca.pem")
    }

    fn file(&self, name: &str) -> String {
        self.sidekey.folder().join(name).display().to_string()
    }

    /// What came to the API carries our token and its own name.
    fn check_what_came(&self, least: usize) {
        let requests = self.api.requests();
        assert!(requests.len() >= least, "{}", requests.len());
        for request in requests {
            assert!(request.target.starts_with("/echo/v1/"), "{request:?}");
            assert!(request.bearer().is_some());
            assert_eq!(request.header("proxy-connection"), None);
        }
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "100", "--cacert", &self.authority()]);
        curl.args(["-x", &self.proxy()]).args(arguments);
        run_caller(&mut curl)
    }

    /// What curl has printed, which must have got an answer.
    fn curled(&self, arguments: &[&str]) -> String {
        let output = self.curl(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What curl said when it got no answer.
    fn in_vain(&self, arguments: &[&str]) -> String {
        let output = self.curl(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn inside(&self) -> Inside {
        Inside::of(&self.sidekey)
    }
}

const CONNECT: &str = "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n";

/// A caller inside of its connection to `api.example.com`.
struct Inside(StreamOwned<ClientConnection, TcpStream>);

impl Inside {
    /// The words of CONNECT and the first of TLS come in one piece.
    fn of(sidekey: &Sidekey) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = std::fs::read(sidekey.folder().join("ca.pem")).unwrap();
        roots
            .add(CertificateDer::from_pem_slice(&authority).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "api.example.com".try_into().unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut words = CONNECT.as_bytes().to_vec();
        tls.write_tls(&mut words).unwrap();
        let mut conn = Conn::to(sidekey.proxy);
        conn.send(&words);
        let answered = conn.until("\r\n\r\n");
        assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
        conn.skip_head();
        let mut more = conn.take_buffered();
        while !more.is_empty() {
            let taken = tls.read_tls(&mut more.as_slice()).unwrap();
            more.drain(..taken);
            tls.process_new_packets().unwrap();
        }
        Self(StreamOwned::new(tls, conn.stream))
    }

    fn send(&mut self, head: &str) {
        self.0
            .write_all(head.replace('\n', "\r\n").as_bytes())
            .unwrap();
    }

    /// The next answer, which has a length.
    fn answer(&mut self) -> Response {
        let mut answer = self.head();
        let length = answer.header("content-length").unwrap().parse().unwrap();
        answer.body = self.exactly(length);
        answer
    }

    fn head(&mut self) -> Response {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            read.extend(self.exactly(1));
        }
        Response::parse_head(&read).unwrap()
    }

    fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut read = vec![0; length];
        self.0.read_exact(&mut read).unwrap();
        read
    }

    fn get(&mut self, host: &str) -> Response {
        self.send(&format!("GET /v1/x HTTP/1.1\nHost: {host}\n\n"));
        self.answer()
    }

    /// True when nothing more came but an end.
    fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap_or(0) == 0
    }
}

/// Runs a caller's own checks.
fn done(command: &mut Command) {
    let output = run_caller(command);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
}

const FEATURE: &str = "interception of CONNECT, a replay after a 401";
const NGINX: &str = "nginx, HTTP/2 over TLS";

#[test]
fn curl_by_http_1_1_and_by_http_2() {
    let parts = started();
    let url = "https://api.example.com/v1/x?y=z";
    for (version, said, protocol) in [("--http1.1", "1.1", "HTTP/1.1"), ("--http2", "2", "HTTP/2")]
    {
        parts.auth.revoke();
        let form = ["-w", "%{http_version} %{ssl_verify_result}"];
        let get = [version, form[0], form[1], url];
        assert_eq!(parts.curled(&get), format!("GET /v1/x?y=z {said} 0"));
        let post = [version, "-d", "a body", url];
        assert_eq!(parts.curled(&post), "POST /v1/x?y=z a body");
        shown(protocol, FEATURE, "curl", NGINX);
    }
    let under = "https://eu.crm.example.com/v1/x";
    assert_eq!(parts.curled(&[under]), "GET /v1/x ");
    parts.check_what_came(7);
    // Each request has its line, and so has each CONNECT.
    eventually("the access log", || {
        let logs = parts.sidekey.logs();
        let lines = |part: &str| logs.lines().filter(|line| line.contains(part)).count();
        lines(" CONNECT api.example.com:443 200 ") == 4 && lines(" GET /v1/x 200 ") == 3
    });
}

#[test]
fn python_requests_and_urllib() {
    let parts = started();
    parts.auth.revoke();
    let mut command = python("callers/by_proxy.py");
    command.arg("https://api.example.com");
    command.env("https_proxy", parts.proxy());
    command.env("REQUESTS_CA_BUNDLE", parts.authority());
    command.env("SSL_CERT_FILE", parts.authority());
    done(&mut command);
    parts.check_what_came(13);
    shown("HTTP/1.1", FEATURE, "Python requests", NGINX);
}

#[test]
fn node_https() {
    let parts = started();
    parts.auth.revoke();
    let mut node = Command::new("node");
    node.arg(file("callers/by_connect.mjs"));
    node.args([&parts.proxy(), "https://api.example.com"]);
    node.env("NODE_EXTRA_CA_CERTS", parts.authority());
    done(&mut node);
    parts.check_what_came(7);
    shown("HTTP/1.1", FEATURE, "Node https", NGINX);
}

#[test]
fn java_http_client_and_url_connection() {
    let parts = started();
    parts.auth.revoke();
    let store = parts.sidekey.folder().join("trust.p12");
    let mut keytool = Command::new("keytool");
    keytool.args(["-importcert", "-noprompt", "-alias", "sidekey"]);
    keytool.args(["-storetype", "PKCS12", "-storepass", "changeit"]);
    keytool
        .args(["-file", &parts.authority()])
        .arg("-keystore")
        .arg(&store);
    let imported = run_caller(&mut keytool);
    assert!(imported.status.success(), "{imported:?}");
    let mut java = Command::new("java");
    java.arg(format!("-Djavax.net.ssl.trustStore={}", store.display()));
    java.arg("-Djavax.net.ssl.trustStorePassword=changeit");
    java.arg(file("callers/ByProxy.java"));
    java.args([&parts.proxy(), "https://api.example.com"]);
    done(&mut java);
    parts.check_what_came(10);
    shown("HTTP/2", FEATURE, "Java HttpClient", NGINX);
    shown("HTTP/1.1", FEATURE, "Java HttpURLConnection", NGINX);
}

#[test]
fn hosts_that_are_not_listed_are_refused_or_have_their_tunnel() {
    let parts = started();
    for host in [
        "other.example.com",
        "crm.example.com",
        "api.example.com.evil.example",
    ] {
        let said = parts.in_vain(&[&format!("https://{host}/v1/x")]);
        assert!(said.contains("405"), "{host}: {said}");
    }
    assert!(
        parts
            .in_vain(&["https://api.example.com:8443/v1/x"])
            .contains("405")
    );
    let mut conn = Conn::to(parts.sidekey.proxy);
    conn.send("CONNECT other.example.com:443 HTTP/1.1\r\nHost: other.example.com:443\r\n\r\n");
    let refused = conn.response();
    assert_eq!(refused.problem(), "method_not_allowed");
    let said = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        said.contains("connect.intercept") && said.contains("sidekey ca init"),
        "{said}"
    );
    // A pattern's names are the caller's choice, and must be names.
    let mut conn = Conn::to(parts.sidekey.proxy);
    conn.send("CONNECT a!b.crm.example.com:443 HTTP/1.1\r\nHost: a!b.crm.example.com:443\r\n\r\n");
    assert_eq!(conn.response().status, 400);
    assert_eq!(parts.api.count(), 0);
}

#[test]
fn what_is_intercepted_goes_before_what_has_a_tunnel() {
    let more = ", tunnel: [\"api.example.com:443\", \"127.0.0.1:1\"]";
    let parts = launched(&connect(more), "", || Answer::new(200));
    assert_eq!(
        parts.curled(&["https://api.example.com/v1/x"]),
        "GET /v1/x "
    );
    // Nobody listens there.
    let mut conn = Conn::to(parts.sidekey.proxy);
    conn.send("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n");
    assert_eq!(conn.response().problem(), "upstream_unreachable");
}

#[test]
fn a_request_inside_is_for_the_host_of_its_connection() {
    let parts = started();
    for (host, status) in [
        ("api.example.com", 200),
        ("API.example.com:443", 200),
        ("eu.crm.example.com", 400),
        ("localhost", 400),
        ("api.example.com:80", 400),
    ] {
        let answer = parts.inside().get(host);
        assert_eq!(answer.status, status, "{host}: {}", answer.text());
    }
    // By HTTP/2 no other is reached, and what names it in full is no way around.
    let url = "https://api.example.com/v1/x";
    for version in ["--http1.1", "--http2"] {
        let other = [
            version,
            "-w",
            "%{http_code}",
            "-H",
            "Host: eu.crm.example.com",
            url,
        ];
        let said = parts.curled(&other);
        assert!(
            said.contains("bad_request") || said.ends_with("400"),
            "{said}"
        );
    }
    let mut inside = parts.inside();
    inside.send("GET https://eu.crm.example.com/v1/x HTTP/1.1\nHost: eu.crm.example.com\n\n");
    assert_eq!(inside.answer().status, 400);
    let mut inside = parts.inside();
    inside.send("CONNECT api.example.com:443 HTTP/1.1\nHost: api.example.com:443\n\n");
    assert_eq!(inside.answer().status, 405, "no connection within it");
    parts.check_what_came(2);
    assert_eq!(parts.api.count(), 2);
}

#[test]
fn a_handshake_for_another_name_is_refused() {
    let parts = started();
    let other = "eu.crm.example.com:443:api.example.com:443";
    let said = parts.in_vain(&["--connect-to", other, "https://eu.crm.example.com/v1/x"]);
    assert!(said.contains("alert"), "{said}");
    let refused = [("reason", "tls_handshake")];
    eventually("a count of it", || {
        parts.sidekey.metric("sidekey_refused_total", &refused) == 1.0
    });
    // What is no handshake at all is told what belongs there.
    let mut conn = Conn::to(parts.sidekey.proxy);
    conn.send(CONNECT);
    conn.until("\r\n\r\n");
    conn.skip_head();
    conn.send("GET /v1/x HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    let answer = conn.response();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("must be TLS"), "{}", answer.text());
    assert_eq!(parts.api.count(), 0);
}

#[test]
fn a_handshake_that_does_not_come_ends() {
    let parts = launched(&connect(""), "limits: {header_timeout: 200ms}", || {
        Answer::new(200)
    });
    let mut conn = Conn::to(parts.sidekey.proxy);
    conn.send(CONNECT);
    conn.until("\r\n\r\n");
    conn.skip_head();
    assert!(conn.closed());
}

#[test]
fn rules_for_callers_hold_for_connect_and_inside() {
    let end = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = end.local_addr().unwrap();
    let listener = connect(&format!(", tunnel: [\"{to}\"]")) + "    callers: [{key: ann}]\n";
    let home = tempfile::tempdir().unwrap();
    let mut add = command(&home);
    add.args(["callers", "add", "ann", "--file", "callers"]);
    let key = String::from_utf8(add.output().unwrap().stdout).unwrap();
    let callers = home.path().join("callers").display().to_string();
    let top = format!("callers_file: {callers}");
    let parts = launched(&listener, &top, || Answer::new(200));
    let field = format!("Sidekey-Caller-Key: {}", key.trim());
    let url = "https://api.example.com/v1/x";
    assert!(parts.in_vain(&["-H", &field, url]).contains("403"));
    let code = [
        "--proxy-header",
        &field,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        url,
    ];
    assert_eq!(parts.curled(&code), "403");
    let both = ["--proxy-header", &field, "-H", &field, url];
    assert_eq!(parts.curled(&both), "GET /v1/x ");
    let foreign = [&both[..], &["-H", "Origin: https://evil.example", "-f"]].concat();
    assert!(parts.in_vain(&foreign).contains("403"));
    let own = [&both[..], &["-H", "Origin: https://api.example.com"]].concat();
    assert_eq!(parts.curled(&own), "GET /v1/x ");
    assert_eq!(parts.api.count(), 2);
    for request in parts.api.requests() {
        assert_eq!(request.header("sidekey-caller-key"), None);
    }
    // A tunnel's line says who, too.
    let mut conn = Conn::to(parts.sidekey.proxy);
    conn.send(format!(
        "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{field}\r\n\r\n"
    ));
    assert!(conn.until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
    drop((conn, end));
    let line = eventually_some("its line", || {
        let logs = parts.sidekey.logs();
        let mut lines = logs.lines().filter(|line| line.contains(&to.to_string()));
        let ended = lines.find(|line| line.contains(" CONNECT ") && line.contains(" 200 "));
        ended.map(str::to_owned)
    });
    assert!(line.contains(" caller=ann"), "{line}");
}

#[test]
fn a_host_without_a_route_is_told_what_is_missing() {
    let parts = launched(&connect(""), ONE_WORKER, || Answer::new(200));
    let yaml = parts
        .yaml
        .replace("match: {host: api.example.com}", "path: /v1/")
        .replace("match: {host: \"*.crm.example.com\"}", "path: /v2/");
    assert_ne!(yaml, parts.yaml);
    parts.sidekey.configure(&yaml);
    parts.sidekey.signal("HUP");
    // Under the pattern every name has a route, and here none.
    for host in ["api.example.com", "any.crm.example.com"] {
        let ask = || {
            let mut conn = Conn::to(parts.sidekey.proxy);
            let target = format!("{host}:443");
            conn.send(format!(
                "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
            ));
            // Of one that begins there is no answer with a length.
            let head = conn.until("\r\n\r\n");
            head.starts_with("HTTP/1.1 404 ").then(|| conn.response())
        };
        let refused = eventually_some("the new routes", ask);
        assert_eq!(refused.problem(), "route_not_found");
        let said = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            said.contains(&format!("match: {{host: \"{host}\"}}")),
            "{said}"
        );
    }
}

#[test]
fn another_authority_is_used_from_the_reload_on() {
    let parts = launched(&connect(""), ONE_WORKER, || Answer::new(200));
    let url = "https://api.example.com/v1/x";
    assert_eq!(parts.curled(&[url]), "GET /v1/x ");
    let old = parts.sidekey.folder().join("old.pem");
    std::fs::copy(parts.authority(), &old).unwrap();
    let (certificate, key) = for_callers(&["api.example.com", "*.crm.example.com"]);
    parts.sidekey.put("ca-key.pem", &key);
    parts.sidekey.put("ca.pem", &certificate);
    eventually("it is shown", || parts.curl(&[url]).status.success());
    let old = old.display().to_string();
    assert!(
        parts
            .in_vain(&["--cacert", &old, url])
            .contains("certificate")
    );
    // What is no longer listed is no longer intercepted.
    let yaml = parts.yaml.replace(INTERCEPT, "[eu.crm.example.com]");
    parts.sidekey.configure(&yaml);
    parts.sidekey.signal("HUP");
    eventually("the new list", || !parts.curl(&[url]).status.success());
    assert_eq!(
        parts.curled(&["https://eu.crm.example.com/v1/x"]),
        "GET /v1/x "
    );
}

#[test]
fn an_authority_of_ones_own_serves_until_it_expires() {
    let parts = launched(&connect(""), ONE_WORKER, || Answer::new(200));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-utf8",
    ]);
    openssl.args([
        "-subj",
        "/C=DE/O=Wörks/CN=Works CA",
        "-keyout",
        "new.key",
        "-out",
        "new.pem",
    ]);
    let made = run_caller(openssl.current_dir(parts.sidekey.folder()));
    assert!(made.status.success(), "{made:?}");
    let read = |name: &str| std::fs::read_to_string(parts.file(name)).unwrap();
    parts.sidekey.put("ca-key.pem", &read("new.key"));
    parts.sidekey.put("ca.pem", &read("new.pem"));
    let url = "https://api.example.com/v1/x";
    eventually("it is shown", || parts.curl(&[url]).status.success());

    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let expired = params.self_signed(&key).unwrap().pem();
    parts.sidekey.put("ca-key.pem", &key.serialize_pem());
    parts.sidekey.put("ca.pem", &expired);
    let refused = eventually_some("it is not used", || {
        let mut conn = Conn::to(parts.sidekey.proxy);
        conn.try_send(CONNECT);
        // The reload also ends a connection that has only just begun.
        let answer = conn.try_response();
        answer.filter(|answer| answer.status == 502)
    });
    assert_eq!(refused.problem(), "upstream_tls_error");
    // None of them was a tunnel, neither those that were served nor these.
    let reason = [("reason", "upstream_tls_error")];
    eventually("the count of refusals", || {
        parts.sidekey.metric("sidekey_refused_total", &reason) >= 1.0
    });
    assert_eq!(parts.sidekey.metric("sidekey_tunnels_total", &[]), 0.0);
    assert!(
        refused.text().contains("sidekey ca init"),
        "{}",
        refused.text()
    );
}

#[test]
fn a_request_inside_is_finished_when_the_process_ends() {
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let mut parts = launched(&connect(""), "", move || Answer::new(200).after(&at_gate));
    let mut inside = parts.inside();
    inside.send("GET /v1/x HTTP/1.1\nHost: api.example.com\n\n");
    eventually("the request", || gate.came() == 1);
    parts.sidekey.signal("TERM");
    let proxy = parts.sidekey.proxy;
    eventually("no new connections", || TcpStream::connect(proxy).is_err());
    gate.open();
    let answer = inside.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "GET /v1/x "));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(inside.is_closed());
    assert_eq!(parts.sidekey.ended().code(), Some(0));
}

#[test]
fn a_connection_inside_is_kept_and_closed_like_any_other() {
    let parts = started();
    let mut inside = parts.inside();
    let before = parts.sidekey.metric("sidekey_connections", &[]);
    for _ in 0..3 {
        assert_eq!(inside.get("api.example.com").status, 200);
    }
    assert_eq!(parts.sidekey.metric("sidekey_connections", &[]), before);
    inside.send("GET /v1/x HTTP/1.1\nHost: api.example.com\nConnection: close\n\n");
    assert_eq!(inside.answer().status, 200);
    assert!(inside.is_closed());
}

#[test]
fn a_websocket_inside_has_its_token() {
    let (auth, upstream) = (AuthServer::start(), Scripted::start());
    let works = Authority::new("Works CA");
    let behind = upstream
        .url()
        .trim_matches(|c: char| !c.is_ascii_digit())
        .parse();
    let tls = TlsFront::start(&works.issue(&["127.0.0.1"]), None, behind.unwrap());
    let url = format!("https://{}/", tls.address);
    let (sidekey, _) = ran(&auth, &url, &connect(""), "", works);
    let mut inside = Inside::of(&sidekey);
    inside.send(&format!(
        "GET /ws HTTP/1.1\nHost: api.example.com\n{}\n",
        ASKING.replace("\r\n", "\n")
    ));
    let (mut api, request) = upstream.request();
    assert_eq!(request.bearer(), Some(auth.token().as_str()));
    api.send(ACCEPTED);
    assert_eq!(inside.head().status, 101);
    for said in ["to and fro", "and to"] {
        let said = masked(said);
        inside.0.write_all(&said).unwrap();
        assert_eq!(api.exactly(said.len()), said);
        api.send(&said);
        assert_eq!(inside.exactly(said.len()), said);
    }
}

/// A proxy that is called by `https://` itself: TLS within TLS.
#[test]
fn a_listener_that_speaks_tls_intercepts_too() {
    let tls = "    tls: {certificate: own.pem, key: own-key.pem}\n";
    let parts = launched(&(connect("") + tls), "", || Answer::new(200));
    let proxy = format!("https://{}", parts.sidekey.proxy);
    let works = parts.file("works.pem");
    let by_tls = ["-x", &proxy, "--proxy-cacert", &works];
    for version in ["--http1.1", "--http2"] {
        let get = [&by_tls[..], &[version, "https://api.example.com/v1/x"]].concat();
        assert_eq!(parts.curled(&get), "GET /v1/x ");
    }
    parts.check_what_came(2);
}
