"""What the figures were taken on."""

import os
import platform
import re
import subprocess
import time

import proc


def describe(bench):
    model = re.search(r"model name\s*: (.*)", proc.read("/proc/cpuinfo"))
    system = re.search(r'PRETTY_NAME="(.*)"', proc.read("/etc/os-release"))
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "system": system.group(1) if system else platform.system(),
        "kernel": platform.release(),
        "busy_before": round(busy_share(2), 3),
        "versions": versions(bench),
    }


def busy_share(seconds):
    """How busy all cores are while we do nothing."""
    def counts():
        fields = [int(field) for field in proc.read("/proc/stat").split("\n")[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # of that idle or waiting for a disk

    (total, idle), _, (total_after, idle_after) = counts(), time.sleep(seconds), counts()
    return 1 - (idle_after - idle) / max(total_after - total, 1)


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
