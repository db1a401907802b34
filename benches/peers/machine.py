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
        "versions": versions(bench),
    }


class Others:
    """How much of all cores went to others, or was stolen by the host, since it was made."""

    def __init__(self):
        self.start = self.counts()

    def share(self):
        total, taken = (now - then for now, then in zip(self.counts(), self.start))
        return round(max(taken, 0) / max(total, 1), 3)

    def counts(self):
        fields = [int(field) for field in proc.read("/proc/stat").split("\n")[0].split()[1:9]]
        user, nice, system, _, _, _, _, steal = fields
        living = [pid for pid in proc.tree(os.getpid()) if pid != os.getpid()]
        ours = sum(os.times()[:4]) + sum(proc.user_system(living))
        return sum(fields), user + nice + system + steal - ours * proc.TICKS


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
