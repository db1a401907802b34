"""Memory, scaling over workers, and a token that is revoked all the time."""

import os
import statistics
import time

import proc
from proxies import Nginx, Sidekey
from slices import SLICE_MS, Case, progress, spread

GET = Case("get", "")
IDLE_CONNECTIONS = 10_000
STORM_MS, STORM_EVERY_MS = 5_000, 100


def memory(bench):
    """Resident memory of fresh processes: idle, with silent connections, and with
    connections that are idle after a request each."""
    result = {proxy.name: {"idle_kib": None} for proxy in bench.proxies}
    for proxy in bench.proxies:
        progress(f"memory: {proxy.name}")
        fresh = bench.again(proxy)
        time.sleep(1)
        idle = proc.rss_kib(fresh.pids)
        result[proxy.name] = {"idle_kib": idle}
        if isinstance(fresh, (Sidekey, Nginx)):
            result[proxy.name] |= per_connection(bench, fresh, idle)
        bench.finish(fresh)
    progress("")
    return result


def per_connection(bench, proxy, idle):
    pool = bench.load.pool(proxy, GET, IDLE_CONNECTIONS)
    time.sleep(1)
    silent = proc.rss_kib(proxy.pids)
    pool.once()
    time.sleep(1)
    after = proc.rss_kib(proxy.pids)
    pool.close()
    return {"connections": IDLE_CONNECTIONS,
            "silent_kib": round((silent - idle) / IDLE_CONNECTIONS, 2),
            "after_request_kib": round((after - idle) / IDLE_CONNECTIONS, 2)}


def scaling(bench, rounds):
    """Two workers against one, on the same two cores. Load and upstream need a core as
    well, so what is compared is requests per second of a worker's own processor time: of
    the busier worker where there are two."""
    result = {}
    everywhere = {0, 1}
    spare = set(range(2, os.cpu_count())) or everywhere
    os.sched_setaffinity(bench.load.process.pid, spare)
    for proxy in bench.proxies:
        if isinstance(proxy, Sidekey):
            one, two = (bench.again(proxy, cpus="0,1", workers=count) for count in (1, 2))
            result[proxy.name] = compare(bench, one, two, rounds)
            for fresh in (one, two):
                bench.finish(fresh)
    os.sched_setaffinity(bench.load.process.pid, {1})
    return result


def compare(bench, one, two, rounds):
    pools = [bench.load.pool(proxy, GET, GET.connections) for proxy in (one, two)]
    for pool in pools:
        pool.run(SLICE_MS)
    split = proc.connections_per_epoll(two.process.pid, two.port)
    ratios, shares = [], []
    for round_ in range(rounds):
        speeds = []
        for pool in pools:
            before = proc.threads_ns(pool.proxy.process.pid, "worker-")
            done = pool.run(SLICE_MS)["requests"]
            after = proc.threads_ns(pool.proxy.process.pid, "worker-")
            used = sorted(after[task] - before[task] for task in after)
            speeds.append(done / used[-1])  # as if each worker had a core to itself
        shares.append(used[0] / sum(used))
        ratios.append(speeds[1] / speeds[0])
        progress(f"scaling: {round_ + 1}/{rounds}")
    for pool in pools:
        pool.close()
    progress("")
    # Only epoll's loops can be looked into; else the lesser worker's share must do.
    return {"two_over_one": spread(ratios), "connections_per_worker": split or None,
            "lesser_share": round(statistics.median(shares), 3)}


def storm(bench):
    result = {}
    for proxy in bench.proxies:
        if not isinstance(proxy, Sidekey):
            continue
        progress(f"storm: {proxy.name}")
        pool = bench.load.pool(proxy, GET, GET.connections)
        pool.run(200)
        calm = pool.run(STORM_MS // 5)
        before = bench.load.ask("stats", proxy.upstream)
        answer = pool.storm(STORM_MS, proxy.upstream, STORM_EVERY_MS)
        after = bench.load.ask("stats", proxy.upstream)
        pool.close()
        result[proxy.name] = {
            "revocations": answer["revocations"], "token_requests": after["issued"] - before["issued"],
            "requests": answer["requests"], "rejected_by_upstream": after["rejected"] - before["rejected"],
            "failed_at_client": answer["failed"], "first_failure": answer["failure"],
            "p50_us": percentile(answer, 0.5), "p99_us": percentile(answer, 0.99),
            "calm_p50_us": percentile(calm, 0.5), "calm_p99_us": percentile(calm, 0.99)}
    progress("")
    return result


def percentile(answer, share):
    wanted = share * sum(count for _, count in answer["latency"])
    for value, count in answer["latency"]:
        wanted -= count
        if wanted <= 0:
            return round(value / 1000, 1)
    return None
