"""What the figures were taken on."""

import os
import platform
import re
import subprocess

import proc


def describe(bench):
    model = re.search(r"model name\s*: (.*)", proc.read("/proc/cpuinfo"))
    system = re.search(r'PRETTY_NAME="(.*)"', proc.read("/etc/os-release"))
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "system": system.group(1) if system else platform.system(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "versions": versions(bench),
    }


def versions(bench):
    commands = {"nginx": ["nginx", "-v"], "HAProxy": ["haproxy", "-v"],
                "sidekey": [bench.sidekey, "--version"]}
    if bench.envoy:
        commands["Envoy"] = [bench.envoy, "--version"]
    found = {}
    for name, command in commands.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError:
            continue
        number = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
        found[name] = number.group(0) if number else "unknown"
    return found
