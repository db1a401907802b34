//! A running sidekey: the binary itself, on a file of its own.

use super::client::{call, get};
use super::conf::{CLIENT_SECRET, Conf};
use super::http::Response;
use super::wait::{eventually, eventually_some};
use super::{free_port, local};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

/// The program under test: the one that `./test` built as users build it, or
/// cargo's own, which the features of test-only dependencies went into.
pub fn binary() -> String {
    std::env::var("SIDEKEY_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_sidekey").to_owned())
}

pub struct Sidekey {
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    dir: tempfile::TempDir,
    child: Child,
    output: Arc<Mutex<String>>,
    errors: Arc<Mutex<String>>,
}

/// How a sidekey is to be started.
#[derive(Default)]
pub struct Launch {
    pub yaml: String,
    pub environment: Vec<(String, String)>,
    /// Cargo's own build, with the features of the test command.
    pub own_build: bool,
    /// Names and contents, put beside the configuration.
    pub files: Vec<(String, String)>,
    /// All of these files lie as Kubernetes mounts them.
    pub mounted: bool,
    /// A program and its arguments that run sidekey's command line.
    pub wrapper: Vec<String>,
}

impl Sidekey {
    /// Runs it and waits until it is ready.
    pub fn run(conf: &Conf) -> Self {
        Self::run_yaml(&conf.yaml())
    }

    pub fn run_yaml(yaml: &str) -> Self {
        let mut sidekey = Self::launch(&Launch {
            yaml: yaml.into(),
            ..Launch::default()
        });
        sidekey.wait_for("/readyz");
        sidekey
    }

    /// Runs it and waits only until it lives.
    pub fn run_unready(conf: &Conf) -> Self {
        let mut sidekey = Self::launch(&Launch {
            yaml: conf.yaml(),
            ..Launch::default()
        });
        sidekey.wait_for("/livez");
        sidekey
    }

    /// Only starts it.
    pub fn launch(launch: &Launch) -> Self {
        Self::launch_at(launch, free_port())
    }

    /// Only starts it, with this admin port.
    pub fn launch_at(launch: &Launch, admin: u16) -> Self {
        let proxy = free_port();
        let yaml = launch.yaml.replace("@PROXY@", &proxy.to_string());
        let yaml = yaml.replace("@ADMIN@", &admin.to_string());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(CONFIGURATION);
        let mut files = launch.files.clone();
        files.push((CONFIGURATION.into(), yaml));
        match launch.mounted {
            true => mount(dir.path(), &files),
            false => write(dir.path(), &files),
        }
        let program = match launch.own_build {
            true => env!("CARGO_BIN_EXE_sidekey").to_owned(),
            false => binary(),
        };
        let mut words = launch.wrapper.iter().cloned().chain([program]);
        let mut command = at_home(Command::new(words.next().unwrap()), &dir);
        command.args(words);
        command.arg("run").arg("--config").arg(file);
        command.envs(launch.environment.iter().cloned());
        let mut child = command.spawn().unwrap();
        let output = collect(child.stdout.take().unwrap());
        let errors = collect(child.stderr.take().unwrap());
        Self {
            proxy: local(proxy),
            admin: local(admin),
            dir,
            child,
            output,
            errors,
        }
    }

    /// Puts another configuration in the place of the one it runs on.
    pub fn configure(&self, yaml: &str) {
        self.put(CONFIGURATION, &self.with_ports(yaml));
    }

    /// Ends it, and runs it anew in the same place.
    pub fn restart(&mut self) {
        self.signal("TERM");
        self.run_again();
    }

    /// The same, without letting it end anything.
    pub fn crash(&mut self) {
        self.signal("KILL");
        self.run_again();
    }

    fn run_again(&mut self) {
        self.ended();
        let mut command = command(&self.dir);
        let file = self.dir.path().join(CONFIGURATION);
        command.arg("run").arg("--config").arg(file);
        self.child = command.spawn().unwrap();
        self.output = collect(self.child.stdout.take().unwrap());
        self.errors = collect(self.child.stderr.take().unwrap());
        self.wait_for("/readyz");
    }

    /// Starts another in the same place that takes over, and waits for the end of the old.
    pub fn take_over(&mut self) -> ExitStatus {
        let next = self.successor();
        self.succeeded_by(next)
    }

