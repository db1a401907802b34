//! Restarts that callers do not notice: one process takes over from another.

use crate::support::sidekey::{Launch, command};
use crate::support::wait::PATIENCE;
use crate::support::{
    Answer, AuthServer, Conf, Conn, Server, Sidekey, eventually, free_port, get, local,
};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the callers call; `SIDEKEY_HANDOVER_SECONDS=60` for a long run.
fn seconds() -> u64 {
    let set = std::env::var("SIDEKEY_HANDOVER_SECONDS");
    set.map_or(6, |text| text.parse().unwrap())
}

const TAKE_OVERS: u64 = 3;
const STORE: &str = "{path: sidekey.db, key: {generate: true}}";

/// A caller that never tries twice; gives the targets that it asked for.
fn call_on(
    sidekey: std::net::SocketAddr,
    name: &str,
    fresh: bool,
    end: &AtomicBool,
) -> Vec<String> {
    let mut sent = Vec::new();
    let mut open: Option<Conn> = None;
    while !end.load(Ordering::Relaxed) {
        let number = sent.len();
        let target = format!("/api/{name}/{number}");
        // What was closed between two requests is seen before anything is sent.
        let kept = open.take().filter(|conn| !fresh && !conn.is_closed());
        let mut conn = kept.unwrap_or_else(|| Conn::to(sidekey));
        let body = vec![
            b'x';
            if number % 2 == 0 {
                0
            } else {
                1 + number % 5000
            }
        ];
        let method = if body.is_empty() { "GET" } else { "POST" };
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {sidekey}\r\n{length}\r\n");
        conn.send([head.as_bytes(), &body].concat());
        let answer = conn.try_response();
        let answer = answer.unwrap_or_else(|| panic!("{method} {target} got no answer"));
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(answer.text(), body.len().to_string(), "{target}");
        let last = answer.header("connection") == Some("close");
        open = Some(conn).filter(|_| !last);
        sent.push(target);
        // Connections of an instant's life leave their ports behind.
        std::thread::sleep(Duration::from_millis(1));
    }
    sent
}

#[test]
fn nothing_is_lost_in_reloads_and_take_overs() {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| Answer::ok(request.body.len().to_string()));
    let conf = Conf::new(&auth, &upstream)
        .store(STORE)
        .log("{level: info, access: false}");
    let mut sidekey = Sidekey::run(&conf);
    let (file, yaml) = (sidekey.configuration(), sidekey.with_ports(&conf.yaml()));
    let (proxy, end) = (sidekey.proxy, AtomicBool::new(false));
    let mut reloads = 0;
    let mut sent: Vec<String> = std::thread::scope(|scope| {
        // Whatever happens here, the callers end.
        let ends = EndsAtLast(&end);
        let callers: Vec<_> = [("a", true), ("b", false), ("c", true), ("d", false)]
            .into_iter()
            .map(|(name, fresh)| {
                let end = &end;
                scope.spawn(move || call_on(proxy, name, fresh, end))
            })
            .collect();
        let reloading = scope.spawn(|| reload_on_and_on(&file, &yaml, &end));
        let share = Duration::from_millis(seconds() * 1000 / (TAKE_OVERS + 1));
        for step in 1..=TAKE_OVERS {
            std::thread::sleep(share);
            sidekey.signal("HUP");
            assert_eq!(sidekey.take_over().code(), Some(0), "take-over {step}");
        }
        std::thread::sleep(share);
        drop(ends);
        let sent = callers.into_iter().map(|caller| caller.join().unwrap());
        let sent = sent.flatten().collect();
        reloads = reloading.join().unwrap();
        sent
    });
    let mut got: Vec<_> = upstream
        .requests()
        .into_iter()
        .map(|request| format!("/api{}", request.target))
        .collect();
    println!(
        "handover: {} s, {TAKE_OVERS} take-overs, {reloads} reloads: sent {}, got {}, failed 0",
        seconds(),
        sent.len(),
        got.len()
    );
    sent.sort_unstable();
    got.sort_unstable();
    assert!(
        sent == got,
        "sent {} requests, the upstream got {}",
        sent.len(),
        got.len()
    );
}

