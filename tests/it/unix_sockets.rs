//! Listeners at Unix sockets.

use crate::support::sidekey::Launch;
use crate::support::tls::{curl, curled};
use crate::support::{AuthServer, Conf, Server, Sidekey, eventually, free_port, get, local};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

struct Stage {
    sidekey: Sidekey,
    yaml: String,
    folder: tempfile::TempDir,
    _servers: (AuthServer, Server),
}

const PLAIN: &str = "listen: 127.0.0.1:@PROXY@\n";

/// The configuration, with this for its listeners; `@DIR@` is the folder.
fn with(yaml: &str, listen: &str, folder: &tempfile::TempDir) -> String {
    let folder = folder.path().to_str().unwrap();
    yaml.replace(
        PLAIN,
        &format!("listen: {}\n", listen.replace("@DIR@", folder)),
    )
}

impl Stage {
    fn new(listen: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::in_folder(listen, folder)
    }

    fn in_folder(listen: &str, folder: tempfile::TempDir) -> Self {
        let auth = AuthServer::start();
        let upstream = auth.upstream();
        let yaml = Conf::new(&auth, &upstream).yaml();
        let sidekey = Sidekey::run_yaml(&with(&yaml, listen, &folder));
        Self {
            sidekey,
            yaml,
            folder,
            _servers: (auth, upstream),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn curl(&self, name: &str) -> String {
        let path = self.path(name);
        curled(&[
            "--unix-socket",
            path.to_str().unwrap(),
            "http://any.example/api/",
        ])
    }

    fn is_refused(&self, name: &str) -> bool {
        let path = self.path(name);
        let answer = curl(&[
            "--unix-socket",
            path.to_str().unwrap(),
            "http://localhost/api/",
        ]);
        !answer.status.success()
    }

    fn mode(&self, name: &str) -> u32 {
        let seen = fs::metadata(self.path(name)).unwrap();
        seen.permissions().mode() & 0o7777
    }

    fn configure(&self, listen: &str) {
        self.sidekey
            .configure(&with(&self.yaml, listen, &self.folder));
        self.sidekey.signal("HUP");
    }
}

#[test]
fn curl_calls_over_the_file_which_is_for_its_owner_and_goes_at_the_end() {
    let mut stage = Stage::new("unix:@DIR@/s");
    assert_eq!(stage.mode("s"), 0o600);
    assert_eq!(stage.curl("s"), "content");
    let url = "http://localhost/api/";
    let path = stage.path("s");
    let several = [
        "--unix-socket",
        path.to_str().unwrap(),
        "-w",
        "%{num_connects};",
        url,
        url,
    ];
    assert_eq!(curled(&several), "content1;content0;");
    let uid = fs::metadata(&path).unwrap().uid();
    let line = format!("unix:uid={uid} GET /api/ 200");
    eventually("a line of the log", || stage.sidekey.logs().contains(&line));
    let place = format!("unix:{} for applications", path.display());
    eventually("its place in the log", || {
        stage.sidekey.logs().contains(&place)
    });
    stage.sidekey.restart();
    assert_eq!(stage.curl("s"), "content");
    stage.sidekey.signal("TERM");
    assert_eq!(stage.sidekey.ended().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn hosts_are_asked_for_only_where_they_are_listed() {
    let stage = Stage::new("[{address: \"unix:@DIR@/s\", hosts: [this.example], mode: 0666}]");
    assert_eq!(stage.mode("s"), 0o666);
    let path = stage.path("s");
    let status = |host: &str| {
        let url = format!("http://{host}/api/");
        let path = path.to_str().unwrap();
        curled(&[
            "--unix-socket",
            path,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &url,
        ])
    };
    assert_eq!(status("this.example"), "200");
    assert_eq!(status("other.example"), "403");
}

#[test]
fn what_a_killed_process_left_is_replaced_and_what_lives_is_not() {
    let folder = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(folder.path().join("s")).unwrap());
    let mut stage = Stage::in_folder("unix:@DIR@/s", folder);
    assert_eq!(stage.curl("s"), "content");
    // Another one finds it taken.
    let mut second = Sidekey::launch(&Launch {
        yaml: with(&stage.yaml, "unix:@DIR@/s", &stage.folder),
        ..Launch::default()
    });
    assert_eq!(second.ended().code(), Some(1));
    let said = second.logs();
    assert!(said.contains("/s is in use"), "{said}");
    assert_eq!(stage.curl("s"), "content");
    // Killed, it leaves its file.
    stage.sidekey.signal("KILL");
    stage.sidekey.ended();
    assert!(stage.path("s").exists());
    stage.sidekey = Sidekey::run_yaml(&with(&stage.yaml, "unix:@DIR@/s", &stage.folder));
    assert_eq!(stage.curl("s"), "content");
}

#[test]
fn another_servers_socket_and_other_files_are_left_alone() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let folder = tempfile::tempdir().unwrap();
    let _other = UnixListener::bind(folder.path().join("taken")).unwrap();
    fs::write(folder.path().join("text"), "text").unwrap();
    let listen = "[{address: \"unix:@DIR@/taken\"}, {address: \"unix:@DIR@/text\"}, \
                  {address: \"unix:@DIR@/none/s\"}]";
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: with(&Conf::new(&auth, &upstream).yaml(), listen, &folder),
        ..Launch::default()
    });
    assert_eq!(sidekey.ended().code(), Some(1));
    let said = sidekey.logs();
    for what in [
        "/taken is in use",
        "/text can't be listened on",
        "/none/s can't be",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
    assert_eq!(fs::read(folder.path().join("text")).unwrap(), b"text");
    assert!(folder.path().join("taken").exists());
}

#[test]
fn a_file_that_was_exchanged_is_not_removed() {
    let mut stage = Stage::new("unix:@DIR@/s");
    fs::remove_file(stage.path("s")).unwrap();
    let _other = UnixListener::bind(stage.path("s")).unwrap();
    stage.sidekey.signal("TERM");
    assert_eq!(stage.sidekey.ended().code(), Some(0));
    assert!(stage.path("s").exists());
}

#[test]
fn a_reload_adds_removes_and_changes_modes() {
    let stage = Stage::new("unix:@DIR@/first");
    let port = free_port();
    stage.configure(&format!(
        "[{{address: \"unix:@DIR@/first\", mode: 0660}}, {{address: \"unix:@DIR@/second\"}}, \
         {{address: \"127.0.0.1:{port}\"}}]"
    ));
    eventually("the second", || {
        stage.path("second").exists() && !stage.is_refused("second")
    });
    eventually("the mode", || stage.mode("first") == 0o660);
    assert_eq!(stage.curl("first"), "content");
    assert_eq!(get(local(port), "/api/").status, 200);
    stage.configure("unix:@DIR@/second");
    eventually("the first is gone", || !stage.path("first").exists());
    assert_eq!(stage.curl("second"), "content");
    let gone = format!("no longer on unix:{}", stage.path("first").display());
    eventually("a line about it", || stage.sidekey.logs().contains(&gone));
    // One that can't be had changes nothing.
    let _taken = UnixListener::bind(stage.path("taken")).unwrap();
    stage.configure("[{address: \"unix:@DIR@/third\"}, {address: \"unix:@DIR@/taken\"}]");
    eventually("a mistake", || {
        stage.sidekey.logs().contains("/taken is in use")
    });
    assert_eq!(stage.curl("second"), "content");
    assert!(!stage.path("third").exists());
}