    /// Waits for its end, and goes on as the next one.
    pub fn succeeded_by(&mut self, mut next: Child) -> ExitStatus {
        let old_said = self.logs();
        let status = eventually_some("the end of the old one", || {
            if let Some(status) = next.try_wait().unwrap() {
                let mut said = String::new();
                next.stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut said)
                    .unwrap();
                panic!("the next one ended: {status}\n{said}\n{old_said}");
            }
            self.child.try_wait().unwrap()
        });
        self.output = collect(next.stdout.take().unwrap());
        self.errors = collect(next.stderr.take().unwrap());
        self.child = next;
        status
    }

    /// Another in the same place that is to take over; only started.
    pub fn successor(&self) -> Child {
        self.take_over_socket();
        let mut command = command(&self.dir);
        let file = self.dir.path().join(CONFIGURATION);
        command.args(["run", "--take-over", "--config"]).arg(file);
        command.spawn().unwrap()
    }

    /// Where it waits for the next.
    pub fn take_over_socket(&self) -> PathBuf {
        eventually_some("its socket", || {
            let files = std::fs::read_dir(self.state_directory()).ok()?;
            let mut paths = files.flatten().map(|file| file.path());
            paths.find(|path| path.extension().is_some_and(|end| end == "sock"))
        })
    }

    /// Its file.
    pub fn configuration(&self) -> PathBuf {
        self.dir.path().join(CONFIGURATION)
    }

    /// Where it keeps what it makes itself.
    pub fn state_directory(&self) -> PathBuf {
        self.dir.path().join(".local/state/sidekey")
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The configuration, and other files, as Kubernetes changes what it has mounted.
    pub fn mount(&self, yaml: &str, files: &[(&str, &str)]) {
        let files = files
            .iter()
            .map(|(name, content)| ((*name).into(), (*content).into()));
        let mut files: Vec<(String, String)> = files.collect();
        files.push((CONFIGURATION.into(), self.with_ports(yaml)));
        mount(self.dir.path(), &files);
    }

    /// Puts a file beside the configuration, or another one in its place.
    pub fn put(&self, name: &str, content: &str) {
        write(self.dir.path(), &[(name.into(), content.into())]);
    }

    pub fn with_ports(&self, yaml: &str) -> String {
        let yaml = yaml.replace("@PROXY@", &self.proxy.port().to_string());
        yaml.replace("@ADMIN@", &self.admin.port().to_string())
    }

    /// Waits until an address of the admin listener answers 200.
    pub fn wait_for(&mut self, path: &str) {
        eventually(path, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("sidekey ended: {status}\n{}", self.logs());
            }
            TcpStream::connect(self.admin).is_ok() && get(self.admin, path).status == 200
        });
    }

    /// Where its configuration and the files beside it lie.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// A GET through the proxy, on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        get(self.proxy, target)
    }

    /// Everything it has printed.
    pub fn logs(&self) -> String {
        let errors = self.errors.lock().unwrap();
        format!("{}{errors}", self.output.lock().unwrap())
    }

    pub fn metrics(&self) -> String {
        get(self.admin, "/metrics").text()
    }

    /// The sum of the series with this name and these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        let named = |l: &str| l.split(['{', ' ']).next() == Some(name);
        let text = self.metrics();
        let lines = text.lines().filter(|l| named(l));
        let fit = lines.filter(|l| labels.iter().all(|label| l.contains(label.as_str())));
        let values = fit.filter_map(|l| l.rsplit(' ').next());
        values.map(|v| v.parse::<f64>().unwrap()).sum()
    }

    /// The token that it made for itself.
    pub fn admin_token(&self) -> String {
        let file = self.dir.path().join(".local/state/sidekey/admin-token");
        std::fs::read_to_string(file).unwrap()
    }

    /// A call of the account API with the admin token.
    pub fn api(&self, method: &str, path: &str, body: &str) -> Response {
        let bearer = format!("Bearer {}", self.admin_token());
        let fields = [("Authorization", bearer.as_str())];
        call(self.admin, method, path, &fields, body.as_bytes())
    }

    /// The command line, of the same user, speaking to this process.
    pub fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.dir);
        command.args(arguments);
        command.env("SIDEKEY_ADMIN", format!("http://{}", self.admin));
        command
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for its end, and until everything that it printed has been read.
    pub fn ended(&mut self) -> ExitStatus {
        let status = eventually_some("the end of sidekey", || self.child.try_wait().unwrap());
        eventually("the end of its output", || {
            // Each reader holds one until then.
            Arc::strong_count(&self.output) == 1 && Arc::strong_count(&self.errors) == 1
        });
        status
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// A field of `/proc/PID/status` in KiB: `VmRSS`, `VmHWM`.
    pub fn memory(&self, field: &str) -> u64 {
        let path = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|l| l.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Sidekey {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what sidekey said ---\n{}", self.logs());
        }
    }
}

const CONFIGURATION: &str = "sidekey.yaml";

/// Each file is there whole, or not at all.
fn write(folder: &Path, files: &[(String, String)]) {
    for (name, content) in files {
        let new = folder.join(format!("{name}.new"));
        std::fs::write(&new, content).unwrap();
        std::fs::rename(new, folder.join(name)).unwrap();
    }
}

/// As kubelet does it: the files lie in a folder of their own, behind a link
/// that is swapped, and links lead through that one.
fn mount(folder: &Path, files: &[(String, String)]) {
    let own = format!("..{:016x}", fastrand::u64(..));
    let data = folder.join("..data");
    let before = std::fs::read_link(&data).ok();
    std::fs::create_dir(folder.join(&own)).unwrap();
    write(&folder.join(&own), files);
    symlink(&own, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), &data).unwrap();
    for (name, _) in files {
        if !folder.join(name).is_symlink() {
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
    }
    if let Some(before) = before {
        std::fs::remove_dir_all(folder.join(before)).unwrap();
    }
}

/// The binary with a home of its own.
pub fn command(home: &tempfile::TempDir) -> Command {
    at_home(Command::new(binary()), home)
}

fn at_home(mut command: Command, home: &tempfile::TempDir) -> Command {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home.path())
        .env("TEST_CLIENT_SECRET", CLIENT_SECRET)
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // The suite runs on either back end.
    if let Some(io) = std::env::var_os("SIDEKEY_IO") {
        command.env("SIDEKEY_IO", io);
    }
    command
}

/// Runs the binary to its end: exit code, and what it printed on both.
pub fn run_to_end(arguments: &[&str]) -> (i32, String) {
    let home = tempfile::tempdir().unwrap();
    let output = command(&home).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().unwrap_or(-1);
    (code, String::from_utf8_lossy(&text).into_owned())
}

pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = text.clone();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            shared
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}
