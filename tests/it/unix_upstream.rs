//! Upstreams that listen on Unix sockets.

use crate::support::authority::Authority;
use crate::support::feature::shown;
use crate::support::real::Nginx;
use crate::support::sidekey::run_to_end;
use crate::support::tls::curled;
use crate::support::{AuthServer, Conf, Sidekey, call, connect};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

#[test]
fn nginx_on_a_unix_socket() {
    let authority = Authority::new("Works CA");
    let nginx = Nginx::upstream(&authority.pem, &authority.issue(&["nginx.test"]));
    let auth = AuthServer::start();
    let socket = format!("unix_socket: {}", nginx.unix_socket().display());
    // Not over the network: the token may go in plain HTTP.
    let conf = Conf::at(&auth.endpoint(), "http://app.test/base/").route(&socket);
    let sidekey = Sidekey::run(&conf);
    for _ in 0..3 {
        let answer = sidekey.get("/api/x?y");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let token = auth.token();
        assert_eq!(answer.text(), format!("app.test /base/x?y Bearer {token}"));
    }
    let answer = call(sidekey.proxy, "POST", "/api/", &[], &[b'x'; 100_000]);
    assert_eq!(answer.status, 200);
    for (version, protocol) in [
        ("--http1.1", "HTTP/1.1"),
        ("--http2-prior-knowledge", "HTTP/2"),
    ] {
        let said = curled(&[version, &format!("http://{}/api/x?y", sidekey.proxy)]);
        let token = auth.token();
        assert_eq!(said, format!("app.test /base/x?y Bearer {token}"));
        shown(
            protocol,
            "an upstream at a Unix socket",
            "curl",
            "nginx, HTTP/1.1",
        );
    }
}

#[test]
fn nobody_listening_is_unreachable_and_says_where() {
    let auth = AuthServer::start();
    let conf = Conf::at(&auth.endpoint(), "http://localhost/").route("unix_socket: gone.sock");
    let sidekey = Sidekey::run(&conf);
    let answer = sidekey.get("/api/");
    assert_eq!(
        (answer.status, answer.problem()),
        (502, "upstream_unreachable")
    );
    assert!(answer.text().contains("gone.sock"), "{}", answer.text());
}

/// More requests at once than the socket's queue holds: each is served as soon
/// as the server takes it.
#[test]
fn a_full_queue_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&socket2::SockAddr::unix(&path).unwrap())
        .unwrap();
    socket.listen(1).unwrap();
    let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
    let auth = AuthServer::start();
    let conf = Conf::at(&auth.endpoint(), "http://localhost/")
        .route(&format!("unix_socket: {}", path.display()))
        .route("connect_timeout: 60s");
    let sidekey = Sidekey::run(&conf);
    const CALLS: usize = 12;
    let mut callers: Vec<_> = (0..CALLS)
        .map(|_| {
            let mut caller = connect(sidekey.proxy, Duration::from_secs(60));
            let head = format!(
                "GET /api/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                sidekey.proxy
            );
            caller.write_all(head.as_bytes()).unwrap();
            caller
        })
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..CALLS {
                let (mut upstream, _) = listener.accept().unwrap();
                let mut head = [0; 4096];
                assert!(upstream.read(&mut head).unwrap() > 0);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                upstream.write_all(answer).unwrap();
            }
        });
        for caller in &mut callers {
            let mut answer = String::new();
            caller.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    });
}

#[test]
fn the_other_spelling_is_told_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sidekey.yaml");
    let yaml = Conf::at("http://127.0.0.1:1/token", "unix:/run/app.sock").yaml();
    let yaml = yaml.replace("@PROXY@", "7480").replace("@ADMIN@", "7481");
    std::fs::write(&file, yaml.replace("{env: TEST_CLIENT_SECRET}", "x")).unwrap();
    let (code, said) = run_to_end(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("`unix_socket: /run/app.sock`"), "{said}");
}
