//! A disk that gives EIO in the middle of a rotation: `bad_disk.c`, between
//! sidekey and the system, fails its calls on the store's files.

use crate::support::real::file;
use crate::support::rotation::{KEY, Rotating, connect};
use crate::support::sidekey::Launch;
use crate::support::{Answer, Conf, Server, Sidekey, call, eventually, eventually_some};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A connected account whose store lies on the disk.
struct Stage {
    folder: tempfile::TempDir,
    server: Rotating,
    upstream: Server,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            folder: tempfile::tempdir().unwrap(),
            server: Rotating::start(None),
            upstream: Server::start(|_| Answer::ok("content")),
        };
        stage.server.life(600);
        let token = stage.server.consent();
        connect(&stage.store(), &stage.server.endpoint(), &token);
        compile(&stage.shim());
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        // As the system names it, without symbolic links.
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("sidekey.db")
    }

    fn shim(&self) -> PathBuf {
        self.path("bad_disk.so")
    }

    fn yaml(&self) -> String {
        let store = format!("{{path: \"{}\", key: \"{KEY}\"}}", self.store().display());
        let upstream = format!("{}/", self.upstream.url());
        let conf = Conf::at(&self.server.endpoint(), &upstream)
            .oauth2("authorization_endpoint: http://127.0.0.1:9/authorize")
            .store(&store);
        conf.yaml()
            .replace("client_credentials", "authorization_code")
    }

    fn launch_on_the_disk(&self) -> Sidekey {
        let variable = |name: &str, path: PathBuf| (name.to_owned(), path.display().to_string());
        Sidekey::launch(&Launch {
            yaml: self.yaml(),
            environment: vec![
                variable("LD_PRELOAD", self.shim()),
                variable("BAD_DISK_FILES", self.store()),
                variable("BAD_DISK_SWITCH", self.path("switch")),
            ],
            ..Launch::default()
        })
    }

    /// From now on `write` or `sync` fails.
    fn break_disk(&self, way: &str) {
        // In one step: no call sees half of it.
        fs::write(self.path("switch.new"), way).unwrap();
        fs::rename(self.path("switch.new"), self.path("switch")).unwrap();
    }

    fn mend_disk(&self) {
        fs::remove_file(self.path("switch")).unwrap();
    }

    /// What the upstream gets.
    fn served(&self, sidekey: &Sidekey) -> String {
        assert_eq!(sidekey.get("/api/").status, 200, "{}", sidekey.logs());
        self.upstream.last().bearer().unwrap().to_owned()
    }

    /// After a kill, on a sound disk, the same token serves, from the store.
    fn survives_a_kill(&self, mut sidekey: Sidekey) {
        let (token, rotations) = (self.served(&sidekey), self.server.rotations());
        sidekey.signal("KILL");
        sidekey.ended();
        let sidekey = Sidekey::run_yaml(&self.yaml());
        assert_eq!(self.served(&sidekey), token);
        assert_eq!(self.server.rotations(), rotations);
    }
}

fn compile(shim: &Path) {
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(shim);
    cc.arg(file("bad_disk.c")).arg("-ldl");
    assert!(cc.status().unwrap().success());
}

fn write_failures(sidekey: &Sidekey) -> f64 {
    sidekey.metric("sidekey_store_write_failures_total", &[])
}

fn account(sidekey: &Sidekey) -> serde_json::Value {
    sidekey.api("GET", "/api/accounts/one", "").json()
}

/// What the API says went wrong last.
fn last_error(sidekey: &Sidekey) -> Option<String> {
    let message = account(sidekey)["last_error"]["message"].clone();
    message.as_str().map(str::to_owned)
}

/// The overview as a browser gets it.
fn page(sidekey: &Sidekey) -> String {
    let origin = format!("http://{}", sidekey.admin);
    let form = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Origin", origin.as_str()),
    ];
    let token = format!("token={}", sidekey.admin_token());
    let session = call(sidekey.admin, "POST", "/session", &form, token.as_bytes());
    let cookie = session.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap();
    call(sidekey.admin, "GET", "/", &[("Cookie", cookie)], b"").text()
}

/// The answer to a rotation comes while the disk fails in this way.
fn a_rotation_on_a_bad_disk(way: &str) {
    let stage = Stage::new();
    let gate = stage.server.hold();
    let mut sidekey = stage.launch_on_the_disk();
    eventually("the request", || gate.came() == 1);
    stage.break_disk(way);
    stage.server.let_go();
    sidekey.wait_for("/readyz");
    eventually("the failed write", || write_failures(&sidekey) >= 1.0);

    assert!(stage.served(&sidekey).starts_with("access-"));
    let said = eventually_some("the error's line", || {
        let logs = sidekey.logs();
        let line = logs.lines().find(|line| line.contains("only in memory"));
        line.map(str::to_owned)
    });
    assert!(said.contains("ERROR"), "{said}");
    assert!(said.contains("the disk failed"), "{said}");
    let shown = last_error(&sidekey).expect("an error");
    assert!(shown.contains("only in memory"), "{shown}");
    assert!(shown.contains("the disk failed"), "{shown}");
    let page = page(&sidekey);
    assert!(page.contains("only in memory"), "{page}");

    stage.mend_disk();
    eventually("the write", || sidekey.logs().contains("is stored"));
    assert_eq!(last_error(&sidekey), None);
    assert_eq!(stage.server.rotations(), 1);
    stage.survives_a_kill(sidekey);
}

#[test]
fn writes_that_fail_in_mid_rotation_lose_nothing() {
    a_rotation_on_a_bad_disk("write");
}

#[test]
fn writes_that_do_not_reach_the_disk_in_mid_rotation_lose_nothing() {
    a_rotation_on_a_bad_disk("sync");
}

#[test]
fn no_refresh_token_is_sent_while_the_disk_fails() {
    let stage = Stage::new();
    let mut sidekey = stage.launch_on_the_disk();
    sidekey.wait_for("/readyz");
    eventually("the first rotation", || {
        account(&sidekey)["generation"] == 2
    });
    let first = stage.served(&sidekey);
    stage.break_disk("sync");
    let refused = sidekey.api("POST", "/api/accounts/one/refresh", "");
    assert!(refused.text().contains("the disk failed"), "{refused:?}");
    assert_eq!(stage.server.rotations(), 1, "nothing was sent");
    assert_eq!(stage.served(&sidekey), first, "the present token serves");
    assert!(write_failures(&sidekey) >= 1.0);
    assert!(last_error(&sidekey).unwrap().contains("the disk failed"));

    stage.mend_disk();
    // Shown once it is durable.
    eventually("the next attempt", || account(&sidekey)["generation"] == 3);
    assert_eq!(last_error(&sidekey), None);
    assert_eq!(stage.server.rotations(), 2);
    stage.survives_a_kill(sidekey);
}
