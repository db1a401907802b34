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
    """Two workers in one process against two processes of one worker each, with the same
    64 connections on the same two cores: twice one is what they do when they share nothing.
    Load and upstream need a core as well, so speed is requests per second of the workers'
    own processor time; that connections are spread evenly is looked at apart from it."""
    result = {}
    spare = set(range(2, os.cpu_count())) or {0, 1}
    os.sched_setaffinity(bench.load.process.pid, spare)
    for proxy in bench.proxies:
        if isinstance(proxy, Sidekey):
            two, one, other = (bench.again(proxy, cpus="0,1", workers=count) for count in (2, 1, 1))
            result[proxy.name] = compare(bench, two, (one, other), rounds)
            for fresh in (two, one, other):
                bench.finish(fresh)
    os.sched_setaffinity(bench.load.process.pid, {1})
    return result


def compare(bench, two, apart, rounds):
    sides = [(bench.load.pool(two, GET, GET.connections), [two]),
             (bench.load.pool(apart[0], GET, GET.connections, twin=apart[1]), apart)]
    for pool, _ in sides:
        pool.run(SLICE_MS)
    split = proc.connections_per_epoll(two.process.pid, two.port)
    ratios, shares = [], []
    for round_ in range(rounds):
        per_request = []
        for pool, processes in sides:
            before = workers_ns(processes)
            done = pool.run(SLICE_MS)["requests"]
            used = sorted(now - then for now, then in zip(workers_ns(processes), before))
            per_request.append(sum(used) / done)
            if processes == [two]:
                shares.append(used[0] / sum(used))
        ratios.append(2 * per_request[1] / per_request[0])
        progress(f"scaling: {round_ + 1}/{rounds}")
    for pool, _ in sides:
        pool.close()
    progress("")
    # Only epoll's loops can be looked into; else the lesser worker's share must do.
    return {"two_over_one": spread(ratios), "connections_per_worker": split or None,
            "lesser_share": round(statistics.median(shares), 3)}


def workers_ns(processes):
    return [used for proxy in processes
            for used in proc.threads_ns(proxy.process.pid, "worker-").values()]


def storm(bench):
    result = {}
    for proxy in bench.proxies:
        if not isinstance(proxy, Sidekey):
            continue
        progress(f"storm: {proxy.name}")
        pool = bench.load.pool(proxy, GET, GET.connections)
        pool.run(200)
        calm = pool.run(STORM_MS // 5)
        before, replays = bench.load.ask("stats", proxy.upstream), proxy.replays()
        answer = pool.storm(STORM_MS, proxy.upstream, STORM_EVERY_MS)
        after = bench.load.ask("stats", proxy.upstream)
        pool.close()
        time.sleep(0.5)  # workers hand in their counts several times a second
        outcomes = {outcome: count - replays.get(outcome, 0) for outcome, count in proxy.replays().items()}
        result[proxy.name] = {
            "replays": {outcome: count for outcome, count in outcomes.items() if count},
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
