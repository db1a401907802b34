//! Containers, by Podman; `./test` installs it and builds sidekey's image.

use super::real::file;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The image that `deploy/image` built last in this very clone: a name would also
/// fit one of another clone's.
pub static IMAGE: LazyLock<String> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("image-id");
    let id = std::fs::read_to_string(file).unwrap_or_default();
    let id = id.trim().trim_start_matches("sha256:");
    let exists = !id.is_empty() && output(&["image", "exists", id]).status.success();
    assert!(exists, "there is no image: ./test builds it");
    id.to_owned()
});

/// Podman with the tests' own settings.
pub fn command() -> Command {
    let mut podman = Command::new("podman");
    podman.env("CONTAINERS_CONF", file("containers.conf"));
    podman
}

/// Runs it; what it printed on standard output.
pub fn podman(arguments: &[&str]) -> String {
    let output = output(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "podman {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn output(arguments: &[&str]) -> Output {
    let output = command().args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|e| panic!("podman: {e}: ./test installs it"))
}

/// An image in which this machine's programs run, `/usr` being mounted into it.
pub static TOOLS: LazyLock<&str> = LazyLock::new(|| {
    const NAME: &str = "localhost/sidekey-test-tools:1";
    if output(&["image", "exists", NAME]).status.success() {
        return NAME;
    }
    let root = tempfile::tempdir().unwrap();
    for folder in [
        "usr", "proc", "sys", "dev", "tmp", "etc", "run", "data", "real",
    ] {
        std::fs::create_dir(root.path().join(folder)).unwrap();
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        let to = Path::new("usr").join(link);
        std::os::unix::fs::symlink(to, root.path().join(link)).unwrap();
    }
    let tar = root.path().join("root.tar");
    let packed = Command::new("tar")
        .arg("--exclude=./root.tar")
        .args(["-C", root.path().to_str().unwrap(), "-cf"])
        .args([tar.to_str().unwrap(), "."])
        .status();
    assert!(packed.unwrap().success());
    podman(&["import", "--quiet", tar.to_str().unwrap(), NAME]);
    NAME
});

/// A network, and the pods on it; all of them end with this value.
pub struct Pods {
    network: String,
    pods: Vec<String>,
}

impl Pods {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let network = format!("sidekey-{}-{number}", std::process::id());
        podman(&["network", "create", &network]);
        Self {
            network,
            pods: Vec::new(),
        }
    }

    /// A pod on the network; its full name.
    pub fn pod(&mut self, name: &str, options: &[&str]) -> String {
        let full = self.name(name);
        let arguments = ["pod", "create", "--name", &full, "--network", &self.network];
        podman(&[&arguments[..], options].concat());
        self.pods.push(full.clone());
        full
    }

    /// Starts a container in a pod of this machine's programs.
    pub fn start_tool(&self, pod: &str, name: &str, options: &[&str], line: &[&str]) -> String {
        let usual = [
            "--volume=/usr:/usr:ro",
            "--volume=/etc/passwd:/etc/passwd:ro",
            "--volume=/etc/group:/etc/group:ro",
        ];
        let line = [&[*TOOLS][..], line].concat();
        self.start(pod, name, &[&usual[..], options].concat(), &line)
    }

    /// Starts a container in a pod; its full name.
    pub fn start(&self, pod: &str, name: &str, options: &[&str], line: &[&str]) -> String {
        let full = self.name(name);
        let arguments = ["run", "--detach", "--pod", pod, "--name", &full];
        podman(&[&arguments[..], options, line].concat());
        full
    }

    /// The address of a pod on the network.
    pub fn address(&self, pod: &str) -> String {
        let infra = podman(&["pod", "inspect", "--format", "{{.InfraContainerID}}", pod]);
        let path = format!(
            "{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}",
            self.network
        );
        podman(&["inspect", "--format", &path, &infra])
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.network)
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        for pod in &self.pods {
            if std::thread::panicking() {
                let logs = output(&["pod", "logs", "--names", pod]);
                let text = [logs.stdout, logs.stderr].concat();
                eprintln!("--- {pod} ---\n{}", String::from_utf8_lossy(&text));
            }
            output(&["pod", "rm", "--force", "--time", "0", pod]);
        }
        output(&["network", "rm", "--force", &self.network]);
    }
}
