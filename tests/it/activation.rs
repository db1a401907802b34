//! Listening sockets that whoever starts sidekey has opened for it.

use crate::support::feature::shown;
use crate::support::real::Nginx;
use crate::support::sidekey::Launch;
use crate::support::tls::{curl, curled};
use crate::support::{AuthServer, Conf, Server, Sidekey, eventually, free_port, get, local};
use std::net::TcpStream;

const PLAIN: &str = "listen: 127.0.0.1:@PROXY@\n";

/// Opens sockets as the arguments before `--` say, passes them on from 3 on, and
/// becomes the program behind it, with `LISTEN_FDS` for those that have names.
const PASS: &str = r#"
import os, socket, sys
end = sys.argv.index("--")
sockets, names = [], []
for argument in sys.argv[1:end]:
    name, kind, place = argument.split(",")
    if kind == "unix":
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.bind(place)
    else:
        udp = kind == "udp"
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(("127.0.0.1", int(place)))
    if kind in ("tcp", "unix"):
        opened.listen(64)
    sockets.append(opened)
    if name:
        names.append(name)
high = [os.dup(opened.fileno()) for opened in sockets]
high = [os.dup2(number, 100 + at) for at, number in enumerate(high)]
os.closerange(3, 100)
for at, number in enumerate(high):
    os.dup2(number, 3 + at, inheritable=True)
os.closerange(100, 200)
if names:
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(names))
    os.environ["LISTEN_FDNAMES"] = ":".join(names)
os.execv(sys.argv[end + 1], sys.argv[end + 1:])
"#;

fn wrapper(sockets: &[String]) -> Vec<String> {
    let mut words: Vec<String> = ["python3", "-c", PASS].map(str::to_owned).into();
    words.extend(sockets.iter().cloned());
    words.push("--".into());
    words
}

struct Stage {
    sidekey: Sidekey,
    yaml: String,
    _servers: (AuthServer, Server),
}

fn launch(sockets: &[String], listen: &str) -> Stage {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let yaml = Conf::new(&auth, &upstream).yaml();
    let sidekey = Sidekey::launch(&Launch {
        yaml: yaml.replace(PLAIN, &format!("listen: {listen}\n")),
        wrapper: wrapper(sockets),
        ..Launch::default()
    });
    Stage {
        sidekey,
        yaml,
        _servers: (auth, upstream),
    }
}

impl Stage {
    fn ready(mut self) -> Self {
        self.sidekey.wait_for("/readyz");
        self
    }

    fn configure(&self, listen: &str) {
        let yaml = self.yaml.replace(PLAIN, &format!("listen: {listen}\n"));
        self.sidekey.configure(&yaml);
        self.sidekey.signal("HUP");
    }
}

fn status(port: u16) -> u16 {
    get(local(port), "/api/").status
}

#[test]
fn sockets_are_taken_by_number_and_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s").to_str().unwrap().to_owned();
    let ports = [free_port(), free_port(), free_port()];
    let sockets = [
        format!("web,tcp,{}", ports[0]),
        format!("web,tcp,{}", ports[1]),
        format!("local,unix,{path}"),
        format!("unused,tcp,{}", ports[2]),
    ];
    let listen = "[{address: \"systemd:web\"}, {address: \"fd:4\"}, {address: \"systemd:local\"}]";
    let stage = launch(&sockets, listen).ready();
    assert_eq!((status(ports[0]), status(ports[1])), (200, 200));
    assert_eq!(
        curled(&["--unix-socket", &path, "http://localhost/api/"]),
        "content"
    );
    for line in [
        format!(
            "http://127.0.0.1:{} (systemd:web) for applications",
            ports[0]
        ),
        format!("http://127.0.0.1:{} (fd:4) for applications", ports[1]),
        format!("unix:{path} (systemd:local) for applications"),
        "fd:6 (systemd:unused) was handed over, and no listener names it".to_owned(),
    ] {
        eventually(&line, || stage.sidekey.logs().contains(&line));
    }
    // The file is systemd's.
    let mut stage = stage;
    stage.sidekey.signal("TERM");
    assert_eq!(stage.sidekey.ended().code(), Some(0));
    assert!(std::fs::exists(&path).unwrap());
}

#[test]
fn a_descriptor_without_variables_will_do() {
    let port = free_port();
    let _stage = launch(&[format!(",tcp,{port}")], "\"fd:3\"").ready();
    assert_eq!(status(port), 200);
}

