"""Added latency at a fixed rate of requests, coordinated omission corrected.

Requests are due at fixed times, whether or not earlier ones have been answered, and
latency counts from when a request was due. Rounds of half a second alternate over all
proxies and the direct way; what a proxy adds is the difference of the percentiles.
Intervals come from drawing rounds with replacement, the same for all (paired)."""

import random

from slices import Case, progress

CASE = Case("latency", "Added latency at a fixed rate, 64 connections, 1 KiB reply")
RATES = (2000, 10000)
ROUNDS, ROUND_MS = 15, 500
PERCENTILES = (0.50, 0.99, 0.999)
RESAMPLES = 400


def measure(bench):
    everyone = [bench.direct, *bench.proxies]
    pools = [bench.load.pool(proxy, CASE, CASE.connections) for proxy in everyone]
    for pool in pools:
        pool.run(50)
    result = {str(rate): at_rate(pools, rate) for rate in RATES}
    for pool in pools:
        pool.close()
    progress("")
    return result


def at_rate(pools, rate):
    histograms = {pool.proxy.name: [] for pool in pools}
    unsent = dict.fromkeys(histograms, 0)
    for round_ in range(ROUNDS):
        start = round_ % len(pools)
        for pool in pools[start:] + pools[:start]:
            answer = pool.rate(ROUND_MS, rate)
            histograms[pool.proxy.name].append(dict(answer["latency"]))
            unsent[pool.proxy.name] += answer["unsent"]
        progress(f"latency at {rate}/s: {round_ + 1}/{ROUNDS}")
    return summary(histograms, unsent)


def summary(histograms, unsent):
    tables = {name: Table(rounds) for name, rounds in histograms.items()}
    everything = [1] * ROUNDS
    draw = random.Random(1)  # the same run gives the same intervals
    draws = [weights(draw) for _ in range(RESAMPLES)]
    points = {name: table.percentiles(everything) for name, table in tables.items()}
    drawn = {name: [table.percentiles(one) for one in draws] for name, table in tables.items()}
    result = {"direct": {"us": [round(value / 1000, 1) for value in points["direct"]]}}
    for name in tables:
        if name == "direct":
            continue
        result[name] = {"unsent": unsent[name], "added_us": [
            difference(points[name][at] - points["direct"][at],
                       [ours[at] - theirs[at] for ours, theirs in zip(drawn[name], drawn["direct"])])
            for at in range(len(PERCENTILES))]}
    for name in tables:
        if name.startswith("sidekey"):
            result[name]["over_lowest"] = over_lowest(name, points, drawn)
    return result


def over_lowest(name, points, drawn):
    """How much this is above the lowest peer, at each percentile."""
    peers = [peer for peer in points if peer != "direct" and not peer.startswith("sidekey")]
    found = []
    for at in range(len(PERCENTILES)):
        lowest = min(peers, key=lambda peer: points[peer][at], default=None)
        if lowest is None:
            return []
        pairs = zip(drawn[name], drawn[lowest])
        found.append({"peer": lowest, **difference(
            points[name][at] - points[lowest][at], [ours[at] - theirs[at] for ours, theirs in pairs])})
    return found


def difference(value, resampled):
    resampled.sort()
    last = len(resampled) - 1
    return {"us": round(value / 1000, 1), "low": round(resampled[round(last * 0.025)] / 1000, 1),
            "high": round(resampled[round(last * 0.975)] / 1000, 1)}


def weights(draw):
    """How often each round is drawn."""
    counts = [0] * ROUNDS
    for _ in range(ROUNDS):
        counts[draw.randrange(ROUNDS)] += 1
    return counts


class Table:
    """Rounds as rows of counts over the same values."""

    def __init__(self, rounds):
        self.values = sorted(set().union(*rounds))
        self.columns = [[one.get(value, 0) for one in rounds] for value in self.values]
        self.totals = [sum(one.values()) for one in rounds]

    def percentiles(self, counts):
        total = sum(count * one for count, one in zip(counts, self.totals))
        wanted = [share * total for share in PERCENTILES]
        found, seen = [], 0
        for value, column in zip(self.values, self.columns):
            seen += sum(map(int.__mul__, counts, column))
            while len(found) < len(wanted) and seen >= wanted[len(found)]:
                found.append(value)
        return found
