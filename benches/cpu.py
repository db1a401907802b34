#!/usr/bin/env python3
"""CPU microseconds per proxied GET of 1 KiB, sidekey beside nginx, in one run.

The proxy runs alone on CPU 0, load (wrk) and upstream (nginx) on CPU 1. Slices
of a second alternate between the two proxies, ratios are taken pair by pair.
Needs nginx, wrk and a release build:  cargo build --release && benches/cpu.py
"""

import json, os, re, statistics, subprocess, sys, tempfile, time, urllib.request

ROUNDS = int(os.environ.get("ROUNDS", "15"))
CONNECTIONS = os.environ.get("CONNECTIONS", "64")
SIDEKEY = os.environ.get("SIDEKEY", "target/release/sidekey")
TOKEN = "t" * 900
UPSTREAM, NGINX, PROXY, ADMIN = 21080, 21081, 21082, 21083

NGINX_CONF = """
worker_processes 1; daemon off; pid {dir}/{name}.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log {access}; keepalive_requests 1000000000;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  {http}
}}"""


def nginx(folder, name, http, cpu, access="off"):
    path = f"{folder}/{name}.conf"
    with open(path, "w") as file:
        file.write(NGINX_CONF.format(dir=folder, name=name, http=http, access=access))
    return subprocess.Popen(["taskset", "-c", cpu, "nginx", "-e", "stderr", "-c", path])


def wait(url, headers={}):
    for _ in range(200):
        try:
            return urllib.request.urlopen(urllib.request.Request(url, headers=headers)).read()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"no answer from {url}")


def cpu(process):
    """User and system nanoseconds of a process and its children, all threads."""
    pids = [str(process.pid)]
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    pids += open(children).read().split()
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
    return total


def slice_of(process, url):
    before = cpu(process)
    out = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", "-c" + CONNECTIONS, "-d1s", url],
        capture_output=True, text=True, check=True).stdout
    used = cpu(process) - before
    if "Non-2xx" in out:
        sys.exit("an answer was not 2xx:\n" + out)
    return used / 1000 / int(re.search(r"(\d+) requests in", out).group(1))


def main():
    folder = tempfile.mkdtemp()
    os.makedirs(f"{folder}/state")
    token = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 86400})
    body = "x" * 1024
    upstream = f"""server {{ listen 127.0.0.1:{UPSTREAM} backlog=4096;
      location = /token {{ default_type application/json; return 200 '{token}'; }}
      location / {{ if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }} return 200 "{body}"; }} }}"""
    proxy = f"""upstream u {{ server 127.0.0.1:{UPSTREAM}; keepalive 1024; keepalive_requests 1000000000; }}
      server {{ listen 127.0.0.1:{NGINX} backlog=4096; location / {{ proxy_pass http://u; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Authorization "Bearer {TOKEN}"; }} }}"""
    config = f"""
listen: 127.0.0.1:{PROXY}
admin: {{listen: 127.0.0.1:{ADMIN}, public_url: "http://127.0.0.1:{ADMIN}"}}
store: {{memory: true}}
workers: {{count: 1}}
integrations:
  - key: bench
    oauth2: {{grant_type: client_credentials, token_endpoint: "http://127.0.0.1:{UPSTREAM}/token",
             client_id: a, client_secret: {{env: BENCH_SECRET}}}}
    token: {{in: header, name: Authorization, value: "Bearer {{token}}"}}
accounts: [{{key: bench, integration: bench}}]
routes: [{{name: bench, path: /, upstream: "http://127.0.0.1:{UPSTREAM}/", account: bench}}]
"""
    with open(f"{folder}/sidekey.yaml", "w") as file:
        file.write(config)
    environment = os.environ | {"BENCH_SECRET": "s", "STATE_DIRECTORY": f"{folder}/state"}
    log = open(f"{folder}/access.log", "w")
    processes = [
        nginx(folder, "upstream", upstream, "1"),
        nginx(folder, "proxy", proxy, "0", access=f"{folder}/nginx-access.log"),
    ]
    wait(f"http://127.0.0.1:{UPSTREAM}/token")
    processes.append(subprocess.Popen(
        ["taskset", "-c", "0", SIDEKEY, "run", "--config", f"{folder}/sidekey.yaml"],
        env=environment, stdout=log, stderr=log))
    try:
        urls = [f"http://127.0.0.1:{port}/" for port in (NGINX, PROXY)]
        wait(f"http://127.0.0.1:{ADMIN}/readyz")
        for url in urls:
            wait(url)
        measured = [[], []]
        for round_ in range(ROUNDS + 1):
            pair = [slice_of(processes[1 + at], url) for at, url in enumerate(urls)]
            if round_:  # the first one warms up
                for at in (0, 1):
                    measured[at].append(pair[at])
        ratios = sorted(b / a for a, b in zip(*measured))
        for name, values in zip(("nginx", "sidekey"), measured):
            print(f"{name:8} {statistics.median(values):6.2f} us/request"
                  f"  [{min(values):.2f} - {max(values):.2f}]")
        print(f"sidekey / nginx: median {statistics.median(ratios):.3f}"
              f"  [p10 {ratios[len(ratios) // 10]:.3f}, p90 {ratios[len(ratios) * 9 // 10]:.3f}]"
              f"  over {ROUNDS} pairs, {CONNECTIONS} connections")
    finally:
        for process in processes:
            process.terminate()


main()
