//! Real servers, as Debian and npm have them; `./test` installs them.

use super::authority::Pair;
use super::client::{call, get};
use super::wait::eventually;
use super::{free_port, local};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A process that ends with this value.
pub struct Part {
    name: &'static str,
    child: Child,
    log: PathBuf,
    pub dir: tempfile::TempDir,
}

impl Part {
    pub fn start(name: &'static str, dir: tempfile::TempDir, command: &mut Command) -> Self {
        let log = dir.path().join("log");
        let file = File::create(&log).unwrap();
        command
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let child = command.spawn();
        let child = child.unwrap_or_else(|e| panic!("{name}: {e}: ./test installs it"));
        Self {
            name,
            child,
            log,
            dir,
        }
    }

    pub fn wait_until_it_listens(mut self, address: SocketAddr) -> Self {
        eventually(self.name, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended: {status}\n{}", self.name, self.log());
            }
            TcpStream::connect(address).is_ok()
        });
        self
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what {} said ---\n{}", self.name, self.log());
        }
    }
}

/// A file under `tests/real`.
pub fn file(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/real")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing: ./test installs it",
        path.display()
    );
    path
}

/// Python with what `requirements.txt` names.
pub fn python(script: &str) -> Command {
    let mut python = Command::new(file(".venv/bin/python"));
    python.arg(file(script));
    python
}

/// A server of which only the port is ours to say.
pub fn serving(name: &'static str, command: impl FnOnce(u16) -> Command) -> (SocketAddr, Part) {
    let address = local(free_port());
    let mut command = command(address.port());
    let part = Part::start(name, tempfile::tempdir().unwrap(), &mut command);
    (address, part.wait_until_it_listens(address))
}

/// Runs a real caller to its end, which must be a good one; gives what it has printed.
pub fn output(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}: ./test installs it"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// npm's oidc-provider.
pub struct Oidc {
    pub address: SocketAddr,
    _part: Part,
}

impl Oidc {
    pub fn start() -> Self {
        file("node_modules/oidc-provider");
        let address = local(free_port());
        let mut node = Command::new("node");
        node.arg(file("oidc.mjs")).arg(address.port().to_string());
        let part = Part::start("oidc-provider", tempfile::tempdir().unwrap(), &mut node);
        Self {
            address,
            _part: part.wait_until_it_listens(address),
        }
    }

    /// With a client for people, which is called `personal`.
    pub fn for_people(redirect_uri: &str) -> Self {
        file("node_modules/oidc-provider");
        let address = local(free_port());
        let mut node = Command::new("node");
        node.arg(file("oidc.mjs"))
            .arg(address.port().to_string())
            .arg(redirect_uri);
        let part = Part::start("oidc-provider", tempfile::tempdir().unwrap(), &mut node);
        Self {
            address,
            _part: part.wait_until_it_listens(address),
        }
    }

