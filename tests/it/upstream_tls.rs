//! TLS towards upstreams: private authorities, client certificates, and what
//! is said when it fails.

use crate::support::authority::{Authority, Pair, TlsFront};
use crate::support::peer::Peer;
use crate::support::real::Nginx;
use crate::support::sidekey::{Launch, run_to_end};
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey, call, eventually};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

struct Parts {
    _auth: AuthServer,
    behind: Server,
    front: TlsFront,
    sidekey: Sidekey,
}

/// sidekey before a TLS server; `tls` is what its route says of that.
fn started(pair: &Pair, clients: Option<&Authority>, tls: &str, files: &[(&str, &str)]) -> Parts {
    let auth = AuthServer::start();
    let behind = Server::start(|_| Answer::ok("ok"));
    let front = TlsFront::start(pair, clients, behind.address);
    let sidekey = run(&auth, front.address, tls, files);
    Parts {
        _auth: auth,
        behind,
        front,
        sidekey,
    }
}

fn conf(auth: &AuthServer, upstream: SocketAddr, tls: &str) -> Conf {
    let conf = Conf::at(&auth.endpoint(), &format!("https://{upstream}/"));
    match tls {
        "" => conf,
        tls => conf.route(&format!("tls: {tls}")),
    }
}

fn run(auth: &AuthServer, upstream: SocketAddr, tls: &str, files: &[(&str, &str)]) -> Sidekey {
    run_yaml(conf(auth, upstream, tls).yaml(), files)
}

fn run_yaml(yaml: String, files: &[(&str, &str)]) -> Sidekey {
    let files = files.iter().map(|(n, c)| ((*n).into(), (*c).into()));
    let mut sidekey = Sidekey::launch(&Launch {
        yaml,
        files: files.collect(),
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    sidekey
}

/// The detail of an `upstream_tls_error`.
fn tls_error(sidekey: &Sidekey) -> String {
    let answer = sidekey.get("/api/");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(answer.problem(), "upstream_tls_error", "{}", answer.text());
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[test]
fn a_private_authority_is_trusted_where_the_route_says_so() {
    let authority = Authority::new("Works CA");
    let pair = authority.issue(&["127.0.0.1"]);
    let parts = started(&pair, None, "{ca: ca.pem}", &[("ca.pem", &authority.pem)]);
    assert_eq!(parts.sidekey.get("/api/").status, 200);
    assert_eq!(parts.behind.count(), 1);

    let stranger = run(&parts._auth, parts.front.address, "", &[]);
    let said = tls_error(&stranger);
    assert!(
        said.contains("CN=Works CA") && said.contains("set tls.ca"),
        "{said}"
    );
    assert_eq!(parts.behind.count(), 1, "no token goes to a stranger");
}

/// Past a reader that takes little at a time, so that the last of it has to wait, too.
#[test]
fn an_upload_comes_whole_past_a_slow_reader() {
    const LENGTH: usize = 6 << 20;
    let authority = Authority::new("Works CA");
    let pair = authority.issue(&["127.0.0.1"]);
    let auth = AuthServer::start();
    let behind = Peer::start(|_, mut stream| {
        let (mut got, mut some) = (Vec::new(), [0; 4096]);
        let end = |got: &[u8]| got.windows(4).position(|four| four == b"\r\n\r\n");
        while end(&got).is_none_or(|end| got.len() < end + 4 + LENGTH) {
            match stream.read(&mut some) {
                Ok(read @ 1..) if got.len() < 4096 => got.extend_from_slice(&some[..read]),
                Ok(read @ 1..) => got.resize(got.len() + read, b'x'),
                _ => return,
            }
        }
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        let _ = stream.write_all(answer.as_bytes());
    });
    let front = TlsFront::start(&pair, None, behind.address);
    let files = [("ca.pem", authority.pem.as_str())];
    let sidekey = run(&auth, front.address, "{ca: ca.pem}", &files);
    for _ in 0..3 {
        let answer = call(sidekey.proxy, "POST", "/api/", &[], &vec![b'x'; LENGTH]);
        assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()));
    }
}

/// More at once than one task does without a pause.
#[test]
fn many_requests_at_once_all_go_out() {
    let authority = Authority::new("Works CA");
    let pair = authority.issue(&["127.0.0.1"]);
    let files = [("ca.pem", authority.pem.as_str())];
    let parts = started(&pair, None, "{ca: ca.pem}", &files);
    let host = parts.sidekey.proxy;
    let mut callers: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(host).unwrap())
        .collect();
    for round in 1..4 {
        for caller in &mut callers {
            let request = format!("GET /api/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
            caller.write_all(request.as_bytes()).unwrap();
        }
        for caller in &mut callers {
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nok") {
                let mut byte = [0];
                assert_eq!(caller.read(&mut byte).unwrap(), 1, "{answer:?}");
                answer.push(byte[0]);
            }
        }
        assert_eq!(parts.behind.count(), 300 * round);
    }
}

