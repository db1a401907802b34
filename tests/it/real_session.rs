//! curl and Python's requests sign in at an application that knows nothing of
//! sidekey: redirects and cookies must lead back to it.

use crate::support::http::Request;
use crate::support::real::{Nginx, file, node, output};
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey, eventually};
use std::process::Command;

/// Lives at `/app/`, speaks of itself in absolute addresses, wants its cookie
/// back, and takes no call without a token.
fn application(request: &Request, is_live: bool) -> Answer {
    let host = request.header("host").unwrap_or_default();
    let signed_in = request
        .all("cookie")
        .iter()
        .any(|cookie| cookie.contains("session=of-zoe"));
    match (request.method.as_str(), request.path()) {
        _ if !is_live => Answer::rejected(),
        ("POST", "/app/login") => Answer::new(303)
            .header("Location", "/app/home")
            .header(
                "Set-Cookie",
                "session=of-zoe; Path=/app/; Domain=127.0.0.1; Secure; HttpOnly; SameSite=None",
            )
            .header("Set-Cookie", "theme=dark; Path=/"),
        (_, "/app/login") => Answer::ok("who are you?"),
        (_, "/app/home") if signed_in => Answer::ok("welcome, zoe"),
        (_, path) if path.starts_with("/app/") => {
            Answer::new(302).header("Location", &format!("http://{host}/app/login"))
        }
        _ => Answer::new(404).body("outside of the application"),
    }
}

struct Stage {
    _auth: AuthServer,
    _application: Server,
    _nginx: Nginx,
    sidekey: Sidekey,
}

fn stage(more: &str) -> Stage {
    let auth = AuthServer::start();
    let live = auth.checker();
    let application = Server::start(move |request| application(request, live(request)));
    let nginx = Nginx::application(application.address);
    let conf = Conf::at(&auth.endpoint(), &format!("http://{}/app/", nginx.address));
    let conf = conf.route("rewrite_addresses: true");
    let sidekey = Sidekey::run(&match more {
        "" => conf,
        more => conf.route(more),
    });
    Stage {
        _auth: auth,
        _application: application,
        _nginx: nginx,
        sidekey,
    }
}

/// One call after another, with a jar of cookies between them.
fn signs_in_with_curl(sidekey: &Sidekey) {
    let jar = tempfile::NamedTempFile::new().unwrap();
    let base = format!("http://{}/api", sidekey.proxy);
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sSL", "--fail", "--noproxy", "*"]);
        curl.args(["-w", " %{url_effective}"]);
        curl.arg("-b").arg(jar.path()).arg("-c").arg(jar.path());
        output(curl.args(arguments))
    };
    let login = format!("{base}/login");
    assert_eq!(
        curl(&[&format!("{base}/")]),
        format!("who are you? {login}")
    );
    let home = format!("welcome, zoe {base}/home");
    assert_eq!(curl(&["-d", "user=zoe", &login]), home);
    assert_eq!(curl(&[&format!("{base}/home")]), home);
}

#[test]
fn curl_stays_with_sidekey() {
    signs_in_with_curl(&stage("").sidekey);
}

#[test]
fn curl_stays_with_sidekey_where_the_application_sees_its_host() {
    signs_in_with_curl(&stage("preserve_host: true").sidekey);
}

#[test]
fn a_session_of_python_requests_stays_with_sidekey() {
    let stage = stage("");
    let base = format!("http://{}/api", stage.sidekey.proxy);
    let mut python = Command::new(file(".venv/bin/python"));
    python
        .env("NO_PROXY", "*")
        .arg(file("session.py"))
        .arg(&base);
    let said: serde_json::Value = serde_json::from_str(&output(&mut python)).unwrap();
    let (login, home) = (format!("{base}/login"), format!("{base}/home"));
    assert_eq!(said["first"], serde_json::json!([login, "who are you?"]));
    for step in ["signed_in", "again"] {
        assert_eq!(said[step], serde_json::json!([home, "welcome, zoe"]));
    }
    let cookie = serde_json::json!(["127.0.0.1", "/api"]);
    assert_eq!(said["cookies"], serde_json::json!([cookie, cookie]));
}

#[test]
fn a_431_of_nodes_is_explained() {
    let auth = AuthServer::start();
    let (address, _node) = node(
        "require('http').createServer({maxHeaderSize: 4096}, (q, s) => s.end('fine'))\
         .listen(+process.argv[1], '127.0.0.1')",
    );
    let conf = Conf::at(&auth.endpoint(), &format!("http://{address}/"));
    let sidekey = Sidekey::run(&conf);
    let curl = |cookie: &str| {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ]);
        curl.arg("-H").arg(format!("Cookie: {cookie}"));
        output(curl.arg(format!("http://{}/api/", sidekey.proxy)))
    };
    assert_eq!(curl("a=1"), "200");
    assert_eq!(curl(&format!("a={}", "c".repeat(8_000))), "431");
    eventually("the warning", || {
        let logs = sidekey.logs();
        logs.lines()
            .any(|l| l.contains("(431)") && l.contains("clear those"))
    });
}
