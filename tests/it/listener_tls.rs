//! Listeners that speak TLS, with and without callers' certificates.

use crate::support::sidekey::{Launch, run_to_end};
use crate::support::tls::{Authority, Issued, curl, curled, put};
use crate::support::{AuthServer, Conf, Conn, Server, Sidekey, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// A sidekey with TLS at its listener.
struct Stage {
    sidekey: Sidekey,
    yaml: String,
    authority: Authority,
    authority_file: String,
    _folder: tempfile::TempDir,
    _servers: (AuthServer, Server),
}

const PLAIN: &str = "listen: 127.0.0.1:@PROXY@\n";
const TLS: &str = "listen: [{address: \"127.0.0.1:@PROXY@\", \
                   tls: {certificate: tls.crt, key: tls.key}}]\n";
const MUTUAL: &str = "listen: [{address: \"127.0.0.1:@PROXY@\", \
    tls: {certificate: tls.crt, key: tls.key, client_ca: callers.crt}}]\n";

impl Stage {
    /// `callers` is who issues callers' certificates.
    fn new(listen: &str, callers: Option<&Authority>) -> Self {
        let auth = AuthServer::start();
        let upstream = auth.upstream();
        let conf = Conf::new(&auth, &upstream).log("{level: debug}");
        let yaml = conf.yaml().replace(PLAIN, listen);
        let authority = Authority::new("the server's authority");
        let own = authority.server();
        let mut files = vec![
            ("tls.crt".to_owned(), own.certificate),
            ("tls.key".to_owned(), own.key),
        ];
        files.extend(callers.map(|callers| ("callers.crt".to_owned(), callers.pem())));
        let mut sidekey = Sidekey::launch(&Launch {
            yaml: yaml.clone(),
            files,
            ..Launch::default()
        });
        sidekey.wait_for("/readyz");
        let folder = tempfile::tempdir().unwrap();
        let authority_file = put(folder.path(), "authority.crt", &authority.pem());
        Self {
            sidekey,
            yaml,
            authority,
            authority_file,
            _folder: folder,
            _servers: (auth, upstream),
        }
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}/api/", self.sidekey.proxy.port())
    }

    fn curl<'a>(&'a self, arguments: &[&'a str]) -> String {
        let url = self.url();
        let own = ["--cacert", &self.authority_file, &url];
        curled(&[arguments, &own].concat())
    }

    /// True when curl got no answer at all.
    fn is_refused(&self, arguments: &[&str]) -> bool {
        let url = self.url();
        let own = ["--cacert", &self.authority_file, &url];
        !curl(&[arguments, &own].concat()).status.success()
    }

    fn as_caller(&self, name: &str, issued: &Issued) -> [String; 4] {
        let folder = self._folder.path();
        let certificate = put(folder, &format!("{name}.crt"), &issued.certificate);
        let key = put(folder, &format!("{name}.key"), &issued.key);
        ["--cert".into(), certificate, "--key".into(), key]
    }

    fn failed(&self) -> f64 {
        let labels = [("reason", "tls_handshake")];
        self.sidekey.metric("sidekey_refused_total", &labels)
    }
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn curl_is_served_over_tls_1_2_and_1_3() {
    let stage = Stage::new(TLS, None);
    let said = stage.sidekey.logs();
    let place = format!("https://{} for applications", stage.sidekey.proxy);
    assert!(said.contains(&place), "{said}");
    let version = ["-w", " %{http_version} %{ssl_verify_result}"];
    assert_eq!(stage.curl(&version), "content 2 0");
    let by_1_1 = [&version[..], &["--http1.1"]].concat();
    assert_eq!(stage.curl(&by_1_1), "content 1.1 0");
    for tls in [
        ["--tlsv1.2", "--tls-max", "1.2"],
        ["--tlsv1.3", "--tls-max", "1.3"],
    ] {
        assert_eq!(stage.curl(&tls), "content", "{tls:?}");
    }
    assert!(stage.is_refused(&["--tlsv1.1", "--tls-max", "1.1"]));
    eventually("a count of it", || stage.failed() == 1.0);
    // One connection, several requests, the second when the first is answered.
    let url = stage.url();
    let twice = stage.curl(&["-w", " %{num_connects};", &url]);
    assert_eq!(twice, "content 1;content 0;");
}

#[test]
fn a_large_body_goes_through_both_ways() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| crate::support::Answer::ok(request.body.clone()));
    let authority = Authority::new("authority");
    let own = authority.server();
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: Conf::new(&auth, &upstream).yaml().replace(PLAIN, TLS),
        files: vec![
            ("tls.crt".into(), own.certificate),
            ("tls.key".into(), own.key),
        ],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    let folder = sidekey.folder().to_owned();
    let body: String = (0..300_000).map(|n| format!("line {n}\n")).collect();
    let sent = put(&folder, "sent", &body);
    let authority = put(&folder, "authority.crt", &authority.pem());
    let url = format!("https://{}/api/", sidekey.proxy);
    let data = format!("@{sent}");
    let back = curled(&["--cacert", &authority, "--data-binary", &data, &url]);
    assert!(back == body, "{} of {} bytes", back.len(), body.len());
}