/// Another setting every second; the processes notice by themselves. Gives how many.
fn reload_on_and_on(file: &Path, yaml: &str, end: &AtomicBool) -> u64 {
    let mut reloads = 0;
    while !end.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_secs(1));
        reloads += 1;
        let new = file.with_extension("new");
        std::fs::write(&new, format!("{yaml}    timeout: {}s\n", 60 + reloads)).unwrap();
        std::fs::rename(&new, file).unwrap();
    }
    reloads
}

struct EndsAtLast<'a>(&'a AtomicBool);

impl Drop for EndsAtLast<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn all_listeners_go_on_and_the_old_process_ends() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let probes = local(free_port());
    let conf = Conf::new(&auth, &upstream)
        .store(STORE)
        .top(&format!("probes: {{listen: \"{probes}\"}}"));
    let mut sidekey = Sidekey::run(&conf);
    let socket = sidekey.take_over_socket();
    let seen = || std::fs::metadata(&socket);
    let first = seen().unwrap();
    assert!(first.file_type().is_socket());
    assert_eq!(first.mode() & 0o777, 0o600);
    let old = sidekey.process();
    let mut kept = Conn::to(sidekey.proxy);
    assert_eq!(kept.get("/api/").status, 200);
    assert_eq!(sidekey.take_over().code(), Some(0));
    assert!(kept.closed(), "of the old process");
    assert_ne!(sidekey.process(), old);
    assert_eq!(sidekey.get("/api/").status, 200);
    for address in [sidekey.admin, probes] {
        assert_eq!(get(address, "/readyz").status, 200);
    }
    assert_ne!(seen().unwrap().ino(), first.ino());
    assert_eq!(
        auth.count(),
        1,
        "the next process reads the token from the store"
    );
    sidekey.signal("TERM");
    assert_eq!(sidekey.ended().code(), Some(0));
    assert!(seen().is_err(), "nobody waits there any more");
}

#[test]
fn where_the_next_one_fails_the_old_one_goes_on() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let holder = TcpListener::bind(local(0)).unwrap();
    let taken = holder.local_addr().unwrap();
    let yaml = Conf::new(&auth, &upstream).store(STORE).yaml();
    let listening = |more: &str| with_unix_socket(&yaml, more);
    let good = listening("mode: 0640");
    let mut sidekey = Sidekey::run_yaml(&good);
    let path = sidekey.configuration().with_file_name("app.sock");
    let mode = || std::fs::metadata(&path).unwrap().mode() & 0o777;
    let bad = listening(&format!("mode: 0600}}, {{address: \"{taken}\""));
    for _ in 0..2 {
        sidekey.configure(&bad);
        let mut next = sidekey.successor();
        let mut said = String::new();
        next.stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(next.wait().unwrap().code(), Some(1), "{said}");
        assert!(said.contains(&format!("{taken} is in use")), "{said}");
        assert_eq!(sidekey.get("/api/").status, 200);
        assert_eq!(get(sidekey.admin, "/readyz").status, 200);
        assert_eq!(ask_over(&path), "HTTP/1.1 200 Status");
        assert_eq!(mode(), 0o640);
    }
    sidekey.configure(&listening("mode: 0600"));
    assert_eq!(sidekey.take_over().code(), Some(0));
    assert_eq!(sidekey.get("/api/").status, 200);
    assert_eq!(ask_over(&path), "HTTP/1.1 200 Status");
    eventually("the mode of the new configuration", || mode() == 0o600);
    sidekey.signal("TERM");
    assert_eq!(sidekey.ended().code(), Some(0));
    assert!(!path.exists());
}

