"""The proxies that are compared: how each is configured, started and stopped."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

import proc

HERE = os.path.dirname(os.path.abspath(__file__))


class DidNotStart(Exception):
    pass


class Proxy:
    """One running proxy. Its ports follow from its number."""

    settings = ""
    load_sends_token = False
    path = tls_path = ""

    def __init__(self, name, number, bench):
        self.name, self.bench = name, bench
        base = bench.base(number)
        self.up_port, self.up_tls_port, self.port, self.tls_port, self.admin = range(base, base + 5)
        self.folder = os.path.join(bench.work, f"{number}-{name.replace(' ', '-')}")
        os.makedirs(self.folder, exist_ok=True)
        self.log = os.path.join(self.folder, "access.log")
        self.sent = 0
        self.process = None

    def start(self, cpus):
        if not hasattr(self, "upstream"):
            self.upstream = self.bench.load.upstream(self.up_port)
            self.up_tls = self.bench.load.upstream(
                self.up_tls_port, "tls", self.bench.certificate, self.bench.key,
                "shares", self.upstream)
        output = open(self.log, "ab")  # appended to, so that it can be truncated
        # A process group, to be ended as one; not a session, which the kernel may schedule
        # as one against all others.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", cpus, *self.command()],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env=os.environ | self.environment(), preexec_fn=os.setpgrp)
        self.bench.running.append(self)
        self.wait()
        self.pids = proc.tree(self.process.pid)

    def environment(self):
        return {}

    def wait(self):
        """Until a request goes through, the token included."""
        headers = {"Authorization": f"Bearer {self.bench.token}"} if self.load_sends_token else {}
        self.until_ok(f"http://127.0.0.1:{self.port}{self.path}/get", headers)
        self.sent += 1

    def until_ok(self, url, headers={}):
        error = None
        for _ in range(200):
            if self.process.poll() is not None:
                raise DidNotStart(f"{self.name} has ended: {self.last_line()}")
            try:
                request = urllib.request.Request(url, headers=headers)
                return urllib.request.urlopen(request, timeout=5).read()
            except (OSError, urllib.error.HTTPError) as failure:
                error = failure
                time.sleep(0.05)
        raise DidNotStart(f"{self.name}: {url}: {error}; {self.last_line()}")

    def last_line(self):
        lines = proc.read(self.log).splitlines() or ["without a word"]
        return f"{lines[-1][:300]} (more in {self.log})"

    def cpu_ns(self):
        return proc.cpu_ns(self.pids)

    def stop(self):
        if self.process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(timeout=3)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        self.process.wait()
        self.process = None
        self.bench.running.remove(self)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path


class Direct:
    """No proxy: the load talks to an upstream itself."""

    load_sends_token, path, tls_path, sent = True, "", "", 0

    def __init__(self, name, number, bench):
        self.name, self.port = name, bench.base(number)
        self.upstream = bench.load.upstream(self.port)


class Sidekey(Proxy):
    settings = ("release binary, defaults (replay, limits, timeouts, metrics, access log to a file);"
                " workers: {count: 1}, store in memory")
    tls_path = "/tls"

    def __init__(self, name, number, bench, io=None, workers=1):
        super().__init__(name, number, bench)
        self.tls_port = self.port  # a route, not a listener
        self.io = io
        self.workers = f"{{count: {workers}" + (f", io: {io}}}" if io else "}")

    def config(self):
        return f"""
listen: 127.0.0.1:{self.port}
admin: {{listen: "127.0.0.1:{self.admin}", public_url: "http://127.0.0.1:{self.admin}"}}
store: {{memory: true}}
workers: {self.workers}
integrations:
  - key: bench
    oauth2:
      grant_type: client_credentials
      token_endpoint: http://127.0.0.1:{self.up_port}/token
      client_id: bench
      client_secret: {{env: BENCH_SECRET}}
    token: {{in: header, name: Authorization, value: "Bearer {{token}}"}}
accounts: [{{key: bench, integration: bench}}]
routes:
  - {{name: bench, path: /, upstream: "http://127.0.0.1:{self.up_port}/", account: bench}}
  - {{name: tls, path: /tls/, upstream: "https://localhost:{self.up_tls_port}/", account: bench}}
