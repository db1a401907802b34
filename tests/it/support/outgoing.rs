//! HTTP proxies that sidekey's own requests go through: a real one, and one that
//! tells what it was asked and leads wherever the test wants.

use super::client::Conn;
use super::http::Request;
use super::peer::Peer;
use super::real::Part;
use super::{free_port, local};
use std::fs;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a program would ask a proxy of this machine by.
const VARIABLES: [&str; 7] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "no_proxy",
    "NO_PROXY",
];

/// Runs a caller that asks no proxy but those that it was given.
pub fn run_caller(command: &mut Command) -> Output {
    for name in VARIABLES {
        if !command.get_envs().any(|(set, _)| set == name) {
            command.env_remove(name);
        }
    }
    let output = command.output();
    output.unwrap_or_else(|e| panic!("{command:?}: {e}: ./test installs it"))
}

/// A proxy that makes tunnels, all to one place, whatever name it is asked for.
pub struct Tunnels {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Tunnels {
    pub fn to(to: SocketAddr) -> Self {
        Self::with(to, b"HTTP/1.1 200 Connection established\r\n\r\n")
    }

    /// With an answer of its own to CONNECT, and what is glued behind that.
    pub fn with(to: SocketAddr, answer: &'static [u8]) -> Self {
        let asked = Arc::<Mutex<Vec<Request>>>::default();
        let noted = asked.clone();
        let peer = Peer::start(move |_, stream| {
            let mut caller = Conn::of(stream);
            noted.lock().unwrap().push(caller.head());
            caller.send(answer);
            if let Ok(behind) = TcpStream::connect(to) {
                join(caller, behind);
            }
        });
        Self {
            address: peer.address,
            asked,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

/// Carries bytes both ways until either side is done with them.
fn join(mut caller: Conn, mut behind: TcpStream) {
    let early = caller.take_buffered();
    let stream = caller.stream.try_clone();
    let (Ok(()), Ok(mut up), Ok(mut to)) = (behind.write_all(&early), stream, behind.try_clone())
    else {
        return;
    };
    let upwards = thread::spawn(move || {
        let _ = io::copy(&mut up, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut down = &caller.stream;
    let _ = io::copy(&mut behind, &mut down);
    let _ = caller.stream.shutdown(Shutdown::Write);
    let _ = upwards.join();
}

/// A proxy that does with each connection what the script says, once it has read
/// the head of what it is asked.
pub fn scripted(script: impl Fn(&Request, Conn) + Send + Sync + 'static) -> Peer {
    Peer::start(move |_, stream| {
        let mut caller = Conn::of(stream);
        let head = caller.head();
        script(&head, caller);
    })
}

/// Debian's tinyproxy.
pub struct Tinyproxy {
    pub address: SocketAddr,
    part: Part,
}

impl Tinyproxy {
    pub fn start() -> Self {
        Self::saying("")
    }

    /// Which wants this user and this password.
    pub fn for_user(name: &str, password: &str) -> Self {
        Self::saying(&format!("BasicAuth {name} {password}\n"))
    }

    fn saying(more: &str) -> Self {
        let address = local(free_port());
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("tinyproxy.conf");
        let log = dir.path().join("requests.log");
        let text = format!(
            "Port {}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\nLogLevel Connect\n\
             LogFile \"{}\"\n{more}",
            address.port(),
            log.display()
        );
        fs::write(&conf, text).unwrap();
        let mut tinyproxy = Command::new("tinyproxy");
        tinyproxy.arg("-d").arg("-c").arg(conf);
        let part = Part::start("tinyproxy", dir, &mut tinyproxy);
        Self {
            address,
            part: part.wait_until_it_listens(address),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The request lines that it got so far, without their version.
    pub fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.part.dir.path().join("requests.log")).unwrap();
        let lines = log.lines().filter_map(|line| {
            let (_, asked) = line.split_once("Request (file descriptor ")?;
            let (_, asked) = asked.split_once("): ")?;
            Some(asked.rsplit_once(' ')?.0.to_owned())
        });
        lines.collect()
    }
}
