//! Tokens on disk: what survives a restart, and what is said when the store
//! can't be used.

use crate::support::sidekey::{Launch, command};
use crate::support::{AuthServer, Conf, Server, Sidekey, eventually, free_port};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const OTHER_KEY: &str = "0202020202020202020202020202020202020202020202020202020202020202";

fn stored(auth: &AuthServer, upstream: &Server, file: &Path, key: &str) -> Conf {
    let store = format!("{{path: \"{}\", key: \"{key}\"}}", file.display());
    Conf::new(auth, upstream).store(&store)
}

/// Asks it to end, and waits for that.
fn end(mut sidekey: Sidekey) {
    sidekey.signal("TERM");
    assert_eq!(sidekey.ended().code(), Some(0), "{}", sidekey.logs());
}

/// Runs on a configuration that can't work: what it says.
fn refused(conf: &Conf, environment: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    refused_at(&home, conf, environment)
}

fn refused_at(home: &tempfile::TempDir, conf: &Conf, environment: &[(&str, &str)]) -> String {
    let yaml = conf.yaml().replace("@PROXY@", &free_port().to_string());
    let yaml = yaml.replace("@ADMIN@", &free_port().to_string());
    let file = home.path().join("sidekey.yaml");
    fs::write(&file, yaml).unwrap();
    let mut command = command(home);
    command.arg("run").arg("--config").arg(file);
    command.envs(environment.iter().copied());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_token_survives_a_restart() {
    let (auth, folder) = (AuthServer::start(), tempfile::tempdir().unwrap());
    let upstream = auth.upstream();
    let file = folder.path().join("sidekey.db");
    let conf = stored(&auth, &upstream, &file, KEY);
    let first = Sidekey::run(&conf);
    assert_eq!(first.get("/api/").status, 200);
    end(first);
    let second = Sidekey::run(&conf);
    assert_eq!(second.get("/api/").status, 200);
    assert_eq!(auth.count(), 1, "no new token was asked for");
    assert!(!second.logs().contains("in memory"), "{}", second.logs());
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_token_survives_a_kill() {
    let (auth, folder) = (AuthServer::start(), tempfile::tempdir().unwrap());
    let upstream = auth.upstream();
    let conf = stored(&auth, &upstream, &folder.path().join("sidekey.db"), KEY);
    let mut first = Sidekey::run(&conf);
    assert_eq!(first.get("/api/").status, 200);
    first.signal("KILL");
    first.ended();
    let second = Sidekey::run(&conf);
    assert_eq!(second.get("/api/").status, 200);
    // The answer may not have been written yet when it was shown: a client's
    // token is stored lazily.
    assert!(auth.count() <= 2);
}

#[test]
fn no_file_of_the_store_holds_a_secret() {
    let (auth, folder) = (AuthServer::start(), tempfile::tempdir().unwrap());
    let upstream = auth.upstream();
    let conf = stored(&auth, &upstream, &folder.path().join("sidekey.db"), KEY);
    let sidekey = Sidekey::run(&conf);
    assert_eq!(sidekey.get("/api/").status, 200);
    end(sidekey);
    let token = auth.token();
    for entry in fs::read_dir(folder.path()).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap();
        let found = bytes.windows(token.len()).any(|w| w == token.as_bytes());
        assert!(!found, "{:?} holds the token", entry.path());
    }
}

#[test]
fn a_key_is_made_where_that_is_asked_for_and_never_beside_the_store() {
    let (auth, folder) = (AuthServer::start(), tempfile::tempdir().unwrap());
    let upstream = auth.upstream();
    let conf = Conf::new(&auth, &upstream).store("{key: {generate: true}}");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let environment = [
        ("XDG_CONFIG_HOME".to_owned(), path("config")),
        ("XDG_STATE_HOME".to_owned(), path("state")),
    ];
    let launch = Launch {
        yaml: conf.yaml(),
        environment: environment.to_vec(),
        ..Launch::default()
    };
    for _ in 0..2 {
        let mut sidekey = Sidekey::launch(&launch);
        sidekey.wait_for("/readyz");
        assert_eq!(sidekey.get("/api/").status, 200);
        end(sidekey);
    }
    assert_eq!(auth.count(), 1);
    let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("config/sidekey/store-key"), 0o600);
    assert_eq!(mode("state/sidekey/sidekey.db"), 0o600);
    assert_eq!(mode("state/sidekey"), 0o700);
    // The key is gone: none is made in its place.
    fs::remove_file(path("config/sidekey/store-key")).unwrap();
    let environment = [
        ("XDG_CONFIG_HOME", &*path("config")),
        ("XDG_STATE_HOME", &*path("state")),
    ];
    let said = refused(&conf, &environment);
    assert!(said.contains("but not its key"), "{said}");
}

