"""What 100,000 accounts cost: start, memory, and their refreshes."""

import time

import proc
from slices import progress

STORES = {"memory": "{memory: true}",
          "SQLite": "{path: ./sidekey.db, key: {env: SIDEKEY_STORE_KEY}}"}
#: An hour of life, refreshed at its half less a jitter, is 28 refreshes a second for
#: 100,000 accounts. Tokens of the start are due one after the other, spread over the
#: hour that follows; so the lives of the first ones are spread over two hours.
PER_SECOND = 28
#: The first refresh is due at half of it, less a tenth: after the start has ended and
#: the time with nothing due has passed. Below 300 the product warns of each.
SHORTEST = 300
START_S_PER_100_000 = 150
#: After the first attempts the process gives memory back, within a few seconds.
SETTLED_S = 6
PROBES = 10
STEADY_S = 60
IDLE_S = 30
PATIENCE_S = 1_800


def measure(stage, count, token_bytes):
    shortest = SHORTEST + 2 * START_S_PER_100_000 * count // 100_000
    longest = shortest + 2 * count // PER_SECOND
    found = {"count": count, "token_bytes": token_bytes}
    for name, store in STORES.items():
        one = stage.make(f"1 account, {name}", store=store)
        many = stage.make(f"{count} accounts, {name}", accounts=count, store=store,
                          lives=(shortest, longest))
        found[name] = of_store(one, many, count, token_bytes, shortest)
    return found


def of_store(one, many, count, token_bytes, shortest):
    found = start(one, 1)
    alone = found["rss_kib"]
    one.stop()
    found = {"one_account_rss_kib": alone} | start(many, count)
    per_account = (found["rss_kib"] - alone) * 1024 / count
    # One is there for the refresh, for the workers that use it and for a store in
    # memory; workers use none of most of these.
    copies = 1
    found |= {"rss_bytes_per_account": round(per_account), "token_copies": copies,
              "beyond_tokens_bytes": round(per_account - copies * token_bytes)}
    found |= idle(many) | probes(many) | steady(many, shortest)
    if "path" in many.store:
        many.end_gently()
        found["restart"] = restart(many)
    many.stop()
    progress("")
    return found


def start(proxy, count):
    """Until it listens, until every account has its token, until /readyz says so."""
    progress(f"accounts: {proxy.name}: start")
    proxy.start()
    listening_rss = proc.rss_kib(proxy.pids)
    while proxy.issued() < count:
        check(proxy)
        progress(f"accounts: {proxy.name}: {proxy.issued()} tokens")
        time.sleep(0.02)
    tokens = time.monotonic() - proxy.began
    cpu = proxy.cpu_s()
    ready(proxy)
    ready_s = time.monotonic() - proxy.began
    time.sleep(SETTLED_S)
    return {"listening_s": round(proxy.listening, 2), "listening_rss_kib": listening_rss,
            "all_tokens_s": round(tokens, 2), "ready_s": round(ready_s, 2),
            "start_cpu_s": round(cpu, 2),
            "cpu_us_per_token": round((cpu * 1e6) / count, 1),
            "rss_kib": proc.rss_kib(proxy.pids), "peak_rss_kib": peak_kib(proxy)}


def ready(proxy):
    for _ in range(50):
        try:
            return proxy.until_ok(f"http://127.0.0.1:{proxy.admin}/readyz")
        except Exception:
            check(proxy)
    return None


def restart(proxy):
    """With all tokens in the store: nothing has to be fetched."""
    before = proxy.issued()
    proxy.start()
    proxy.until_ok(f"http://127.0.0.1:{proxy.admin}/readyz")
    return {"listening_s": round(proxy.listening, 2),
            "ready_s": round(time.monotonic() - proxy.began, 2),
            "tokens_fetched": proxy.issued() - before}


def idle(proxy):
    """What watching over them costs while nothing is due."""
    progress(f"accounts: {proxy.name}: idle")
    used = window(proxy, IDLE_S)
    return {"idle_cpu_share": used["cpu_share"], "idle_refreshes": used["refreshes"]}


def probes(proxy):
    """What one look of the kubelet costs, and one of Prometheus."""
    found = {}
    for name in ["readyz", "metrics"]:
        before = proxy.cpu_s()
        for _ in range(PROBES):
            proxy.until_ok(f"http://127.0.0.1:{proxy.admin}/{name}")
        found[f"{name}_cpu_ms"] = round((proxy.cpu_s() - before) * 1000 / PROBES, 1)
    return found


def steady(proxy, shortest):
    """Once the first tokens are due: the share of a core that refreshes take."""
    due = proxy.began + shortest / 2 + 15
    while time.monotonic() < due:
        check(proxy)
        progress(f"accounts: {proxy.name}: refreshes begin in {due - time.monotonic():.0f} s")
        time.sleep(0.5)
    progress(f"accounts: {proxy.name}: refreshes")
    used = window(proxy, STEADY_S)
    rate = used["refreshes"] / STEADY_S
    share = used["cpu_share"]
    return {"refreshes_per_s": round(rate, 1), "refreshing_cpu_share": share,
            "cpu_share_at_28": round(share * PER_SECOND / rate, 4) if rate else None}


def window(proxy, seconds):
    issued, before = proxy.issued(), proxy.cpu_s()
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    after = proxy.cpu_s()
    return {"refreshes": proxy.issued() - issued,
            "cpu_share": round((after - before) / passed, 4)}


def check(proxy):
    if proxy.process.poll() is not None:
        raise SystemExit(f"{proxy.name} has ended: {proxy.last_line()}")
    if time.monotonic() - proxy.began > PATIENCE_S:
        raise SystemExit(f"{proxy.name}: half an hour, and no end; {proxy.last_line()}")


def peak_kib(proxy):
    for line in proc.read(f"/proc/{proxy.process.pid}/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return None
