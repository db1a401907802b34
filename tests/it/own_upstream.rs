//! Routes that would lead back to sidekey itself.

use crate::support::sidekey::{Launch, run_to_end};
use crate::support::{AuthServer, Conf, Sidekey, eventually};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

/// The configuration can't know where an account will lead that somebody makes later.
#[test]
fn a_created_account_leads_no_route_back_to_us() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let conf =
        Conf::new(&auth, &upstream).integration("parameters: [{name: port, pattern: \"[0-9]+\"}]");
    let yaml = conf.yaml().replace(
        "integration: test}",
        "integration: test, parameters: {port: \"1\"}}",
    );
    let late = "  - {path: /late/, upstream: \"http://127.0.0.1:{port}/\", account: late, integration: test}\n";
    let sidekey = Sidekey::run_yaml(&format!("{yaml}{late}"));
    let create = |port: u16| {
        let body =
            format!(r#"{{"key":"late","integration":"test","parameters":{{"port":"{port}"}}}}"#);
        let made = sidekey.api("POST", "/api/accounts", &body);
        assert_eq!(made.status, 201, "{}", made.text());
    };
    for own in [sidekey.proxy, sidekey.admin] {
        create(own.port());
        let said = format!("sidekey's own listener {own}");
        eventually("the mistake", || sidekey.logs().contains(&said));
        let answer = sidekey.get("/late/");
        assert!(answer.status >= 500, "{}", answer.text());
        let gone = sidekey.api("DELETE", "/api/accounts/late", "");
        assert!(gone.status < 300, "{}", gone.text());
    }
    create(upstream.address.port());
    eventually("another server", || sidekey.get("/late/").status == 200);
}

#[test]
fn a_unix_socket_of_ours_is_found_through_links() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("run")).unwrap();
    symlink("run", path("link")).unwrap();
    symlink("run/own.sock", path("alias")).unwrap();
    let check = |socket: &str| {
        let yaml = Conf::at("http://127.0.0.1:1/token", "http://localhost/")
            .route(&format!("unix_socket: {socket}"))
            .yaml()
            .replace("listen: 127.0.0.1:@PROXY@", "listen: \"unix:run/own.sock\"")
            .replace("@ADMIN@", "7481")
            .replace("{env: TEST_CLIENT_SECRET}", "x");
        let file = path("sidekey.yaml");
        std::fs::write(&file, yaml).unwrap();
        run_to_end(&["check", "--config", file.to_str().unwrap()])
    };
    let ours = [
        "run/own.sock",
        "link/own.sock",
        "alias",
        "./run/../run/own.sock",
    ];
    // Before there is such a file, and when there is.
    for _ in 0..2 {
        for socket in ours {
            let (code, said) = check(socket);
            assert_eq!(code, 1, "{socket}: {said}");
            assert!(said.contains("sidekey's own listener"), "{socket}: {said}");
        }
        assert_eq!(check("run/other.sock").0, 0);
        if !path("run/own.sock").exists() {
            UnixListener::bind(path("run/own.sock")).unwrap();
        }
    }
}

/// The configuration was checked before the command line moved the listener.
#[test]
fn a_listener_that_is_moved_to_a_routes_own_socket_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("own.sock");
    symlink("own.sock", folder.path().join("alias")).unwrap();
    for reached in ["own.sock", "alias"] {
        let reached = folder.path().join(reached);
        let conf = Conf::at("http://127.0.0.1:1/token", "http://localhost/")
            .route(&format!("unix_socket: {}", reached.display()));
        let listen = format!("unix:{}", socket.display());
        let mut sidekey = Sidekey::launch(&Launch {
            yaml: conf.yaml(),
            environment: vec![("SIDEKEY_LISTEN".into(), listen)],
            ..Launch::default()
        });
        assert_eq!(sidekey.ended().code(), Some(1));
        let said = sidekey.logs();
        assert!(said.contains("lead back to sidekey itself: main"), "{said}");
    }
}