/// The next one may have it already.
#[test]
fn a_process_that_ends_while_it_hands_over_leaves_the_file() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).yaml();
    let mut sidekey = Sidekey::run_yaml(&with_unix_socket(&yaml, "mode: 0600"));
    let path = sidekey.configuration().with_file_name("app.sock");
    let mut next = UnixStream::connect(sidekey.take_over_socket()).unwrap();
    next.set_read_timeout(Some(PATIENCE)).unwrap();
    next.write_all(b"take-over 1\n").unwrap();
    let mut length = [0; 4];
    next.read_exact(&mut length).unwrap();
    let mut names = vec![0; u32::from_be_bytes(length) as usize];
    next.read_exact(&mut names).unwrap();
    let names = String::from_utf8(names).unwrap();
    assert!(names.contains("app.sock\n"), "{names}");
    sidekey.signal("TERM");
    assert_eq!(sidekey.ended().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn where_none_runs_it_starts_as_ever() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let home = tempfile::tempdir().unwrap();
    let (proxy, admin) = (free_port(), free_port());
    let yaml = Conf::new(&auth, &upstream).yaml();
    let yaml = yaml.replace("@PROXY@", &proxy.to_string());
    let file = home.path().join("sidekey.yaml");
    std::fs::write(&file, yaml.replace("@ADMIN@", &admin.to_string())).unwrap();
    let mut command = command(&home);
    command.args(["run", "--take-over", "--config"]).arg(file);
    let mut child = command.spawn().unwrap();
    eventually("an answer", || {
        assert!(child.try_wait().unwrap().is_none());
        std::net::TcpStream::connect(local(proxy)).is_ok()
    });
    assert_eq!(get(local(proxy), "/api/").status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Two of one user, each with an address of its own, share a port and a folder.
#[test]
fn another_with_the_same_port_is_left_alone() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).yaml();
    let first = Sidekey::run_yaml(&yaml);
    first.take_over_socket();
    let proxy = local(free_port());
    let yaml = yaml.replace("127.0.0.1:@PROXY@", &proxy.to_string());
    let yaml = yaml.replace("127.0.0.1:@ADMIN@", "127.0.0.2:@ADMIN@");
    assert!(yaml.contains("127.0.0.2"), "{yaml}");
    let file = first.folder().join("second.yaml");
    std::fs::write(&file, first.with_ports(&yaml)).unwrap();
    let mut command = first.cli(&["run", "--take-over", "--config"]);
    let mut second = command.arg(file).spawn().unwrap();
    eventually("an answer", || {
        assert!(second.try_wait().unwrap().is_none());
        std::net::TcpStream::connect(proxy).is_ok()
    });
    assert_eq!(get(proxy, "/api/").status, 200);
    let count = || {
        let files = std::fs::read_dir(first.state_directory()).unwrap();
        let paths = files.flatten().map(|file| file.path());
        let sockets = paths.filter(|path| path.extension().is_some_and(|end| end == "sock"));
        sockets.count()
    };
    eventually("a place for each", || count() == 2);
    assert_eq!(first.get("/api/").status, 200);
    assert_eq!(get(first.admin, "/readyz").status, 200);
    second.kill().unwrap();
    second.wait().unwrap();
}

/// A process that ends lets a kept-alive caller have one more request, or a
/// second of silence.
#[test]
fn a_kept_connection_is_told_which_answer_is_the_last() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: Conf::new(&auth, &upstream).yaml(),
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    let begin = Instant::now();
    let mut conn = Conn::to(sidekey.proxy);
    // When the last request that was answered was not yet sent: its silence
    // begins later.
    let mut before = Instant::now();
    assert_eq!(conn.get("/api/").status, 200);
    sidekey.signal("TERM");
    loop {
        assert!(begin.elapsed() < PATIENCE, "it goes on for ever");
        let now = Instant::now();
        let asked = conn.try_send(format!(
            "GET /api/ HTTP/1.1\r\nHost: {}\r\n\r\n",
            sidekey.proxy
        ));
        match asked.then(|| conn.try_response()).flatten() {
            Some(answer) => {
                assert_eq!(answer.status, 200);
                before = now;
                if answer.header("connection") == Some("close") {
                    break;
                }
            }
            // Closed between two requests: only after a second of silence, which
            // a coarse clock may take for one that is a little shorter.
            None => {
                assert!(before.elapsed() > Duration::from_millis(500), "at once");
                break;
            }
        }
    }
    assert!(conn.closed());
    assert_eq!(sidekey.ended().code(), Some(0));
}

