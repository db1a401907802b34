//! A disk that fills up in the middle of a rotation.

use crate::support::rotation::{KEY, Rotating, connect};
use crate::support::{Answer, Conf, Server, Sidekey, eventually};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A small volume in memory; gone with this value.
struct Volume(tempfile::TempDir);

impl Volume {
    /// `None` where this user may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "sidekey-test"]);
        let mounted = mount.arg(folder.path()).output().ok()?.status.success();
        mounted.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).unwrap();
        for size in [4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn conf(server: &Rotating, upstream: &Server, volume: &Volume) -> Conf {
    let path = volume.path().join("sidekey.db");
    let store = format!("{{path: \"{}\", key: \"{KEY}\"}}", path.display());
    Conf::at(&server.endpoint(), &format!("{}/", upstream.url()))
        .oauth2("authorization_endpoint: http://127.0.0.1:9/authorize")
        .store(&store)
}

fn launch(conf: &Conf) -> Sidekey {
    let yaml = conf.yaml();
    Sidekey::run_yaml(&yaml.replace("client_credentials", "authorization_code"))
}

#[test]
fn a_full_disk_in_mid_rotation_loses_nothing_once_there_is_room() {
    let Some(volume) = Volume::mount() else {
        println!("NOT RUN: this user may not mount a tmpfs");
        return;
    };
    let server = Rotating::start(None);
    server.life(600);
    let upstream = Server::start(|_| Answer::ok("content"));
    let conf = conf(&server, &upstream, &volume);
    let path = volume.path().join("sidekey.db");
    connect(&path, &server.endpoint(), &server.consent());
    let gate = server.hold();
    let yaml = conf.yaml();
    let yaml = yaml.replace("client_credentials", "authorization_code");
    let mut sidekey = Sidekey::launch(&crate::support::sidekey::Launch {
        yaml,
        ..Default::default()
    });
    eventually("the request", || gate.came() == 1);
    volume.fill();
    server.let_go();
    sidekey.wait_for("/readyz");
    eventually("the failed write", || {
        sidekey.metric("sidekey_store_write_failures_total", &[]) >= 1.0
    });
    // The new token is in use, and it is said that a restart would lose it.
    assert_eq!(sidekey.get("/api/").status, 200);
    assert!(upstream.last().bearer().unwrap().starts_with("access-"));
    eventually("what is said of it", || {
        sidekey.logs().contains("only in memory")
    });
    // Another start says what is wrong.
    let (code, said) = {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("sidekey.yaml");
        let yaml = conf.yaml().replace("@PROXY@", "0").replace("@ADMIN@", "0");
        fs::write(&file, yaml).unwrap();
        crate::support::sidekey::run_to_end(&["run", "--config", file.to_str().unwrap()])
    };
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the disk is full"), "{said}");
    volume.make_room();
    eventually("the write", || sidekey.logs().contains("is stored"));
    sidekey.signal("KILL");
    sidekey.ended();
    let sidekey = launch(&conf);
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!(server.rotations(), 1, "the stored token serves");
    drop(sidekey);
}

#[test]
fn a_read_only_volume_is_said_plainly() {
    let Some(volume) = Volume::mount() else {
        println!("NOT RUN: this user may not mount a tmpfs");
        return;
    };
    let server = Rotating::start(None);
    let upstream = Server::start(|_| Answer::ok("content"));
    let path = volume.path().join("sidekey.db");
    connect(&path, &server.endpoint(), &server.consent());
    let mut remount = Command::new("mount");
    remount.args(["-o", "remount,ro"]).arg(volume.path());
    assert!(remount.status().unwrap().success());
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("sidekey.yaml");
    let yaml = conf(&server, &upstream, &volume).yaml();
    let yaml = yaml.replace("@PROXY@", "0").replace("@ADMIN@", "0");
    fs::write(&file, yaml).unwrap();
    let (code, said) =
        crate::support::sidekey::run_to_end(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("it is read-only"), "{said}");
}
