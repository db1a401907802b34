"""The tables on the terminal."""

import latency
import slices


def text(results):
    cases = results["cases"]
    lines = heading(results)
    for case in slices.CASES:
        if case.name in cases:
            lines += ["", case.title] + sliced(cases[case.name], results["missing"])
    for name, table in (("latency", latencies), ("memory", memory), ("scaling", scaling),
                        ("storm", storm)):
        if name in cases:
            lines += table(cases[name])
    return "\n".join(lines + settings(results) + targets(results))


def heading(results):
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    lines = ["", f"{results['date']}  {machine['cpu']}, {machine['cores']} cores,"
             f" {machine['system']}, Linux {machine['kernel']}", versions,
             f"Median [p10 – p90] of {results['rounds']} slices of {slices.SLICE_MS} ms; ratios are"
             " taken slice by slice. Judge ratios, not µs."]
    if machine["others"] > 0.05:
        lines.append(f"NOT A QUIET MACHINE: others took {machine['others']:.0%} of its cores meanwhile,"
                     " so latencies say little and ratios are coarse.")
    return lines


def sliced(rows, missing):
    lines = [row("", "µs CPU/request", "× nginx", "× HAProxy TCP", "user : system")]
    for name, values in rows.items():
        ratios, share = values["ratios"], values["user_share"]
        split = "" if share is None else f"{share:4.0%} : {1 - share:.0%}"
        lines.append(row(name, spread(values["cpu_us"], 1), spread(ratios.get("nginx"), 2),
                         spread(ratios.get("HAProxy TCP"), 2), split))
        if "handshakes" in values:
            shakes = values["handshakes"]
            lines[-1] += "  resumed: " + ", ".join(
                f"{shakes[key]['resumed']}/{shakes[key]['handshakes']} {key.replace('_', ' ')}"
                for key in ("one_by_one", "all_at_once"))
    return lines + [row(name, "missing") for name in missing]


def latencies(rates):
    lines = []
    for rate, rows in rates.items():
        direct = ", ".join(f"{value:.0f}" for value in rows["direct"]["us"])
        lines += ["", f"{latency.CASE.title}: {int(rate):,}/s; µs over direct ({direct}) [95 %]",
                  row("", *(f"p{share * 100:g}" for share in latency.PERCENTILES))]
        for name, values in rows.items():
            if name != "direct":
                cells = [interval(at) for at in values["added_us"]]
                late = f"{values['unsent']:,} could not be sent in time" if values["unsent"] else ""
                lines.append(row(name, *cells, late))
    return lines


def memory(rows):
    lines = ["", "Resident memory, KiB; per connection at 10,000",
             row("", "idle", "silent connection", "idle after a request")]
    for name, values in rows.items():
        lines.append(row(name, *(f"{values[key]:,}" if key in values else "-"
                                 for key in ("idle_kib", "silent_kib", "after_request_kib"))))
    return lines


def scaling(rows):
    lines = ["", "Two workers in one process; twice one is two processes that share nothing. 64 connections",
             row("", "× one", "connections stand", "lesser worker's share")]
    for name, values in rows.items():
        split = values["connections_per_worker"]
        lines.append(row(name, spread(values["two_over_one"], 2),
                         "/".join(map(str, split)) if split else "can't be seen",
                         f"{values['lesser_share']:.1%}"))
    return lines


def storm(rows):
    lines = ["", "64 connections while the token is revoked every 100 ms"]
    for name, at in rows.items():
        lines.append(
            f"  {name}: {at['revocations']} revocations, {at['token_requests']} token requests,"
            f" {at['requests']:,} requests, {at['rejected_by_upstream']:,} rejected upstream,"
            f" {at['failed_at_client']} failed at the client {at['first_failure']};"
            f" replays {at['replays']};"
            f" p50 {at['p50_us']:.0f} µs (calm {at['calm_p50_us']:.0f}),"
            f" p99 {at['p99_us']:.0f} µs (calm {at['calm_p99_us']:.0f})")
    return lines


def settings(results):
    lines = ["", "Settings: one worker each, on a core of its own"]
    lines += [f"  {name:18}{text}" for name, text in results["settings"].items()]
    lines += [f"  {name:18}MISSING: {why}" for name, why in results["missing"].items()]
    for name, proof in results["proof"].items():
        lines.append(f"  {name}: /metrics counted {proof['counted']:,} requests of {proof['sent']:,} sent,"
                     f" {proof['replayed']:,} replays, {proof['refreshed']:,} refreshes because of a"
                     f" rejection, {proof['log_lines_lost']:,} lines of the access log lost")
    return lines + ["  The token arrived in every request, at every upstream."]


def targets(results):
    lines = ["", "Targets"]
    for at in results["targets"]:
        mark = {True: "met", False: "MISSED", None: "open"}[at["met"]]
        lines.append(f"  {mark:8}{at['what']:57}{at['wanted']:48}{at['found']}")
    return lines + [
        "  Measured elsewhere: allocations per request by tests/allocations.rs, credential reads",
        "  during refreshes by benches/credential.rs, cost against the number of routes and",
        "  accounts by benches/size/run, instructions per request by benches/instructions."]


def interval(at):
    """In µs, or in ms where those would not fit."""
    bounds = (at["us"], at["low"], at["high"])
    if max(map(abs, bounds)) < 10_000:
        return "{:.0f} [{:.0f} – {:.0f}]".format(*bounds)
    return "{:.1f} [{:.1f} – {:.1f}] ms".format(*(bound / 1000 for bound in bounds))


def row(name, *cells):
    return "  " + f"{name:18}" + "".join(f"{cell:23} " for cell in cells).rstrip()


def spread(value, digits):
    if value is None:
        return "-"
    return f"{value['median']:.{digits}f} [{value['p10']:.{digits}f} – {value['p90']:.{digits}f}]"