#[test]
fn an_integration_says_it_for_all_its_routes() {
    let authority = Authority::new("Works CA");
    let pair = authority.issue(&["127.0.0.1"]);
    let (auth, behind) = (AuthServer::start(), Server::start(|_| Answer::ok("ok")));
    let front = TlsFront::start(&pair, None, behind.address);
    let conf = conf(&auth, front.address, "").integration("tls: {ca: ca.pem}");
    let sidekey = run_yaml(conf.yaml(), &[("ca.pem", &authority.pem)]);
    assert_eq!(sidekey.get("/api/").status, 200);
}

#[test]
fn an_expired_certificate_says_since_when() {
    let authority = Authority::new("Works CA");
    let pair = authority.expired(&["127.0.0.1"], 2021);
    let parts = started(&pair, None, "{ca: ca.pem}", &[("ca.pem", &authority.pem)]);
    let said = tls_error(&parts.sidekey);
    assert!(said.contains("expired at 2021-01-01T00:00:00Z"), "{said}");
}

#[test]
fn another_name_says_which_and_server_name_cures_it() {
    let authority = Authority::new("Works CA");
    let pair = authority.issue(&["one.test", "two.test"]);
    let files = [("ca.pem", authority.pem.as_str())];
    let parts = started(&pair, None, "{ca: ca.pem}", &files);
    let said = tls_error(&parts.sidekey);
    assert!(
        said.contains("one.test, two.test") && said.contains("127.0.0.1"),
        "{said}"
    );
    assert!(said.contains("tls.server_name"), "{said}");
    let cured = "{ca: ca.pem, server_name: two.test}";
    let cured = run(&parts._auth, parts.front.address, cured, &files);
    assert_eq!(cured.get("/api/").status, 200);
}

/// The server judges after the handshake has ended for the client (TLS 1.3).
#[test]
fn an_upstream_that_wants_a_client_certificate_is_heard() {
    let (authority, others) = (Authority::new("Works CA"), Authority::new("Other CA"));
    let pair = authority.issue(&["127.0.0.1"]);
    let (ours, theirs) = (authority.issue(&["sidekey"]), others.issue(&["sidekey"]));
    let files = [
        ("ca.pem", authority.pem.as_str()),
        ("ours.pem", &ours.certificate),
        ("ours.key", &ours.key),
        ("theirs.pem", &theirs.certificate),
        ("theirs.key", &theirs.key),
    ];
    let parts = started(&pair, Some(&authority), "{ca: ca.pem}", &files);
    for _ in 0..10 {
        let said = tls_error(&parts.sidekey);
        assert!(said.contains("client certificate"), "{said}");
        assert!(said.contains("set tls.certificate and tls.key"), "{said}");
    }
    let with = |tls: &str| run(&parts._auth, parts.front.address, tls, &files);
    let refused = with("{ca: ca.pem, certificate: theirs.pem, key: theirs.key}");
    for _ in 0..10 {
        let said = tls_error(&refused);
        assert!(said.contains("refused the client certificate"), "{said}");
    }
    assert_eq!(parts.behind.count(), 0);
    let good = with("{ca: ca.pem, certificate: ours.pem, key: ours.key}");
    assert_eq!(good.get("/api/").status, 200);
}

#[test]
fn nginx_sees_each_routes_own_certificate() {
    let authority = Authority::new("Works CA");
    let server = authority.issue(&["nginx.test"]);
    let (a, b) = (
        authority.issue(&["client-a"]),
        authority.issue(&["client-b"]),
    );
    let nginx = Nginx::upstream(&authority.pem, &server);
    let auth = AuthServer::start();
    let tls = |name: &str| {
        format!("{{ca: ca.pem, certificate: {name}.pem, key: {name}.key, server_name: nginx.test}}")
    };
    let other = |path: &str, tls: &str| {
        format!(
            "\x20 - {{path: {path}, upstream: \"https://{}/\", account: one, tls: {tls}}}\n",
            nginx.address
        )
    };
    let none = "{ca: ca.pem, server_name: nginx.test}";
    let yaml = conf(&auth, nginx.address, &tls("a")).yaml();
    let yaml = format!("{yaml}{}{}", other("/b/", &tls("b")), other("/none/", none));
    let files = [
        ("ca.pem", authority.pem.as_str()),
        ("a.pem", &a.certificate),
        ("a.key", &a.key),
        ("b.pem", &b.certificate),
        ("b.key", &b.key),
    ];
    let sidekey = run_yaml(yaml, &files);
    for _ in 0..10 {
        assert_eq!(sidekey.get("/api/").text(), "nginx.test CN=client-a");
        assert_eq!(sidekey.get("/b/").text(), "nginx.test CN=client-b");
        // nginx says so by an answer of its own, which is passed on.
        let none = sidekey.get("/none/");
        assert_eq!(none.status, 400, "{}", none.text());
        assert!(none.text().contains("No required SSL certificate"));
    }
}

