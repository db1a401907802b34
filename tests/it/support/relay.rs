//! nginx, HAProxy and Envoy, each passing everything on to one server: as
//! upstreams of sidekey, or in front of it.

use super::real::{Part, file};
use super::{free_port, local};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

pub struct Relay {
    pub name: &'static str,
    /// HTTP/1.1.
    pub plain: SocketAddr,
    /// HTTP/2 with prior knowledge.
    pub h2c: SocketAddr,
    _part: Part,
}

impl Relay {
    pub fn nginx(upstream: SocketAddr) -> Self {
        Self::start("nginx", upstream, "nginx.conf", |conf| {
            let mut nginx = Command::new("nginx");
            nginx.arg("-c").arg(conf).args(["-e", "stderr"]);
            nginx
        })
    }

    pub fn haproxy(upstream: SocketAddr) -> Self {
        Self::start("HAProxy", upstream, "haproxy.cfg", |conf| {
            let mut haproxy = Command::new("haproxy");
            haproxy.arg("-db").arg("-f").arg(conf);
            haproxy
        })
    }

    pub fn envoy(upstream: SocketAddr) -> Self {
        Self::start("Envoy", upstream, "envoy.yaml", |conf| {
            let mut envoy = Command::new(file(".venv/bin/envoy"));
            envoy.args(["--concurrency", "1", "--disable-hot-restart"]);
            envoy.args(["--log-level", "warning", "-c"]).arg(conf);
            envoy
        })
    }

    fn start(
        name: &'static str,
        upstream: SocketAddr,
        conf: &str,
        command: impl Fn(&Path) -> Command,
    ) -> Self {
        let [plain, h2c] = [local(free_port()), local(free_port())];
        let dir = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(file("relays").join(conf)).unwrap();
        let text = text.replace("@DIR@", dir.path().to_str().unwrap());
        let places = [("PLAIN", plain), ("H2C", h2c), ("UPSTREAM", upstream)];
        let text = places.iter().fold(text, |text, (place, address)| {
            let text = text.replace(&format!("@{place}@"), &address.to_string());
            text.replace(&format!("@{place}_PORT@"), &address.port().to_string())
        });
        let path = dir.path().join(conf);
        fs::write(&path, text).unwrap();
        let part = Part::start(name, dir, &mut command(&path));
        let part = part.wait_until_it_listens(plain).wait_until_it_listens(h2c);
        Self {
            name,
            plain,
            h2c,
            _part: part,
        }
    }
}
