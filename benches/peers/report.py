"""The table on the terminal."""

import slices


def text(results):
    lines = []
    for case in slices.CASES:
        if case.name in results["cases"]:
            lines += ["", case.title] + sliced(results["cases"][case.name])
    return "\n".join(lines)


def sliced(rows):
    lines = [f"  {'':18}{'µs CPU/request':24}{'× nginx':22}{'× HAProxy TCP':22}{'user':>6}"]
    for name, row in rows.items():
        ratios = row["ratios"]
        share = row["user_share"]
        lines.append(
            f"  {name:18}{spread(row['cpu_us'], 1):24}{spread(ratios.get('nginx'), 2):22}"
            f"{spread(ratios.get('HAProxy TCP'), 2):22}"
            f"{'' if share is None else format(share, '.0%'):>6}")
    return lines


def spread(value, digits):
    if value is None:
        return "-"
    return f"{value['median']:.{digits}f} [{value['p10']:.{digits}f}–{value['p90']:.{digits}f}]"