#[test]
fn without_a_terminal_no_key_is_made_unasked() {
    let auth = AuthServer::start();
    let conf = Conf::new(&auth, &auth.upstream()).store("{}");
    let home = tempfile::tempdir().unwrap();
    let said = refused_at(&home, &conf, &[]);
    assert!(said.contains("generate: true"), "{said}");
    assert!(!home.path().join(".config").exists());
    assert_eq!(auth.count(), 0);
}

#[test]
fn a_store_that_cannot_be_used_is_said_plainly_and_left_alone() {
    let (auth, folder) = (AuthServer::start(), tempfile::tempdir().unwrap());
    let upstream = auth.upstream();
    let file = folder.path().join("sidekey.db");
    end(Sidekey::run(&stored(&auth, &upstream, &file, KEY)));
    let good = fs::read(&file).unwrap();
    let said = refused(&stored(&auth, &upstream, &file, OTHER_KEY), &[]);
    assert!(said.contains("sealed with another key"), "{said}");
    assert!(!said.contains(OTHER_KEY), "{said}");
    assert_eq!(fs::read(&file).unwrap(), good);

    let mut bad = good.clone();
    bad[4_096..8_192].fill(0x55);
    fs::write(&file, &bad).unwrap();
    let said = refused(&stored(&auth, &upstream, &file, KEY), &[]);
    assert!(said.contains("damaged"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), bad);

    fs::write(&file, "a letter").unwrap();
    let said = refused(&stored(&auth, &upstream, &file, KEY), &[]);
    assert!(said.contains("no sidekey store"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), b"a letter");

    let nowhere = folder.path().join("none/sidekey.db");
    let said = refused(&stored(&auth, &upstream, &nowhere, KEY), &[]);
    assert!(said.contains("its folder does not exist"), "{said}");
    assert_eq!(auth.count(), 1, "nothing was fetched");
}

/// Not for root, whom no mode keeps out.
#[test]
fn a_folder_that_may_not_be_written_is_said_plainly() {
    let (auth, folder) = (AuthServer::start(), tempfile::tempdir().unwrap());
    let file = folder.path().join("sidekey.db");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o500)).unwrap();
    if fs::write(folder.path().join("probe"), "").is_ok() {
        return;
    }
    let said = refused(&stored(&auth, &auth.upstream(), &file, KEY), &[]);
    assert!(said.contains("must be writable"), "{said}");
}

/// Five processes that were started at once.
struct Five {
    auth: AuthServer,
    upstream: Server,
    processes: Vec<Sidekey>,
    _folder: tempfile::TempDir,
}

impl Five {
    fn start() -> Self {
        let (auth, folder) = (AuthServer::start(), tempfile::tempdir().unwrap());
        let upstream = auth.upstream();
        let conf = stored(&auth, &upstream, &folder.path().join("sidekey.db"), KEY);
        let launch = || {
            Sidekey::launch(&Launch {
                yaml: conf.yaml(),
                ..Launch::default()
            })
        };
        let mut processes: Vec<Sidekey> = (0..5).map(|_| launch()).collect();
        processes.iter_mut().for_each(|p| p.wait_for("/readyz"));
        Self {
            auth,
            upstream,
            processes,
            _folder: folder,
        }
    }

    /// With one token among them. A client that has none waits for another process
    /// for three seconds only: where the machine stands still for so long, once more.
    fn with_one_token() -> Self {
        loop {
            let began = Instant::now();
            let five = Self::start();
            if five.auth.count() == 1 {
                return five;
            }
            let took = began.elapsed();
            assert!(took > Duration::from_secs(3), "two tokens in {took:?}");
        }
    }