#[test]
fn plain_http_is_told_to_use_https() {
    let stage = Stage::new(TLS, None);
    let answer = stage.sidekey.get("/api/");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("sidekey-error"), Some("bad_request"));
    assert!(answer.text().contains("https://"), "{}", answer.text());
    // What is neither ends as well, and so does what stops in the middle.
    let mut conn = Conn::to(stage.sidekey.proxy);
    conn.send([0x16, 3, 1, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff]);
    conn.rest();
    eventually("a count of it", || stage.failed() == 1.0);
    eventually("a word of it in the log", || {
        stage.sidekey.logs().contains("TLS handshakes failed")
    });
}

#[test]
fn a_handshake_that_does_not_end_is_cut() {
    let stage = Stage::new(&format!("{TLS}limits: {{header_timeout: 1s}}\n"), None);
    let mut silent = Conn::to(stage.sidekey.proxy);
    let mut slow = Conn::to(stage.sidekey.proxy);
    slow.send([0x16, 3, 1]);
    assert!(silent.closed());
    assert!(slow.closed());
    eventually("a count of both", || stage.failed() == 2.0);
}

#[test]
fn a_required_certificate_is_required_and_its_names_are_logged() {
    let callers = Authority::new("the callers' authority");
    let stage = Stage::new(MUTUAL, Some(&callers));
    assert!(stage.is_refused(&[]));
    let strangers = Authority::new("another authority");
    let stranger = stage.as_caller("stranger", &strangers.caller("spiffe://example/stranger"));
    assert!(stage.is_refused(&words(&stranger)));
    eventually("a count of both", || stage.failed() == 2.0);
    let caller = stage.as_caller("caller", &callers.caller("spiffe://example/ns/agent"));
    for tls in ["1.2", "1.3"] {
        let arguments = [&words(&caller)[..], &["--tls-max", tls]].concat();
        assert_eq!(stage.curl(&arguments), "content", "{tls}");
    }
    let called = stage.as_caller("called", &callers.called("some one"));
    assert_eq!(stage.curl(&words(&called)), "content");
    let sidekey = &stage.sidekey;
    for client in [
        "spiffe://example/ns/agent@127.0.0.1 GET",
        "some%20one@127.0.0.1 GET",
    ] {
        eventually(client, || sidekey.logs().contains(client));
    }
}

#[test]
fn an_optional_certificate_is_checked_where_there_is_one() {
    let callers = Authority::new("the callers' authority");
    let optional = MUTUAL.replace("callers.crt}", "callers.crt, client_certificate: optional}");
    let stage = Stage::new(&optional, Some(&callers));
    assert_eq!(stage.curl(&[]), "content");
    let caller = stage.as_caller("caller", &callers.caller("spiffe://example/agent"));
    assert_eq!(stage.curl(&words(&caller)), "content");
    let strangers = Authority::new("another authority");
    let stranger = stage.as_caller("stranger", &strangers.caller("spiffe://example/stranger"));
    assert!(stage.is_refused(&words(&stranger)));
}

/// What openssl says of two connections, the second with what the first got.
fn resumed(stage: &Stage, more: &[&str]) -> String {
    let session = stage._folder.path().join("session");
    let connect = |option: &str| {
        let address = stage.sidekey.proxy.to_string();
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-connect",
            &address,
            "-CAfile",
            &stage.authority_file,
        ]);
        openssl.args(more).arg(option).arg(&session);
        openssl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = openssl.spawn().unwrap();
        // A ticket of TLS 1.3 comes before the answer.
        let ask = format!("GET /api/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(ask.as_bytes())
            .unwrap();
        let mut said = String::new();
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        child.wait().unwrap();
        said
    };
    let first = connect("-sess_out");
    assert!(first.contains("content"), "{first}");
    match session.exists() {
        true => connect("-sess_in"),
        false => "no session".to_owned(),
    }
}

#[test]
fn sessions_are_resumed_but_not_where_certificates_are_asked_for() {
    let stage = Stage::new(TLS, None);
    let said = resumed(&stage, &["-tls1_3"]);
    assert!(said.contains("Reused, TLSv1.3"), "{said}");
    let callers = Authority::new("the callers' authority");
    let stage = Stage::new(MUTUAL, Some(&callers));
    let caller = callers.caller("spiffe://example/agent");
    let [_, certificate, _, key] = stage.as_caller("caller", &caller);
    for tls in ["-tls1_2", "-tls1_3"] {
        let said = resumed(&stage, &[tls, "-cert", &certificate, "-key", &key]);
        assert!(!said.contains("Reused"), "{said}");
    }
}