"""

    def command(self):
        return [self.bench.sidekey, "run", "--config", self.write("sidekey.yaml", self.config())]

    def environment(self):
        # The system's trust store is where sidekey looks; this is how to add to it for one process.
        return {"BENCH_SECRET": "secret", "STATE_DIRECTORY": self.folder, "HOME": self.folder,
                "SSL_CERT_FILE": self.bench.authority}

    def metrics(self, name):
        """The values of a metric, by their labels."""
        text = self.until_ok(f"http://127.0.0.1:{self.admin}/metrics").decode()
        samples = (line.rpartition(" ") for line in text.splitlines())
        return {key[len(name):]: float(value) for key, _, value in samples
                if key.split("{")[0] == name}

    def metric(self, name, label=""):
        """The sum of a metric over its labels, or over those with a text in them."""
        return int(sum(value for key, value in self.metrics(name).items() if label in key))

    def replays(self):
        """How many ended how."""
        found = {}
        for labels, value in self.metrics("sidekey_replays_total").items():
            outcome = labels.partition('outcome="')[2].partition('"')[0]
            found[outcome] = found.get(outcome, 0) + int(value)
        return found

    def wait(self):
        self.until_ok(f"http://127.0.0.1:{self.admin}/readyz")
        if self.io and not self.metric("sidekey_build_info", f'io="{self.io}"'):
            raise DidNotStart(f"{self.name}: the kernel does not offer {self.io}")
        super().wait()

    def reject_once(self, pool):
        """Revokes the token under way, so that it is seen to be replaced."""
        pool.run(50)
        self.bench.load.ask("revoke", self.upstream)
        pool.run(50)
        pool.close()

    def proof(self):
        """That this ran as shipped: what it counted is what was sent."""
        for _ in range(20):  # workers hand in their counts several times a second
            counted = self.metric("sidekey_requests_total")
            if counted == self.sent:
                break
            time.sleep(0.1)
        return {"sent": self.sent, "counted": counted,
                "replayed": self.metric("sidekey_replays_total", 'outcome="cured"'),
                "refreshed": self.metric("sidekey_token_refreshes_total", 'trigger="rejected"'),
                "log_lines_lost": self.metric("sidekey_access_log_dropped_total")}


class Nginx(Proxy):
    settings = ("proxy_set_header Authorization; upstream keepalive 1024, HTTP/1.1; TLS: verified,"
                " session reuse; access log buffer=64k flush=1s; no temporary files")

    def config(self):
        folder = self.folder
        temporary = "\n".join(
            f"  {kind}_temp_path {folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.getuid() == 0 else ""
        shared = (f'proxy_http_version 1.1; proxy_set_header Connection "";'
                  f' proxy_set_header Authorization "Bearer {self.bench.token}";')
        return f"""
{user} worker_processes 1; worker_rlimit_nofile {self.bench.files};
daemon off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
{temporary}
  access_log {self.log} combined buffer=64k flush=1s;
  tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_timeout 1h;
  proxy_buffers 16 32k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;
  upstream plain {{ server 127.0.0.1:{self.up_port}; keepalive 1024;
    keepalive_requests 1000000000; keepalive_timeout 1h; }}
  upstream tls {{ server 127.0.0.1:{self.up_tls_port}; keepalive 1024;
    keepalive_requests 1000000000; keepalive_timeout 1h; }}
  server {{ listen 127.0.0.1:{self.port} backlog=4096;
    location / {{ proxy_pass http://plain; {shared} }} }}
  server {{ listen 127.0.0.1:{self.tls_port} backlog=4096;
    location / {{ proxy_pass https://tls; {shared}
      proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse on;
      proxy_ssl_server_name on; proxy_ssl_name localhost;
      proxy_ssl_verify on; proxy_ssl_trusted_certificate {self.bench.authority}; }} }}
}}
"""

    def command(self):
        return ["nginx", "-e", "stderr", "-c", self.write("nginx.conf", self.config())]


class Haproxy(Proxy):
    settings = ("mode http, nbthread 1; http-request set-header Authorization; http-reuse always,"
                " idle upstream connections kept; TLS: verified; option httplog to a file, a write a line")
    mode, log_format = "http", "option httplog"

    def server(self):
        return f'  http-request set-header Authorization "Bearer {self.bench.token}"\n  http-reuse always'

    def config(self):
        tls = f"ssl verify required ca-file {self.bench.authority} sni str(localhost) verifyhost localhost"
        return f"""
global
  nbthread 1
  maxconn 4000
  tune.pool-low-fd-ratio 90
  tune.pool-high-fd-ratio 95
  log stdout format raw local0
  ssl-default-server-options ssl-min-ver TLSv1.3
defaults
  mode {self.mode}
  log global
  {self.log_format}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen plain
  bind 127.0.0.1:{self.port} backlog 4096
{self.server()}
  server u 127.0.0.1:{self.up_port} pool-purge-delay 1h
listen tls
  bind 127.0.0.1:{self.tls_port} backlog 4096
{self.server()}
  server u 127.0.0.1:{self.up_tls_port} pool-purge-delay 1h {tls}
"""

    def command(self):
        return ["haproxy", "-db", "-f", self.write("haproxy.cfg", self.config())]


class HaproxyTcp(Haproxy):
    settings = ("mode tcp, nbthread 1: adds and parses nothing, the load sends the token;"
                " option tcplog (a line when a connection ends)")
    mode, log_format = "tcp", "option tcplog"
    load_sends_token = True

    def server(self):
        return ""


class Envoy(Proxy):
    settings = ("concurrency 1; credential_injector with its oauth2 client credentials; upstream"
                " keep-alive; no request id, no x-envoy headers; TLS: verified; access log to a file")
    tls_path = "/tls"

    def __init__(self, name, number, bench):
        super().__init__(name, number, bench)
        self.tls_port = self.port  # a route, not a listener

    def config(self):
        with open(os.path.join(HERE, "envoy.yaml")) as file:
            text = file.read()
        values = {"PORT": self.port, "UP_PORT": self.up_port,
                  "UP_TLS_PORT": self.up_tls_port, "LOG": self.log,
                  "AUTHORITY": self.bench.authority}
        for name, value in values.items():
            text = text.replace(f"${name}$", str(value))
        return text

    def command(self):
        return [self.bench.envoy, "--concurrency", "1", "--disable-hot-restart",
                "--log-level", "warning", "-c", self.write("envoy.yaml", self.config())]
