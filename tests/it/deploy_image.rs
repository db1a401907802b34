//! The image as it is shipped, run by Podman: in a pod beside an application, and
//! as deploy/compose.yaml starts it.

use crate::support::podman::{self, IMAGE, Pods, podman};
use crate::support::real::{Oidc, file};
use crate::support::{call, eventually, free_port, get, local};
use std::fs;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const CONFIGURATION: &str = r#"
probes: {listen: "[::]:7482"}
store: {memory: true}
integrations:
  - key: crm
    oauth2:
      grant_type: client_credentials
      token_endpoint: https://auth/token
      scope: api
      client_id: basic
      client_secret: {file: /run/secrets/crm}
accounts:
  - {key: one, integration: crm}
routes:
  - {name: by-dns, path: /api/, upstream: "https://api/", account: one}
  - {name: by-hosts-file, path: /hosts/, upstream: "https://hosts-only.test/", account: one}
"#;

/// A pod of sidekey and an application, and one with what they talk to.
struct Setup {
    _dir: tempfile::TempDir,
    _pods: Pods,
    sidekey: String,
    app: String,
    nginx_log: std::path::PathBuf,
}

impl Setup {
    fn start() -> Self {
        file("node_modules/oidc-provider");
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path());
        let at =
            |name: &str, place: &str| format!("--volume={}/{name}:{place}", dir.path().display());
        let mut pods = Pods::new();

        let beside = pods.pod("beside", &["--network-alias=api", "--network-alias=auth"]);
        let real = format!("--volume={}:/real:ro", file(".").display());
        pods.start_tool(
            &beside,
            "oidc",
            &[&real],
            &["node", "/real/oidc.mjs", "9000"],
        );
        let options = [real.as_str(), &at("data", "/data")];
        let line = ["nginx", "-c", "/real/pod.conf", "-e", "stderr"];
        pods.start_tool(&beside, "nginx", &options, &line);

        let host = format!("--add-host=hosts-only.test:{}", pods.address(&beside));
        let pod = pods.pod("pod", &[&host]);
        let app = pods.start_tool(&pod, "app", &[], &["sleep", "infinity"]);
        eventually("nginx and what is behind it", || {
            let url = "https://auth/.well-known/openid-configuration";
            curl(&app, &["--insecure", url]).is_ok()
        });
        let options = [
            "--read-only",
            "--user=65532",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--memory=128m",
            &at("sidekey.yaml", "/etc/sidekey/sidekey.yaml:ro"),
            &at("secret", "/run/secrets/crm:ro"),
            // In place of the image's own, at the only place where roots are looked for.
            &at("ca.pem", "/etc/ssl/certs/ca-certificates.crt:ro"),
        ];
        let sidekey = pods.start(&pod, "sidekey", &options, &[&IMAGE]);
        eventually("sidekey", || {
            curl(&app, &["http://127.0.0.1:7482/readyz"]).is_ok()
        });
        Self {
            sidekey,
            app,
            nginx_log: dir.path().join("data/access.log"),
            _pods: pods,
            _dir: dir,
        }
    }

    fn curl(&self, arguments: &[&str]) -> Result<String, String> {
        curl(&self.app, arguments)
    }
}