#[test]
fn another_certificate_is_shown_once_its_files_have_changed() {
    let stage = Stage::new(TLS, None);
    let mut kept = openssl(&stage);
    assert_eq!(stage.curl(&[]), "content");
    let next = Authority::new("the next authority");
    let issued = next.server();
    // Both at once, or a reading between the two finds that they don't fit.
    stage.sidekey.put("tls.key", &issued.key);
    eventually("a mistake, or none yet", || {
        // The old one is shown as long as the new key has no certificate.
        stage.curl(&[]) == "content" && stage.sidekey.logs().contains("does not go with")
    });
    assert_eq!(stage.curl(&[]), "content");
    stage.sidekey.put("tls.crt", &issued.certificate);
    let trusted = put(stage._folder.path(), "next.crt", &next.pem());
    let url = stage.url();
    eventually("the new certificate", || {
        curl(&["--cacert", &trusted, &url]).status.success()
    });
    assert!(
        stage.is_refused(&[]),
        "the old authority is no longer the one"
    );
    // A connection of before goes on.
    kept.ask();
    assert!(kept.answer().contains("content"));
}

#[test]
fn who_issues_callers_certificates_can_change() {
    let first = Authority::new("the callers' authority");
    let stage = Stage::new(MUTUAL, Some(&first));
    let caller = stage.as_caller("first", &first.caller("spiffe://example/first"));
    assert_eq!(stage.curl(&words(&caller)), "content");
    let second = Authority::new("their next authority");
    stage.sidekey.put("callers.crt", &second.pem());
    let other = stage.as_caller("second", &second.caller("spiffe://example/second"));
    eventually("the other authority", || !stage.is_refused(&words(&other)));
    assert!(stage.is_refused(&words(&caller)));
    // And none at all, by another configuration.
    stage
        .sidekey
        .configure(&stage.yaml.replace(", client_ca: callers.crt", ""));
    eventually("no question", || !stage.is_refused(&[]));
    let _ = &stage.authority;
}

#[test]
fn what_does_not_fit_is_a_mistake_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let (one, other) = (authority.server(), authority.server());
    put(folder.path(), "one.crt", &one.certificate);
    put(folder.path(), "one.key", &one.key);
    put(folder.path(), "other.key", &other.key);
    put(folder.path(), "empty", "");
    let file = folder.path().join("sidekey.yaml");
    for (tls, said) in [
        (
            "certificate: one.crt, key: one.key",
            "no mistakes, 2 warnings",
        ),
        ("certificate: one.crt", "a listener's TLS lacks `key`"),
        (
            "certificate: none.crt, key: one.key",
            "can't be read: No such file",
        ),
        (
            "certificate: one.crt, key: other.key",
            "this key does not go with",
        ),
        (
            "certificate: one.key, key: one.key",
            "there is no certificate in it",
        ),
        (
            "certificate: one.crt, key: empty",
            "there is no private key in it",
        ),
        (
            "certificate: one.crt, key: one.key, client_ca: empty",
            "empty: ",
        ),
        (
            "certificate: one.crt, key: one.key, client_certificate: optional",
            "says nothing without `client_ca`",
        ),
    ] {
        let listen = format!("listen: [{{address: 127.0.0.1:7480, tls: {{{tls}}}}}]\nroutes: []\n");
        std::fs::write(&file, listen).unwrap();
        let (code, report) = run_to_end(&["check", "--config", file.to_str().unwrap()]);
        assert!(report.contains(said), "{tls}: {report}");
        assert_eq!(code == 0, said.starts_with("no mistakes"), "{report}");
        let of_the_key = one.key.lines().nth(1).unwrap();
        assert!(!report.contains(of_the_key), "{report}");
        assert!(code == 0 || report.contains("sidekey.yaml:1:"), "{report}");
    }
}

/// A connection by openssl that stays open.
struct Kept(std::process::Child);

fn openssl(stage: &Stage) -> Kept {
    let address = stage.sidekey.proxy.to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-connect", &address]);
    openssl.args(["-CAfile", &stage.authority_file]);
    openssl
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut kept = Kept(openssl.spawn().unwrap());
    kept.ask();
    assert!(kept.answer().contains("content"));
    kept
}

impl Kept {
    fn ask(&mut self) {
        let ask = "GET /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let input = self.0.stdin.as_mut().unwrap();
        input.write_all(ask.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Until the body has come, or the end.
    fn answer(&mut self) -> String {
        let output = self.0.stdout.as_mut().unwrap();
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"content") && output.read(&mut byte).unwrap() > 0 {
            said.push(byte[0]);
        }
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_drain_does_not_wait_for_handshakes() {
    let mut stage = Stage::new(TLS, None);
    let mut half = TcpStream::connect(stage.sidekey.proxy).unwrap();
    half.write_all(&[0x16, 3, 1]).unwrap();
    let mut kept = openssl(&stage);
    stage.sidekey.signal("TERM");
    assert_eq!(stage.sidekey.ended().code(), Some(0));
    kept.answer();
}
