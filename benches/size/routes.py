"""A request's cost with 1, 100 and 10,000 routes, requests spread over all of them."""

import os
import re
import shutil

from slices import SLICE_MS, WARM_UP, Case, progress, spread

COUNTS = [1, 100, 10_000]
CASE = Case("get", "GET, 1 KiB reply, 64 connections")
#: Between two runs under callgrind: what the start costs falls out.
FEW, MANY = 500, 2_500


def processor_time(stage, rounds):
    """Paired slices: µs per request, and the ratios to one route."""
    proxies = {count: stage.make(f"{count} routes", routes=count) for count in COUNTS}
    for proxy in proxies.values():
        progress(f"routes: {proxy.name} start")
        proxy.start()
        proxy.until_ok(f"http://127.0.0.1:{proxy.admin}/readyz")
    pools = {count: numbered(stage, proxy, CASE.connections, count)
             for count, proxy in proxies.items()}
    found = {count: [] for count in COUNTS}
    before = {}
    for round_ in range(-WARM_UP, rounds):
        order = COUNTS[round_ % len(COUNTS):] + COUNTS[:round_ % len(COUNTS)]
        for count in order:
            done = pools[count].run(SLICE_MS)["requests"]
            now = proxies[count].cpu_ns()
            if round_ >= 0:
                found[count].append((now - before[count]) / 1000 / done)
            before[count] = now
        progress(f"routes: {round_ + 1}/{rounds}")
    for proxy in proxies.values():
        proxy.stop()
    progress("")
    return {str(count): {
        "cpu_us": spread(found[count]),
        "ratio": spread([ours / one for ours, one in zip(found[count], found[1])]),
        "listening_s": round(proxies[count].listening, 2)} for count in COUNTS}


def numbered(stage, proxy, connections, count):
    """Connections whose requests go to all routes in turn."""
    pool = stage.load.pool(proxy, CASE, 0)
    pool.id = stage.load.ask("pool", proxy.port, connections, "GET",
                             proxy.path + CASE.path, 0, "numbers", count)["pool"]
    return pool


def instructions(stage):
    """User instructions per GET by callgrind, where valgrind is there."""
    if not shutil.which("valgrind"):
        return {"missing": "valgrind is not installed"}
    return {str(count): instructions_of(stage, count) for count in COUNTS}


def instructions_of(stage, count):
    few, many = (under_callgrind(stage, count, requests) for requests in (FEW, MANY))
    return round((many - few) / (MANY - FEW))


def under_callgrind(stage, count, requests):
    progress(f"instructions: {count} routes, {requests} requests")
    file = os.path.join(stage.work, f"callgrind.{count}.{requests}")
    proxy = stage.make(f"{count} routes, callgrind", routes=count, under=(
        "valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", "--error-exitcode=0"))
    proxy.start()
    proxy.until_ok(f"http://127.0.0.1:{proxy.admin}/readyz")
    # One connection: one request at a time, so that no turn of the loop serves two.
    pool = numbered(stage, proxy, 1, count)
    for _ in range(requests):
        pool.once()
    pool.close()
    proxy.end_gently()
    progress("")
    with open(file) as text:
        return int(re.search(r"(?:summary|totals): (\d+)", text.read()).group(1))
