"""What was set out to be reached, and whether this run reached it."""

from dataclasses import dataclass

import latency

NGINX, TCP = "nginx", "HAProxy TCP"


@dataclass
class Target:
    what: str
    wanted: str
    found: str
    met: bool | None  # None: could not be measured here


def all_of(results):
    cases = results["cases"]
    ours = [name for name in results["settings"] if name.startswith("sidekey")]
    found = []
    for name in ours:
        uring = name.endswith("io_uring")
        found += ratio(cases, "get", name, NGINX, 0.80 if uring else 0.90)
        found += ratio(cases, "get", name, TCP, 1.05 if uring else 1.20)
    found += best(cases, "get", ours, TCP, 1.00, "the aim: ")
    for name in ours:
        found += ratio(cases, "post", name, NGINX, 0.95)
        found += ratio(cases, "download", name, NGINX, 0.95)
        found += ratio(cases, "tls", name, NGINX, 1.00)
        found += resumed(cases, name)
    found += best(cases, "get-1", ours, NGINX, 0.95)
    found += best(cases, "get-1000", ours, NGINX, 0.90)
    for name in ours:
        found += added_latency(cases.get("latency"), name)
    for name in ours:
        found += memory(cases.get("memory", {}).get(name), name)
        found += scaling(cases.get("scaling", {}).get(name), name)
        found += storm(cases.get("storm", {}).get(name), name)
        found += proof(results["proof"].get(name), name)
    return found


def ratio(cases, case, name, reference, limit, prefix=""):
    if case not in cases:
        return []
    value = cases[case][name]["ratios"].get(reference)
    return [Target(f"{prefix}{case}: {name}", f"≤ {limit:.2f} × {reference}",
                   spread(value), value and value["median"] <= limit)]


def best(cases, case, names, reference, limit, prefix=""):
    """Of the back ends, the one that does best."""
    if case not in cases:
        return []

    def median(name):
        return cases[case][name]["ratios"].get(reference, {}).get("median", 0)

    return ratio(cases, case, min(names, key=median), reference, limit, prefix)


def resumed(cases, name):
    shakes = cases.get("tls", {}).get(name, {}).get("handshakes")
    if not shakes:
        return []
    one, all_ = shakes["one_by_one"], shakes["all_at_once"]
    return [Target(f"tls: {name}", "handshakes resumed",
                   f"{one['resumed']} of {one['handshakes']} one by one,"
                   f" {all_['resumed']} of {all_['handshakes']} at once",
                   one["resumed"] == one["handshakes"] > 0)]


def added_latency(rates, name):
    found = []
    for rate, rows in (rates or {}).items():
        for share, over in zip(latency.PERCENTILES, rows[name]["over_lowest"]):
            text = f"{over['us']:+.1f} µs [{over['low']:+.1f} – {over['high']:+.1f}] over {over['peer']}"
            found.append(Target(f"latency at {rate}/s, p{share * 100:g}: {name}",
                                "lowest, or within 95 % of it", text,
                                over["us"] <= 0 or over["low"] <= 0))
    return found


def memory(row, name):
    if not row:
        return []
    limits = [("idle", "idle_kib", 10 * 1024), ("silent connection", "silent_kib", 8),
              ("connection after a request", "after_request_kib", 16)]
    return [Target(f"memory: {name}, {what}", f"≤ {size(limit)}", size(row[key]), row[key] <= limit)
            for what, key, limit in limits]


def scaling(row, name):
    if not row:
        return []
    value, split = row["two_over_one"], row["connections_per_worker"]
    even = Target(f"scaling: {name}, 64 connections", "stand 32/32", "", None)
    if split:
        even.found, even.met = "/".join(map(str, split)), split == [32, 32]
    else:
        even.found = f"can't be seen; the lesser worker does {row['lesser_share']:.0%} of the work"
    return [Target(f"scaling: {name}, two workers", "≥ 1.90 × one",
                   spread(value), value["median"] >= 1.9), even]


def storm(row, name):
    if not row:
        return []
    return [Target(f"storm: {name}, token requests", "one per revocation",
                   f"{row['token_requests']} for {row['revocations']}",
                   row["token_requests"] == row["revocations"]),
            Target(f"storm: {name}, failed requests", "none reaches a client",
                   f"{row['failed_at_client']} of {row['requests']}"
                   f" (p99 {row['p99_us'] / 1000:.2f} ms)", row["failed_at_client"] == 0)]


def proof(row, name):
    if not row:
        return []
    return [Target(f"as shipped: {name}", "/metrics = requests sent; replayed, refreshed",
                   f"{row['counted']} of {row['sent']}; {row['replayed']}, {row['refreshed']}",
                   row["counted"] == row["sent"] and row["replayed"] > 0 and row["refreshed"] > 0)]


def size(kib):
    return f"{kib / 1024:.1f} MiB" if kib >= 1024 else f"{kib:.1f} KiB"


def spread(value):
    if not value:
        return "not measured"
    return f"{value['median']:.2f} [{value['p10']:.2f} – {value['p90']:.2f}]"