    pub fn token_endpoint(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// The secret of a client.
    pub fn secret(client: &str) -> String {
        format!("secret of {client}: +/%&=")
    }

    /// Every token that lives; sidekey does not learn of it.
    pub fn revoke_all(&self) {
        assert_eq!(
            call(self.address, "POST", "/revoke-all", &[], b"").status,
            204
        );
    }

    /// How many tokens were given since the last `revoke_all`.
    pub fn issued(&self) -> usize {
        get(self.address, "/issued").text().parse().unwrap()
    }

    /// A person consents, without a browser: the grant of the client `rotating`,
    /// and its first refresh token.
    #[cfg(feature = "fault-points")]
    pub fn seed(&self) -> (String, String) {
        let seeded = call(self.address, "POST", "/seed", &[], b"").json();
        let text = |name: &str| seeded[name].as_str().unwrap().to_owned();
        (text("grant"), text("refresh_token"))
    }

    /// What has become of a seeded grant, as `rotations.mjs` keeps its books.
    #[cfg(feature = "fault-points")]
    pub fn rotations(&self, grant: &str) -> serde_json::Value {
        get(self.address, &format!("/rotations/{grant}")).json()
    }

    /// The answer to the grant's next rotation is never sent.
    #[cfg(feature = "fault-points")]
    pub fn withhold(&self, grant: &str) {
        let path = format!("/withhold/{grant}");
        assert_eq!(call(self.address, "POST", &path, &[], b"").status, 200);
    }

    /// An access token of a client's own for a resource, which is a JWT (RFC 8707).
    pub fn jwt(&self, client: &str, resource: &str) -> String {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let (id, secret): (String, String) = (encoded(client), encoded(&Self::secret(client)));
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("resource", resource)
            .append_pair("scope", "api");
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let basic = STANDARD.encode(format!("{id}:{secret}"));
        let basic = format!("Basic {basic}");
        let mut fields = vec![kind];
        if client == "basic" {
            fields.push(("Authorization", &basic));
        } else {
            form.append_pair("client_id", client)
                .append_pair("client_secret", &Self::secret(client));
        }
        let form = form.finish();
        let answer = call(self.address, "POST", "/token", &fields, form.as_bytes()).json();
        let token = answer["access_token"].as_str();
        token.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// RFC 7662.
    pub fn introspect(&self, token: &str) -> serde_json::Value {
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("client_id", "post")
            .append_pair("client_secret", &Self::secret("post"))
            .finish();
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = call(
            self.address,
            "POST",
            "/token/introspection",
            &kind,
            form.as_bytes(),
        );
        answer.json()
    }
}

/// Somebody in Chromium: visits the address, then presses Connect on each of
/// these pages, signs in, consents; gives what the last page says.
pub fn consent_in_chromium(address: &str, pages: &[&str]) -> String {
    file("node_modules/playwright-core");
    let mut node = Command::new("node");
    node.arg(file("consent.mjs")).arg(address).args(pages);
    let output = node.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A server that node runs, which listens on the port that is its argument.
pub fn node(script: &str) -> (SocketAddr, Part) {
    let address = local(free_port());
    let mut node = Command::new("node");
    node.arg("-e").arg(script).arg(address.port().to_string());
    let part = Part::start("node", tempfile::tempdir().unwrap(), &mut node);
    (address, part.wait_until_it_listens(address))
}

/// nginx that asks `checker` about every request before it reads its body, and
/// passes on to `upstream` what may go on.
pub struct Nginx {
    pub address: SocketAddr,
    part: Part,
}

impl Nginx {
    pub fn start(checker: SocketAddr, upstream: SocketAddr) -> Self {
        let text = fs::read_to_string(file("nginx.conf")).unwrap();
        Self::of(&text.replace("@CHECKER@", &checker.to_string()), upstream)
    }

    /// Asks nobody; tells `upstream` the host that it was called by.
    pub fn application(upstream: SocketAddr) -> Self {
        let text = fs::read_to_string(file("nginx-application.conf")).unwrap();
        Self::of(&text, upstream)
    }

    /// One that asks nobody, and passes on WebSockets too.
    pub fn plain(upstream: SocketAddr) -> Self {
        let text = fs::read_to_string(file("nginx-streams.conf")).unwrap();
        Self::of(&text, upstream)
    }

    fn of(text: &str, upstream: SocketAddr) -> Self {
        let address = local(free_port());
        let dir = tempfile::tempdir().unwrap();
        let text = text
            .replace("@DIR@", dir.path().to_str().unwrap())
            .replace("@LISTEN@", &address.to_string())
            .replace("@UPSTREAM@", &upstream.to_string());
        Self {
            address,
            part: nginx(dir, &text).wait_until_it_listens(address),
        }
    }

    /// An upstream over TLS, for clients of that authority, and on a Unix socket.
    pub fn upstream(authority: &str, pair: &Pair) -> Self {
        let address = local(free_port());
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &str| fs::write(dir.path().join(name), content).unwrap();
        put("ca.pem", authority);
        put("server.pem", &pair.certificate);
        put("server.key", &pair.key);
        let text = fs::read_to_string(file("nginx_upstream.conf")).unwrap();
        let text = text
            .replace("@DIR@", dir.path().to_str().unwrap())
            .replace("@LISTEN@", &address.to_string());
        Self {
            address,
            part: nginx(dir, &text).wait_until_it_listens(address),
        }
    }

    /// Where [`Nginx::upstream`] also listens.
    pub fn unix_socket(&self) -> PathBuf {
        self.part.dir.path().join("app.sock")
    }

    /// Statuses that it answered, in their order.
    pub fn statuses(&self) -> Vec<u16> {
        let log = fs::read_to_string(self.part.dir.path().join("access.log")).unwrap();
        log.lines().map(|l| l.parse().unwrap()).collect()
    }
}

/// nginx on a configuration, with what else is in its folder.
pub fn nginx(dir: tempfile::TempDir, text: &str) -> Part {
    let conf = dir.path().join("nginx.conf");
    fs::write(&conf, text).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(conf).arg("-e").arg("stderr");
    Part::start("nginx", dir, &mut nginx)
}

/// nginx that speaks HTTP/2, with TLS and without; `/echo` is `upstream`'s.
pub struct Http2Nginx {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    _part: Part,
}

impl Http2Nginx {
    pub fn start(upstream: SocketAddr, certificate: &str, key: &str) -> Self {
        let (plain, tls) = (local(free_port()), local(free_port()));
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("certificate"), certificate).unwrap();
        fs::write(dir.path().join("key"), key).unwrap();
        let text = fs::read_to_string(file("nginx_http2.conf")).unwrap();
        let text = text
            .replace("@DIR@", dir.path().to_str().unwrap())
            .replace("@PLAIN@", &plain.to_string())
            .replace("@TLS@", &tls.to_string())
            .replace("@UPSTREAM@", &upstream.to_string());
        Self {
            plain,
            tls,
            _part: nginx(dir, &text).wait_until_it_listens(plain),
        }
    }
}

/// grpcio's server.
pub struct GrpcServer {
    pub address: SocketAddr,
    _part: Part,
}

impl GrpcServer {
    pub fn start() -> Self {
        let address = local(free_port());
        let dir = tempfile::tempdir().unwrap();
        let mut python = Command::new(file(".venv/bin/python"));
        python.arg(file("grpc_server.py")).arg(address.to_string());
        let part = Part::start("the gRPC server", dir, &mut python);
        Self {
            address,
            _part: part.wait_until_it_listens(address),
        }
    }
}

/// Prometheus, scraping one address every second.
pub struct Prometheus {
    pub address: SocketAddr,
    _part: Part,
}

impl Prometheus {
    pub fn scraping(target: SocketAddr) -> Self {
        let address = local(free_port());
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs:\n\
             - {{job_name: sidekey, static_configs: [{{targets: [\"{target}\"]}}]}}\n"
        );
        fs::write(&conf, text).unwrap();
        let mut prometheus = Command::new("prometheus");
        prometheus
            .arg(format!("--config.file={}", conf.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"));
        let part = Part::start("prometheus", dir, &mut prometheus);
        Self {
            address,
            _part: part.wait_until_it_listens(address),
        }
    }

    /// The value of the first series that a query finds.
    pub fn query(&self, query: &str) -> Option<f64> {
        let value = self.answer(query)?["result"][0]["value"][1].clone();
        value.as_str()?.parse().ok()
    }

    /// How many series a query finds; none when it can't be answered.
    pub fn series(&self, query: &str) -> Option<usize> {
        Some(self.answer(query)?["result"].as_array()?.len())
    }

    fn answer(&self, query: &str) -> Option<serde_json::Value> {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = get(self.address, &format!("/api/v1/query?query={encoded}"));
        (answer.status == 200).then(|| answer.json()["data"].clone())
    }
}
