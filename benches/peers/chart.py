"""The chart: cost per request and tail latency side by side, as SVG."""

from html import escape

WIDTH, TOP, LINE = 960, 104, 34
NAMES, PANEL, GAP = 128, 376, 40
# A bar longer than this many times the median bar is cut: it would flatten the others.
CUT = 3

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; fill: #1f2328 }
  .card { fill: #ffffff; stroke: #d0d7de }
  .title { font-size: 17px; font-weight: 600 }
  .head { font-weight: 600 }
  .small { font-size: 11.5px; fill: #59636e }
  .ours { fill: #0a7d5a } .peer { fill: #9aa4b0 }
  .own { font-weight: 600 }
  .whisker { stroke: #1f2328; stroke-width: 1.2; opacity: .65 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .card { fill: #0d1117; stroke: #30363d }
    .small { fill: #9198a1 } .ours { fill: #2fbf8f } .peer { fill: #57606a }
    .whisker { stroke: #e6edf3 }
  }
"""


def svg(results):
    """None where the cases that it shows were not run."""
    cases = results["cases"]
    if "get" not in cases or "latency" not in cases:
        return None
    rate, rows = list(cases["latency"].items())[-1]
    names = list(cases["get"])
    cost = [(name, *bounds(cases["get"][name])) for name in names]
    tail = [(name, at["us"], at["low"], at["high"], duration(at["us"]))
            for name in names for at in [rows[name]["added_us"][1]]]
    height = TOP + LINE * len(names) + 66
    second = NAMES + PANEL + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="Processor time per request and added tail latency of each proxy">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        text(20, 32, "What a token in every request costs", "title"),
        text(20, 52, "Each proxy on a core of its own, one worker; load and upstream on the other."
             " Shorter is better.", "small"),
        text(NAMES + 20, TOP - 20, "Processor time per request", "head"),
        text(NAMES + 20, TOP - 5, "GET, 1 KiB reply, 64 connections; µs, p10 – p90", "small"),
        text(second, TOP - 20, "Added p99 latency", "head"),
        text(second, TOP - 5, f"{int(rate):,} requests/s; over direct, 95 % interval", "small"),
    ]
    for at, name in enumerate(names):
        own = "own" if ours(name) else ""
        parts.append(text(NAMES + 8, middle(at), name, own, "end"))
    parts += bars(cost, NAMES + 20, PANEL - 170) + bars(tail, second, WIDTH - second - 100)
    return "\n".join(parts + footer(results, height)) + "\n</svg>\n"


def bounds(row):
    cost, ratio = row["cpu_us"], row["ratios"].get("nginx")
    label = f"{cost['median']:.1f} µs" + (f"  ({ratio['median']:.2f} × nginx)" if ratio else "")
    return cost["median"], cost["p10"], cost["p90"], label


def bars(rows, left, room):
    """Bars of one panel, their labels behind them."""
    values = sorted(max(value, 0) for _, value, *_ in rows)
    limit = CUT * max(values[len(values) // 2], 1)
    most = min(max(max(value, high) for _, value, _, high, _ in rows), limit)
    parts = []
    for at, (name, value, low, high, label) in enumerate(rows):
        kind = "ours" if ours(name) else "peer"
        length, cut = scale(value, most, room), value > most
        y = TOP + LINE * at + 8
        parts.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{length:.1f}" height="18" rx="2"/>')
        if cut:
            x = left + length - 12
            parts.append(f'<path class="card" d="M{x:.1f} {y - 1}l6 20h4l-6 -20z" stroke="none"/>')
        end = length
        if not cut:
            first, last = scale(low, most, room), scale(high, most, room)
            end = max(end, last)
            parts.append(f'<path class="whisker" d="M{left + first:.1f} {y + 9}H{left + last:.1f}" fill="none"/>')
        parts.append(text(left + end + 8, middle(at), label, "own" if ours(name) else ""))
    return parts


def scale(value, most, room):
    return min(max(value, 0) / most, 1) * room


def footer(results, height):
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    missing = "".join(f"; {name} could not be had" for name in results["missing"])
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Linux {machine['kernel']}"
    if machine["others"] > 0.05:
        where += f"; NOT QUIET: others took {machine['others']:.0%} of its cores"
    return [
        text(20, height - 34, f"{results['date'][:10]} on {where}", "small"),
        text(20, height - 16, f"{versions}{missing}. HAProxy TCP relays only: it adds and parses nothing.",
             "small")]


def duration(us):
    return f"{us / 1000:,.1f} ms" if us >= 10_000 else f"{us:,.0f} µs"


def ours(name):
    return name.startswith("sidekey")


def middle(row):
    return TOP + LINE * row + 22


def text(x, y, words, kind="", anchor="start"):
    kind = f' class="{kind}"' if kind else ""
    anchor = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y}"{kind}{anchor}>{escape(words)}</text>'