#[test]
fn what_can_not_be_listened_at_is_said() {
    let port = free_port();
    let sockets = [
        format!("web,tcp,{port}"),
        format!("udp,udp,{port}"),
        format!("bound,bound,{}", free_port()),
    ];
    for (listen, said) in [
        ("\"systemd:other\"", "there were: fd:3 (systemd:web)"),
        ("\"fd:9\"", "no such socket was handed over"),
        ("\"systemd:udp\"", "no stream socket"),
        ("\"systemd:bound\"", "not a listening socket"),
        (
            "[{address: \"fd:3\"}, {address: \"systemd:web\"}]",
            "in use by another listener",
        ),
    ] {
        let mut stage = launch(&sockets, listen);
        assert_eq!(stage.sidekey.ended().code(), Some(1), "{listen}");
        let logs = stage.sidekey.logs();
        assert!(logs.contains(said), "{listen}: {logs}");
    }
}

#[test]
fn a_reload_gives_a_socket_back_and_takes_it_again() {
    let (first, second) = (free_port(), free_port());
    let sockets = [format!("a,tcp,{first}"), format!("b,tcp,{second}")];
    let stage = launch(&sockets, "\"systemd:a\"").ready();
    assert_eq!(status(first), 200);
    stage.configure("\"systemd:b\"");
    eventually("the other", || {
        stage.sidekey.logs().contains("no longer on")
    });
    assert_eq!(status(second), 200);
    // Who calls meanwhile waits for the next reload.
    let _waits = TcpStream::connect(local(first)).unwrap();
    stage.configure("[{address: \"systemd:b\"}, {address: \"fd:3\"}]");
    assert_eq!(status(first), 200);
    assert_eq!(status(second), 200);
}

#[test]
fn a_take_over_hands_all_of_them_on_as_what_they_are() {
    let (first, second) = (free_port(), free_port());
    let sockets = [format!("a,tcp,{first}"), format!("b,tcp,{second}")];
    let mut stage = launch(&sockets, "\"systemd:a\"").ready();
    for _ in 0..2 {
        assert_eq!(stage.sidekey.take_over().code(), Some(0));
        assert_eq!(status(first), 200);
        for line in [
            format!("http://127.0.0.1:{first} (systemd:a) for applications"),
            "fd:4 (systemd:b) was handed over, and no listener names it".to_owned(),
        ] {
            eventually(&line, || stage.sidekey.logs().contains(&line));
        }
    }
    stage.configure("\"systemd:b\"");
    eventually("the other", || {
        stage.sidekey.logs().contains("no longer on")
    });
    assert_eq!(status(second), 200);
    stage.configure("[{address: \"systemd:b\"}, {address: \"fd:3\"}]");
    assert_eq!(status(first), 200);
    assert_eq!(status(second), 200);
}

#[test]
fn systemd_socket_activate_starts_it() {
    let port = free_port();
    let auth = AuthServer::start();
    let behind = auth.echo();
    let nginx = Nginx::application(behind.address);
    let yaml = Conf::at(&auth.endpoint(), &format!("http://{}/", nginx.address)).yaml();
    let mut words = vec![
        "systemd-socket-activate".to_owned(),
        format!("--listen=127.0.0.1:{port}"),
        "--fdname=web".to_owned(),
    ];
    let handed_on = ["HOME", "TEST_CLIENT_SECRET", "SIDEKEY_IO"].into_iter();
    let handed_on = handed_on.filter(|n| *n != "SIDEKEY_IO" || std::env::var_os(n).is_some());
    words.extend(handed_on.map(|name| format!("--setenv={name}")));
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: yaml.replace(PLAIN, "listen: \"systemd:web\"\n"),
        wrapper: words,
        ..Launch::default()
    });
    // It starts the program when somebody calls.
    let url = format!("http://127.0.0.1:{port}/api/");
    eventually("a call", || curl(&[&url]).status.success());
    sidekey.wait_for("/readyz");
    for (version, protocol) in [
        ("--http1.1", "HTTP/1.1"),
        ("--http2-prior-knowledge", "HTTP/2"),
    ] {
        auth.revoke();
        assert_eq!(curled(&[version, "-d", "a body", &url]), "POST / a body");
        shown(
            protocol,
            "a listening socket by LISTEN_FDS of systemd-socket-activate, a replay after a 401",
            "curl",
            "nginx, HTTP/1.1",
        );
    }
}
