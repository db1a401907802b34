"""What all measurements share: the proxies, the load, the ports and the files."""

import os
import resource
import shutil
import socket
import subprocess
import sys

import install
import special
from load import Load
from proxies import DidNotStart, Direct, Envoy, Haproxy, HaproxyTcp, Nginx, Sidekey

PROXY_CPU, LOAD_CPU = "0", "1"


class Bench:
    def __init__(self, port_base, alone=False):
        self.port_base, self.alone = port_base, alone
        self.work = os.path.join(install.TARGET, "work")
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        # As long as a usual signed token; upstreams number theirs in the first digits.
        self.token = "00000000" + "t" * 892
        self.files = raise_file_limit()
        self.running, self.proxies, self.proofs, self.numbers = [], [], {}, 0
        failed = install.debian()
        for program in ("openssl", "taskset", "setpriv", "cc"):
            if program in failed:
                sys.exit(f"{program} is missing and can't be installed: {failed[program]}")
        programs = {"HAProxy TCP": "haproxy", "nginx": "nginx", "HAProxy HTTP": "haproxy"}
        self.missing = {name: failed[program] for name, program in programs.items() if program in failed}
        self.envoy, why = (None, "left out: --alone") if alone else install.envoy()
        if why:
            self.missing["Envoy"] = why
        self.sidekey = install.sidekey()
        self.authority, self.certificate, self.key = install.certificates(self.work)
        self.load = Load(install.load_generator(), self.token, LOAD_CPU)

    def make(self, kind, name, **options):
        self.numbers += 1
        while not all(map(free, range(self.base(self.numbers), self.base(self.numbers + 1)))):
            self.numbers += 1
        return kind(name, self.numbers, self, **options)

    def base(self, number):
        """The first of the ten ports of a proxy and its upstreams."""
        return self.port_base + 10 * number

    def start(self):
        """All proxies at once: one that is not asked anything costs nothing."""
        self.direct = self.make(Direct, "direct")
        peers = [(HaproxyTcp, "HAProxy TCP"), (Nginx, "nginx"), (Haproxy, "HAProxy HTTP"), (Envoy, "Envoy")]
        for kind, name in peers:
            if self.alone:
                self.missing[name] = "left out: --alone"
            if name in self.missing:
                continue
            proxy = self.make(kind, name)
            try:
                proxy.start(PROXY_CPU)
                self.proxies.append(proxy)
            except DidNotStart as why:
                proxy.stop()
                self.missing[name] = str(why)
        for name, io in self.back_ends():
            proxy = self.make(Sidekey, name, io=io)
            try:
                proxy.start(PROXY_CPU)
            except DidNotStart as why:
                if io != "io_uring":
                    raise
                proxy.stop()
                self.missing[name] = str(why)
                continue
            self.proxies.append(proxy)
            proxy.reject_once(self.load.pool(proxy, special.GET, 8))

    def again(self, proxy, cpus=PROXY_CPU, **options):
        """A fresh process of the same kind."""
        if isinstance(proxy, Sidekey):
            options["io"] = proxy.io
        fresh = self.make(type(proxy), proxy.name, **options)
        fresh.start(cpus)
        return fresh

    def finish(self, proxy):
        """Ends one, after a look at whether it counted what it was sent."""
        self.token_arrived(proxy)
        if isinstance(proxy, Sidekey):
            self.proofs.setdefault(proxy.name, []).append(proxy.proof())
        proxy.stop()

    def token_arrived(self, proxy):
        for upstream in (proxy.upstream, proxy.up_tls):
            stats = self.load.ask("stats", upstream)
            if stats["wrong"]:
                sys.exit(f"{proxy.name}: {stats['wrong']} requests came without the right token,"
                         f" the first with: {stats['first_wrong']}")

    def back_ends(self):
        """One sidekey per way of waiting for sockets that this build and kernel have."""
        probe = os.path.join(self.work, "probe.yaml")
        with open(probe, "w") as file:
            file.write("workers: {count: 1, io: io_uring}\nstore: {memory: true}\n")
        check = subprocess.run([self.sidekey, "check", "--config", probe], capture_output=True)
        if check.returncode:
            return [("sidekey", None)]
        return [("sidekey epoll", "epoll"), ("sidekey io_uring", "io_uring")]

    def forget_logs(self):
        for proxy in self.proxies:
            os.truncate(proxy.log, 0)

    def stop(self):
        for proxy in list(self.running):
            proxy.stop()


def free(port):
    with socket.socket() as probe:
        # As every proxy does it: a port on which only old connections linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
