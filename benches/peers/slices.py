"""Processor time per request, by short slices that alternate between the proxies."""

import statistics
import sys
import time
from dataclasses import dataclass

import proc

SLICE_MS = 50
# Not counted: connections open, caches and clocks warm up.
WARM_UP = 3


@dataclass
class Case:
    name: str
    title: str
    path: str = "/get"
    method: str = "GET"
    body: int = 0
    connections: int = 64
    tls: bool = False


CASES = [
    Case("get", "GET, 1 KiB reply, 64 connections"),
    Case("get-1", "GET, 1 KiB reply, 1 connection", connections=1),
    Case("get-1000", "GET, 1 KiB reply, 1,000 connections", connections=1000),
    Case("post", "POST of 10 KiB, 64 connections", "/post", "POST", 10240),
    Case("download", "1 MiB download, 8 connections", "/download", connections=8),
    Case("tls", "GET, 1 KiB reply, upstream over TLS 1.3, 64 connections", tls=True),
]


def measure(bench, case, rounds):
    """Per proxy: µs per request, their ratios to each reference, user's share."""
    pools = {proxy: bench.load.pool(proxy, case, case.connections) for proxy in bench.proxies}
    per_request = {proxy: [] for proxy in pools}
    requests = dict.fromkeys(pools, 0)
    before = split = None
    for round_ in range(-WARM_UP, rounds):
        if round_ == 0:
            split = {proxy: proc.user_system(proxy.pids) for proxy in pools}
        before = one_round(pools, before, round_, per_request, requests)
        progress(f"{case.name}: {round_ + 1}/{rounds}")
    result = {}
    for proxy in pools:
        user, system = (now - then for now, then in zip(
            proc.user_system(proxy.pids), split[proxy]))
        result[proxy.name] = {
            "cpu_us": spread(per_request[proxy]),
            "requests": requests[proxy],
            "user_share": round(user / (user + system), 3) if user + system else None,
            "ratios": ratios(bench, per_request, proxy),
        }
    if case.tls:
        for proxy in pools:
            result[proxy.name]["handshakes"] = handshakes(bench, pools[proxy], case)
    for pool in pools.values():
        pool.close()
    progress("")
    return result


def one_round(pools, before, round_, per_request, requests):
    """One slice of each. A proxy's processor time is counted from the end of its last
    slice to the end of this one, so that what it does on the side and later, such as
    writing its access log, is in it as well."""
    after = {}
    order = list(pools)
    start = round_ % len(order)  # nobody always comes after the same neighbour
    for proxy in order[start:] + order[:start]:
        done = pools[proxy].run(SLICE_MS)["requests"]
        after[proxy] = proxy.cpu_ns()
        if before and round_ >= 0:
            per_request[proxy].append((after[proxy] - before[proxy]) / 1000 / done)
            requests[proxy] += done
    return after


def ratios(bench, per_request, proxy):
    found = {}
    for reference in bench.proxies:
        if reference.name in ("nginx", "HAProxy TCP"):
            pairs = zip(per_request[proxy], per_request[reference])
            found[reference.name] = spread([ours / theirs for ours, theirs in pairs])
    return found


def handshakes(bench, pool, case):
    """Closes the upstream's connections and counts what the new ones resume: all of them
    at once, then ten times one alone."""
    one = bench.load.pool(pool.proxy, case, 1)
    found = {"all_at_once": reconnect(bench, [pool])}
    found["one_by_one"] = reconnect(bench, [one] * 10)
    one.close()
    return found


def reconnect(bench, pools):
    upstream = pools[0].proxy.up_tls
    before = bench.load.ask("stats", upstream)
    for pool in pools:
        bench.load.ask("drop", upstream)
        time.sleep(0.05)  # the proxy notices; where it has not, a request may fail
        pool.counted(bench.load.ask("run", pool.id, 1))
    after = bench.load.ask("stats", upstream)
    return {key: after[key] - before[key] for key in ("handshakes", "resumed")}


def spread(values):
    values = sorted(values)
    last = len(values) - 1
    return {"median": statistics.median(values), "p10": values[round(last * 0.1)],
            "p90": values[round(last * 0.9)], "slices": len(values)}


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
