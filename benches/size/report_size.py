"""The tables on the terminal, with the targets."""

from accounts import PER_SECOND, STORES
from report import spread

#: Times one route.
ROUTES_LIMIT = 2.0
#: Bytes that an account may take besides its tokens.
ACCOUNT_LIMIT = 1024


def text(results):
    machine, cases = results["machine"], results["cases"]
    lines = ["", f"{results['date']}  {machine['cpu']}, {machine['cores']} cores,"
             f" {machine['system']}, Linux {machine['kernel']}"]
    if machine["others"] > 0.05:
        lines.append(f"NOT A QUIET MACHINE: others took {machine['others']:.0%} of its cores meanwhile.")
    if "routes" in cases or "instructions" in cases:
        lines += routes(cases.get("routes"), cases.get("instructions"), results["rounds"])
    if "accounts" in cases:
        lines += accounts(cases["accounts"])
    return "\n".join(lines)


def routes(by_count, instructions, rounds):
    lines = ["", f"Routes: GET of 1 KiB spread over all of them; medians [p10 – p90] of {rounds} slices",
             row("", "µs CPU/request", "× 1 route", "instructions/GET", "listens after")]
    for count in by_count or instructions:
        at = (by_count or {}).get(count)
        cost = (spread(at["cpu_us"], 1), spread(at["ratio"], 2)) if at else ("-", "-")
        lines.append(row(f"{int(count):,}" if count.isdigit() else count, *cost,
                         number((instructions or {}).get(count)),
                         f"{at['listening_s']} s" if at else "-"))
    if by_count:
        worst = max(at["ratio"]["median"] for at in by_count.values())
        lines.append(target(worst <= ROUTES_LIMIT, "routes", f"≤ {ROUTES_LIMIT:g} × 1 route", f"{worst:.2f}"))
    if instructions and "missing" in instructions:
        lines.append(f"  instructions: MISSING: {instructions['missing']}")
    return lines


def accounts(case):
    lines = ["", f"{case['count']:,} accounts, a token of {case['token_bytes']} bytes each",
             row("", *STORES)]
    rows = [("listens after", "listening_s", "s"), ("all tokens there after", "all_tokens_s", "s"),
            ("ready after", "ready_s", "s"), ("CPU of the start", "start_cpu_s", "s"), ("CPU per first token", "cpu_us_per_token", "µs"),
            ("RSS, 1 account", "one_account_rss_kib", "KiB"), ("RSS", "rss_kib", "KiB"),
            ("RSS, highest", "peak_rss_kib", "KiB"), ("RSS per account", "rss_bytes_per_account", "B"),
            ("copies of its token", "token_copies", ""), ("beyond these", "beyond_tokens_bytes", "B"),
            ("CPU, nothing due", "idle_cpu_share", "%"), ("refreshes meanwhile", "idle_refreshes", ""),
            ("CPU of one /readyz", "readyz_cpu_ms", "ms"), ("CPU of one /metrics", "metrics_cpu_ms", "ms"),
            ("refreshes per second", "refreshes_per_s", ""),
            ("CPU, refreshing", "refreshing_cpu_share", "%"),
            (f"CPU at {PER_SECOND}/s", "cpu_share_at_28", "%")]
    for title, key, unit in rows:
        lines.append(row(title, *(cell(case[name].get(key), unit) for name in STORES)))
    again = case["SQLite"]["restart"]
    lines.append(f"  started again on its store: listens after {again['listening_s']} s, ready after"
                 f" {again['ready_s']} s, {again['tokens_fetched']:,} tokens fetched")
    for name in STORES:
        beyond = case[name]["beyond_tokens_bytes"]
        lines.append(target(beyond <= ACCOUNT_LIMIT, f"memory per account, {name}",
                            f"≤ {ACCOUNT_LIMIT} B and its tokens", f"{beyond} B"))
    return lines


def cell(value, unit):
    if value is None:
        return "-"
    return f"{value * 100:.2f} %" if unit == "%" else f"{value:,} {unit}".rstrip()


def number(value):
    return f"{value:,}" if isinstance(value, int) else "-"


def target(met, what, wanted, found):
    return f"  {'met' if met else 'MISSED':8}{what:32}{wanted:28}{found}"


def row(name, *cells):
    return "  " + f"{name:24}" + "".join(f"{cell:24}" for cell in cells).rstrip()
