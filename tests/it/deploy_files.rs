//! What lies in deploy/, looked at by the tools that read such files.

use crate::support::real::file;
use crate::support::sidekey::{binary, run_to_end};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

fn manifests() -> Vec<PathBuf> {
    let entries = fs::read_dir(deploy("kubernetes")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The documents of YAML or plist files.
pub fn documents(paths: &[PathBuf]) -> Vec<Value> {
    let mut python = Command::new(file(".venv/bin/python"));
    python.arg(file("documents.py")).args(paths);
    serde_json::from_str(&good(&mut python)).unwrap()
}

/// Runs a tool to its end, which must be a success; what it printed.
pub fn good(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}: ./test installs it"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{said}\n{errors}");
    said
}

fn validate(paths: &[PathBuf]) -> Command {
    let mut validate = Command::new(file(".venv/bin/kubernetes-validate"));
    validate.args(["--strict", "-k", "1.37.0"]).args(paths);
    validate
}

#[test]
fn kubernetes_knows_every_key_of_the_manifests() {
    good(&mut validate(&manifests()));
    // A key that it does not know is not let through.
    let text = fs::read_to_string(deploy("kubernetes/sidecar.yaml")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("wrong.yaml");
    fs::write(&wrong, text.replace("restartPolicy:", "restartPolicies:")).unwrap();
    assert!(!validate(&[wrong]).output().unwrap().status.success());
}

/// Pods, and templates of pods, with their names.
fn pods() -> Vec<(String, Value)> {
    let mut pods = Vec::new();
    for document in documents(&manifests()) {
        let name = document["metadata"]["name"].as_str().unwrap().to_owned();
        match document["kind"].as_str() {
            Some("Pod") => pods.push((name, document["spec"].clone())),
            Some("Deployment") => {
                assert_eq!(document["spec"]["replicas"], 1);
                assert_eq!(document["spec"]["strategy"]["type"], "Recreate");
                pods.push((name, document["spec"]["template"]["spec"].clone()));
            }
            _ => {}
        }
    }
    pods
}

fn containers<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    pod[list].as_array().into_iter().flatten()
}

#[test]
fn sidekey_has_no_rights_in_any_pod_and_alone_sees_its_secrets() {
    let pods = pods();
    assert_eq!(pods.len(), 3);
    for (name, pod) in &pods {
        let all = containers(pod, "initContainers").chain(containers(pod, "containers"));
        let (ours, others): (Vec<_>, Vec<_>) = all.partition(|c| c["name"] == "sidekey");
        assert_eq!(ours.len(), 1, "{name}");
        let context = &ours[0]["securityContext"];
        let either = |key: &str| match &context[key] {
            Value::Null => pod["securityContext"][key].clone(),
            written => written.clone(),
        };
        assert_eq!(either("runAsNonRoot"), true, "{name}");
        assert_eq!(either("runAsUser"), 65532, "{name}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        for other in others {
            let mounts = other["volumeMounts"].to_string();
            assert!(!mounts.contains("secrets"), "{name}: {mounts}");
        }
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            assert_eq!(
                ours[0][probe]["httpGet"]["port"], "probes",
                "{name} {probe}"
            );
        }
        let listens = ours[0]["ports"].to_string();
        assert!(listens.contains("7482"), "{name}: {listens}");
    }
}

#[test]
fn the_sidecar_is_a_native_one_and_starts_the_application_when_ready() {
    let pods = pods();
    let pod = |name: &str| &pods.iter().find(|(n, _)| n == name).expect(name).1;
    let native = &pod("app-with-sidekey")["initContainers"][0];
    assert_eq!(native["restartPolicy"], "Always");
    assert_eq!(native["startupProbe"]["httpGet"]["path"], "/readyz");
    // No shell, so nothing that runs a program of its own.
    for (name, pod) in &pods {
        assert!(!pod.to_string().contains("\"exec\""), "{name}");
    }
    let legacy = &pod("legacy-with-sidekey")["containers"][0];
    let sleep = legacy["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
    let grace = pod("legacy-with-sidekey")["terminationGracePeriodSeconds"].as_u64();
    // What ConfigMap and manifests say about time adds up.
    assert!(sleep.unwrap() + 20 < grace.unwrap());
}

/// Names of the configurations, and their text.
fn configurations(manifests: &[Value]) -> Vec<(String, String)> {
    let maps = manifests.iter().filter(|d| d["kind"] == "ConfigMap");
    let mut found: Vec<_> = maps
        .map(|map| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&map["metadata"]["name"]),
                text(&map["data"]["sidekey.yaml"]),
            )
        })
        .collect();
    let compose = fs::read_to_string(deploy("compose/sidekey.yaml")).unwrap();
    found.push(("compose".into(), compose));
    found
}