/// curl in the application's container.
fn curl(container: &str, arguments: &[&str]) -> Result<String, String> {
    let usual = [
        "exec",
        container,
        "curl",
        "-sS",
        "--fail",
        "--max-time",
        "30",
    ];
    let output = podman::output(&[&usual[..], arguments].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// Configuration, secret and certificates, readable by the image's user.
fn write_files(dir: &Path) {
    let names = ["api", "auth", "hosts-only.test"].map(str::to_owned);
    let mut authority = rcgen::CertificateParams::new([]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, "the tests' authority");
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(names).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    fs::create_dir(dir.join("data")).unwrap();
    for (name, content) in [
        ("sidekey.yaml", CONFIGURATION.to_owned()),
        ("secret", Oidc::secret("basic")),
        ("ca.pem", root.pem()),
        ("data/server.pem", leaf.pem()),
        ("data/server.key", key.serialize_pem()),
    ] {
        fs::write(dir.join(name), content).unwrap();
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(dir.join(name), mode).unwrap();
    }
}

#[test]
fn the_application_in_the_pod_gets_its_answers() {
    let setup = Setup::start();
    // Names by DNS, and by the hosts file.
    for (path, host) in [("api", "api"), ("hosts", "hosts-only.test")] {
        let url = format!("http://127.0.0.1:7480/{path}/contacts");
        let said = setup.curl(&[&url]).unwrap();
        assert_eq!(said, format!("GET /contacts at {host},  bytes"));
    }
    let body = ["-d", "a body", "http://127.0.0.1:7480/api/contacts"];
    assert_eq!(setup.curl(&body).unwrap(), "POST /contacts at api, 6 bytes");
    // nginx lets nobody in without a token.
    let without = ["--insecure", "https://api/contacts"];
    let refused = setup.curl(&without).unwrap_err();
    assert!(refused.contains("401"), "{refused}");

    podman(&["healthcheck", "run", &setup.sidekey]);
    // The admin token is where the image's variables say, on a read-only root.
    let accounts = podman(&["exec", &setup.sidekey, "/sidekey", "accounts"]);
    assert!(accounts.contains("connected"), "{accounts}");
    let user = podman(&["top", &setup.sidekey, "huser", "pid", "args"]);
    assert!(
        user.contains("65532") && user.contains("/sidekey run"),
        "{user}"
    );
}

#[test]
fn sigterm_finishes_what_runs_and_ends_with_0() {
    let setup = Setup::start();
    let mut upload = podman::command()
        .args([
            "exec",
            "--interactive",
            &setup.app,
            "curl",
            "--no-progress-meter",
            "--fail",
        ])
        .args(["-T", ".", "http://127.0.0.1:7480/api/upload"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut body = upload.stdin.take().unwrap();
    body.write_all(b"first half, ").unwrap();
    eventually("the upload's head at nginx", || {
        fs::read_to_string(&setup.nginx_log)
            .unwrap()
            .contains("/_check 200")
    });
    podman(&["kill", "--signal=TERM", &setup.sidekey]);
    eventually("no new connections", || {
        setup
            .curl(&["http://127.0.0.1:7480/api/late"])
            .is_err_and(|why| why.contains("connect"))
    });
    body.write_all(b"second half").unwrap();
    drop(body);
    let output = upload.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "PUT /upload at api, 23 bytes");
    assert_eq!(podman(&["wait", &setup.sidekey]), "0");
}

#[test]
fn the_image_holds_what_it_should_and_no_more() {
    let container = podman(&["create", &IMAGE]);
    let exported = podman::command()
        .args(["export", &container])
        .output()
        .unwrap();
    let bundle = podman::command()
        .args([
            "cp",
            &format!("{container}:/etc/ssl/certs/ca-certificates.crt"),
            "-",
        ])
        .output()
        .unwrap();
    podman(&["rm", "--volumes", &container]);
    let bundle = String::from_utf8_lossy(&bundle.stdout);
    assert!(bundle.matches("BEGIN CERTIFICATE").count() > 50);
    let mut tar = Command::new("tar")
        .args(["-t"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = tar.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(&exported.stdout));
    let listed = String::from_utf8(tar.wait_with_output().unwrap().stdout).unwrap();
    feeder.join().unwrap().unwrap();
    let ours = |path: &&str| {
        !["dev", "proc", "sys", "run"]
            .iter()
            .any(|d| path.starts_with(d))
    };
    let files: Vec<_> = listed
        .lines()
        .filter(|l| !l.ends_with('/'))
        .filter(ours)
        .collect();
    let expected = [
        "etc/group",
        "etc/nsswitch.conf",
        "etc/passwd",
        "etc/ssl/certs/ca-certificates.crt",
        "sidekey",
    ];
    for file in &expected {
        assert!(files.contains(file), "{file}: {files:?}");
    }
    assert!(files.len() <= expected.len() + 4, "{files:?}");
    let version = podman(&["run", "--rm", "--network=none", &IMAGE, "--version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

/// The project of a Compose file in a folder of its own.
struct Compose {
    dir: tempfile::TempDir,
    port: u16,
    admin: u16,
}

impl Compose {
    fn up() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("sidekey-compose")
            .tempdir()
            .unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
        fs::create_dir_all(dir.path().join("compose/secrets")).unwrap();
        for file in ["compose.yaml", "compose/sidekey.yaml"] {
            fs::copy(from.join(file), dir.path().join(file)).unwrap();
        }
        fs::write(dir.path().join("compose/secrets/crm"), "a secret").unwrap();
        let compose = Self {
            dir,
            port: free_port(),
            admin: free_port(),
        };
        let output = compose.run(&["up", "--detach"]);
        assert!(output.status.success(), "{output:?}");
        compose
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(file(".venv/bin/podman-compose"))
            .env("CONTAINERS_CONF", file("containers.conf"))
            .env("SIDEKEY_IMAGE", &*IMAGE)
            .env("SIDEKEY_PORT", self.port.to_string())
            .env("SIDEKEY_ADMIN_PORT", self.admin.to_string())
            .current_dir(self.dir.path())
            .arg("--project-name")
            .arg(format!("sidekey-{}", self.port))
            .args(arguments)
            .output()
            .unwrap()
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}", self.run(&["logs"]));
        }
        self.run(&["down", "--volumes", "--timeout", "0"]);
    }
}

#[test]
fn compose_publishes_to_this_machine_only() {
    let compose = Compose::up();
    eventually("sidekey", || {
        TcpStream::connect(local(compose.admin)).is_ok()
            && get(local(compose.admin), "/livez").status == 200
    });
    let answer = call(local(compose.port), "GET", "/nowhere", &[], b"");
    assert_eq!(answer.problem(), "route_not_found");
    // An address of this machine that others can reach.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket
        .connect("192.0.2.1:9")
        .expect("a route to other machines");
    let mut other = socket.local_addr().unwrap();
    for port in [compose.port, compose.admin] {
        other.set_port(port);
        assert!(TcpStream::connect(other).is_err(), "{other} is open");
    }
}