    fn all_serve(&self) -> bool {
        let mut processes = self.processes.iter();
        processes.all(|p| p.get("/api/").status == 200)
    }

    /// How many tokens each has seen.
    fn generations(&self) -> Vec<u64> {
        let of = |p: &Sidekey| p.api("GET", "/api/accounts/one", "").json()["generation"].as_u64();
        self.processes.iter().map(|p| of(p).unwrap()).collect()
    }
}

#[test]
fn five_processes_on_one_store_ask_for_one_token() {
    let five = Five::with_one_token();
    let (auth, upstream) = (&five.auth, &five.upstream);
    assert!(five.all_serve());
    assert_eq!(auth.count(), 1, "the first token");
    // The upstream rejects it: whoever hears of that first fetches the next one.
    auth.revoke();
    assert!(five.all_serve());
    assert_eq!(auth.count(), 2, "one more for all of them");
    // One of them refreshes; the others take notice without being asked for
    // anything.
    let before = five.generations();
    auth.revoke();
    assert_eq!(five.processes[0].get("/api/").status, 200);
    eventually("the others to take it over", || {
        let now = five.generations();
        now.iter().zip(&before).all(|(now, before)| now > before)
    });
    // It is shown a moment before workers have it.
    eventually("no replay to be needed", || {
        let before = upstream.count();
        assert!(five.all_serve());
        upstream.count() - before == 5
    });
    assert_eq!(auth.count(), 3);
    let refreshes = |p: &Sidekey| p.metric("sidekey_token_refreshes_total", &[]);
    assert_eq!(five.processes.iter().map(refreshes).sum::<f64>(), 3.0);
}

/// Runs `sidekey store …` on a configuration.
fn store_command(conf: &Conf, arguments: &[&str]) -> (i32, String) {
    let home = tempfile::tempdir().unwrap();
    let yaml = conf.yaml().replace("@PROXY@", "7480");
    let file = home.path().join("sidekey.yaml");
    fs::write(&file, yaml.replace("@ADMIN@", "7481")).unwrap();
    let mut command = command(&home);
    command
        .arg("store")
        .args(arguments)
        .arg("--config")
        .arg(file);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().unwrap_or(-1);
    (code, String::from_utf8(text).unwrap())
}

#[test]
fn a_store_changes_its_key_and_is_carried_elsewhere() {
    let (auth, folder) = (AuthServer::start(), tempfile::tempdir().unwrap());
    let upstream = auth.upstream();
    let file = folder.path().join("sidekey.db");
    end(Sidekey::run(&stored(&auth, &upstream, &file, KEY)));
    let both = format!(
        "{{path: \"{}\", key: [\"{OTHER_KEY}\", \"{KEY}\"]}}",
        file.display()
    );
    let (code, said) = store_command(&Conf::new(&auth, &upstream).store(&both), &["rekey"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("1 records"), "{said}");
    let rekeyed = stored(&auth, &upstream, &file, OTHER_KEY);
    let export = folder.path().join("export");
    let export = export.to_str().unwrap();
    let (code, said) = store_command(&rekeyed, &["export", export]);
    assert_eq!(code, 0, "{said}");
    let sealed = fs::read_to_string(export).unwrap();
    assert!(!sealed.contains(&auth.token()) && !sealed.contains("account/"));
    let (code, said) = store_command(&rekeyed, &["export", export]);
    assert_eq!(code, 1, "nothing is overwritten: {said}");
    let elsewhere = folder.path().join("elsewhere.db");
    let elsewhere = stored(&auth, &upstream, &elsewhere, OTHER_KEY);
    let (code, said) = store_command(&elsewhere, &["import", export]);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("1 records"), "{said}");
    let (_, said) = store_command(&elsewhere, &["import", export]);
    assert!(said.starts_with("0 records"), "{said}");
    let sidekey = Sidekey::run(&elsewhere);
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!(auth.count(), 1, "the token went along");
}