/// The file of a Unix socket stays, and nobody is refused at it.
#[test]
fn a_unix_socket_goes_on_in_its_place() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).store(STORE).yaml();
    let mut sidekey = Sidekey::run_yaml(&with_unix_socket(&yaml, "mode: 0600"));
    let path = sidekey.configuration().with_file_name("app.sock");
    let inode = || std::fs::metadata(&path).map(|seen| seen.ino()).ok();
    let first = inode();
    assert!(first.is_some());
    for _ in 0..2 {
        assert_eq!(ask_over(&path), "HTTP/1.1 200 Status");
        assert_eq!(sidekey.take_over().code(), Some(0));
        assert_eq!(inode(), first);
    }
    assert_eq!(ask_over(&path), "HTTP/1.1 200 Status");
    sidekey.signal("TERM");
    assert_eq!(sidekey.ended().code(), Some(0));
    assert_eq!(inode(), None, "it goes with the last process");
}

#[test]
fn a_unix_socket_whose_file_went_meanwhile_is_bound_anew() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).yaml();
    let mut sidekey = Sidekey::run_yaml(&with_unix_socket(&yaml, "mode: 0600"));
    let path = sidekey.configuration().with_file_name("app.sock");
    // The next one needs a token before it is ready, and has its sockets by then.
    let gate = auth.hold();
    let next = sidekey.successor();
    eventually("its request", || gate.came() > 0);
    std::fs::remove_file(&path).unwrap();
    gate.open();
    assert_eq!(sidekey.succeeded_by(next).code(), Some(0));
    eventually("another file", || path.exists());
    eventually("an answer", || UnixStream::connect(&path).is_ok());
    assert_eq!(ask_over(&path), "HTTP/1.1 200 Status");
    sidekey.signal("TERM");
    assert_eq!(sidekey.ended().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_that_the_next_one_does_not_want_goes() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).store(STORE).yaml();
    let mut sidekey = Sidekey::run_yaml(&with_unix_socket(&yaml, "mode: 0600"));
    let path = sidekey.configuration().with_file_name("app.sock");
    assert!(path.exists());
    std::fs::write(sidekey.configuration(), sidekey.with_ports(&yaml)).unwrap();
    assert_eq!(sidekey.take_over().code(), Some(0));
    assert!(!path.exists());
    assert_eq!(get(sidekey.proxy, "/api/").status, 200);
}

#[test]
fn port_0_cannot_be_taken_over() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let home = tempfile::tempdir().unwrap();
    let yaml = Conf::new(&auth, &upstream).yaml();
    let yaml = yaml.replace("@PROXY@", "0").replace("@ADMIN@", "0");
    let file = home.path().join("sidekey.yaml");
    std::fs::write(&file, yaml).unwrap();
    let mut command = command(&home);
    command.args(["run", "--take-over", "--config"]).arg(file);
    let ended = command.output().unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("admin.listen has port 0"), "{said}");
}

/// A configuration that also listens at `app.sock`; `more` is what it has of keys.
fn with_unix_socket(yaml: &str, more: &str) -> String {
    let first = "listen: 127.0.0.1:@PROXY@";
    assert!(yaml.contains(first));
    let unix = format!("{{address: \"unix:app.sock\", {more}}}");
    let both = format!("listen: [{{address: \"127.0.0.1:@PROXY@\"}}, {unix}]");
    yaml.replace(first, &both)
}

/// The first line of an answer.
fn ask_over(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET /api/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}
