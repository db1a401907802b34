"""What the measurements share: load and upstream, and sidekeys of any size."""

import os
import shutil
import signal
import socket
import time

import install
import proc
from bench import LOAD_CPU, PROXY_CPU, raise_file_limit
from load import Load
from proxies import DidNotStart, Sidekey


class Stage:
    """As the comparison with other proxies has it, but without those."""

    envoy = None

    def __init__(self, target, port_base, token_bytes):
        self.work = os.path.join(target, "work")
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        self.port_base, self.numbers, self.running = port_base, 0, []
        self.token = "00000000" + "t" * (token_bytes - 8)
        self.files = raise_file_limit()
        self.authority = os.path.join(self.work, "none.pem")
        open(self.authority, "w").close()
        self.sidekey = install.sidekey()
        self.load = Load(install.load_generator(), self.token, LOAD_CPU)

    def base(self, number):
        return self.port_base + 10 * number

    def make(self, name, **options):
        self.numbers += 1
        return Sized(name, self.numbers, self, **options)

    def stop(self):
        for proxy in list(self.running):
            proxy.stop()


class Sized(Sidekey):
    """A sidekey with so many routes and accounts."""

    def __init__(self, name, number, stage, routes=1, accounts=1, store="{memory: true}",
                 lives=None, under=()):
        super().__init__(name, number, stage)
        self.routes, self.accounts, self.store, self.under = routes, accounts, store, under
        self.upstream = stage.load.upstream(self.up_port, *(("lives", *lives) if lives else ()))
        self.path = "/r#####"

    def config(self):
        accounts = "\n".join(
            f"  - {{key: a{at:06}, integration: bench, parameters: {{tenant: t{at:06}}}}}"
            for at in range(self.accounts))
        routes = "\n".join(
            f'  - {{path: /r{at:05}/, upstream: "http://127.0.0.1:{self.up_port}/",'
            f" account: a{at % self.accounts:06}}}" for at in range(self.routes))
        return f"""
listen: 127.0.0.1:{self.port}
admin: {{listen: "127.0.0.1:{self.admin}", public_url: "http://127.0.0.1:{self.admin}"}}
store: {self.store}
workers: {{count: 1}}
integrations:
  - key: bench
    parameters: [tenant]
    oauth2:
      grant_type: client_credentials
      token_endpoint: http://127.0.0.1:{self.up_port}/token
      client_id: "{{tenant}}"
      client_secret: {{env: BENCH_SECRET}}
accounts:
{accounts}
routes:
{routes}
"""

    def command(self):
        return [*self.under, *super().command()]

    def environment(self):
        return super().environment() | {"SIDEKEY_STORE_KEY": "0" * 64}

    def start(self, cpus=PROXY_CPU):
        self.began = time.monotonic()
        super().start(cpus)

    def wait(self):
        """Until it listens; how long that took is kept."""
        while True:
            if self.process.poll() is not None:
                raise DidNotStart(f"{self.name} has ended: {self.last_line()}")
            if time.monotonic() - self.began > 600:
                raise DidNotStart(f"{self.name} does not listen after ten minutes")
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                time.sleep(0.005)
        self.listening = time.monotonic() - self.began

    def end_gently(self):
        """Lets it write what it has to write, however long that takes."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=300)
        self.process = None
        self.bench.running.remove(self)

    def issued(self):
        return self.bench.load.ask("stats", self.upstream)["issued"]

    def cpu_s(self):
        """Seconds of processor time, of threads that have ended as well: those that wait
        for the store come and go."""
        return sum(proc.user_system(self.pids))