#[test]
fn files_that_change_are_read_again_and_old_connections_left() {
    let (old, new) = (Authority::new("Old CA"), Authority::new("New CA"));
    let pair = old.issue(&["127.0.0.1"]);
    let (auth, behind) = (AuthServer::start(), Server::start(|_| Answer::ok("ok")));
    let front = TlsFront::start(&pair, None, behind.address);
    // Of several workers, one may have what a reload brings before another.
    let conf = conf(&auth, front.address, "{ca: ca.pem}").top("workers: {count: 1}");
    let sidekey = run_yaml(conf.yaml(), &[("ca.pem", &old.pem)]);
    assert_eq!(sidekey.get("/api/").status, 200);
    sidekey.put("ca.pem", &new.pem);
    // A connection that the old authority vouched for would still answer.
    eventually("the new authority", || sidekey.get("/api/").status == 502);
    assert!(tls_error(&sidekey).contains("CN=Old CA"));
    sidekey.put("ca.pem", &format!("{}{}", new.pem, old.pem));
    eventually("both authorities", || sidekey.get("/api/").status == 200);
    // What can't be used changes nothing.
    sidekey.put("ca.pem", "nothing");
    eventually("the mistake", || {
        sidekey.logs().contains("holds no certificate in PEM")
    });
    assert_eq!(sidekey.get("/api/").status, 200);
}

/// Certificate and key change at once, behind a link.
#[test]
fn a_client_certificate_is_rotated_as_kubernetes_does() {
    let authority = Authority::new("Works CA");
    let nginx = Nginx::upstream(&authority.pem, &authority.issue(&["nginx.test"]));
    let auth = AuthServer::start();
    let tls = "{ca: ca.pem, certificate: tls.crt, key: tls.key, server_name: nginx.test}";
    let yaml = conf(&auth, nginx.address, tls).yaml();
    let first = authority.issue(&["client-0"]);
    let files = [
        ("ca.pem", &authority.pem),
        ("tls.crt", &first.certificate),
        ("tls.key", &first.key),
    ];
    let files = files.map(|(name, content)| (name.to_owned(), content.clone()));
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: yaml.clone(),
        files: files.into(),
        mounted: true,
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    assert_eq!(sidekey.get("/api/").text(), "nginx.test CN=client-0");
    for number in 1..3 {
        let pair = authority.issue(&[&format!("client-{number}")]);
        let files = [
            ("ca.pem", authority.pem.as_str()),
            ("tls.crt", &pair.certificate),
            ("tls.key", &pair.key),
        ];
        sidekey.mount(&yaml, &files);
        let wanted = format!("nginx.test CN=client-{number}");
        eventually("the new certificate", || {
            let answer = sidekey.get("/api/");
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.text() == wanted
        });
    }
}

#[test]
fn mistakes_are_found_at_their_places() {
    let authority = Authority::new("Works CA");
    let (one, two) = (authority.issue(&["one"]), authority.issue(&["two"]));
    let folder = tempfile::tempdir().unwrap();
    let put =
        |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    put("ca.pem", &authority.pem);
    put("one.pem", &one.certificate);
    put("two.key", &two.key);
    put("empty.pem", "");
    let auth = AuthServer::start();
    let check = |upstream: &str, tls: &str| {
        let conf = Conf::at(&auth.endpoint(), upstream).route(&format!("tls: {tls}"));
        let yaml = conf
            .yaml()
            .replace("@PROXY@", "7480")
            .replace("@ADMIN@", "7481");
        let yaml = yaml.replace("{env: TEST_CLIENT_SECRET}", "x");
        let file = folder.path().join("sidekey.yaml");
        std::fs::write(&file, &yaml).unwrap();
        let (code, said) = run_to_end(&["check", "--config", file.to_str().unwrap()]);
        let line = yaml.lines().position(|l| l.contains("tls:")).unwrap() + 1;
        assert!(said.contains(&format!(":{line}:")), "{line}: {said}");
        assert_eq!(code, 1, "{said}");
        said
    };
    let https = "https://api.example.com/";
    for (tls, wanted) in [
        ("{ca: none.pem}", "can't be read"),
        ("{ca: empty.pem}", "holds no certificate in PEM"),
        ("{certificate: one.pem}", "`certificate` without `key`"),
        (
            "{certificate: one.pem, key: one.pem}",
            "holds no private key in PEM",
        ),
        (
            "{certificate: one.pem, key: two.key}",
            "is not the key of the certificate",
        ),
        ("{server_name: \"a b\"}", "no DNS name or IP address"),
    ] {
        let said = check(https, tls);
        assert!(said.contains(wanted), "{tls}: {said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
    let said = check("http://localhost:1/", "{ca: ca.pem}");
    assert!(said.contains("beside an upstream without TLS"), "{said}");
}