/// Puts every secret of the manifests into a folder, as a mount would.
fn mount_secrets(manifests: &[Value], dir: &Path) {
    let secrets = manifests.iter().filter(|d| d["kind"] == "Secret");
    for (name, value) in secrets.flat_map(|s| s["stringData"].as_object().unwrap()) {
        fs::write(dir.join(name), value.as_str().unwrap()).unwrap();
    }
}

#[test]
fn every_configuration_passes_check_without_a_warning() {
    let manifests = documents(&manifests());
    let configurations = configurations(&manifests);
    assert_eq!(configurations.len(), 3);
    for (name, yaml) in configurations {
        let dir = tempfile::tempdir().unwrap();
        mount_secrets(&manifests, dir.path());
        let here = format!("{}/", dir.path().display());
        let yaml = yaml
            .replace("/run/secrets/sidekey/", &here)
            .replace("/run/secrets/", &here);
        let path = dir.path().join("sidekey.yaml");
        fs::write(&path, yaml).unwrap();
        let (code, said) = run_to_end(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(code, 0, "{name}: {said}");
        assert!(!said.contains("warning"), "{name}: {said}");
    }
}

#[test]
fn hadolint_finds_no_fault_with_the_dockerfile() {
    let mut hadolint = Command::new(file(".venv/bin/hadolint"));
    good(
        hadolint
            .args(["--failure-threshold", "info"])
            .arg(deploy("Dockerfile")),
    );
}

#[test]
fn the_unit_is_as_hardened_as_it_says() {
    let text = fs::read_to_string(deploy("systemd/sidekey.service")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("sidekey.service");
    fs::write(&unit, text.replace("/usr/local/bin/sidekey", &binary())).unwrap();
    let analyze = || Command::new("systemd-analyze");
    good(analyze().arg("verify").arg(&unit));
    // The socket that holds its port open.
    let socket = dir.path().join("sidekey.socket");
    fs::copy(deploy("systemd/sidekey.socket"), &socket).unwrap();
    good(analyze().arg("verify").arg(&socket));
    // In tenths; more is an error.
    let security = ["security", "--offline=true", "--threshold=11"];
    good(analyze().args(security).arg(&unit));
    assert!(text.contains("exposure at 1.1 of 10"));
    assert!(text.contains("\nLoadCredential="));
}

#[test]
fn the_launchd_job_runs_sidekey_and_lets_it_drain() {
    let job = &documents(&[deploy("launchd/sidekey.plist")])[0];
    assert_eq!(job["Label"], "sidekey");
    assert_eq!(job["ProgramArguments"][1], "run");
    assert_eq!(job["KeepAlive"]["SuccessfulExit"], false);
    assert!(job["ExitTimeOut"].as_u64().unwrap() > 30, "drain.timeout");
    assert_eq!(job["Umask"], 0o077);
}

#[test]
fn compose_gives_no_rights_and_publishes_on_loopback() {
    let compose = &documents(&[deploy("compose.yaml")])[0];
    let service = &compose["services"]["sidekey"];
    assert_eq!(service["read_only"], true);
    assert_eq!(service["user"], "65532:65532");
    assert_eq!(service["cap_drop"][0], "ALL");
    let ports = service["ports"].as_array().unwrap();
    assert_eq!(ports.len(), 2);
    for port in ports {
        assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{port}");
    }
    let image = service["image"].as_str().unwrap();
    assert!(
        image.contains(concat!("sidekey:", env!("CARGO_PKG_VERSION"))),
        "{image}"
    );
}
