"""What was measured, as tables for people and as a structure for JSON."""

import statistics

OURS = "sluice"

# Figure: column title and format.
FIGURES = {
    "cpu_us": ("CPU us/request", "{:.2f}"),
    "rps": ("requests/s", "{:.0f}"),
    "p50_us": ("p50 us", "{:.0f}"),
    "p99_us": ("p99 us", "{:.0f}"),
    "kib_per_connection": ("KiB/connection", "{:.2f}"),
    "peak_mib": ("peak RSS MiB", "{:.1f}"),
    "errors": ("errors", "{:.0f}"),
}


def summary(scenario, rounds, unfit):
    """`rounds`: figures of each round by server; `unfit`: why a server was not measured."""
    median = {name: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
              for name, rows in rounds.items()}
    best = min((row[scenario.compare] for name, row in median.items() if name != OURS), default=0)
    to_best = {name: row[scenario.compare] / best for name, row in median.items()} if best > 0 else {}
    return {"about": scenario.about, "compare": scenario.compare, "rounds": rounds, "median": median,
            "ratio_to_best_peer": to_best, "not_measured": unfit}


def aligned(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(["", row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def title(key):
    return FIGURES[key][0]


def formatted(key, value):
    return FIGURES[key][1].format(value)


def table(name, result):
    lines = [f"{name}: {result['about']}"]
    median, ratios, compare = result["median"], result["ratio_to_best_peer"], result["compare"]
    if median:
        keys = [compare, *(key for key in FIGURES if key != compare and key in next(iter(median.values())))]
        rows = [["median of the rounds", *map(title, keys), "to best peer"]]
        for server, row in sorted(median.items(), key=lambda item: item[1][compare]):
            ratio = f"{ratios[server]:.2f}" if server in ratios else "-"
            rows.append([server, *(formatted(key, row[key]) for key in keys), ratio])
        lines += aligned(rows)
        lines.append(f"  all rounds, {title(compare)}:")
        each = [[server, *(formatted(compare, row[compare]) for row in rows)]
                for server, rows in result["rounds"].items()]
        lines += ["  " + line for line in aligned(each)]
    lines += [f"  {server} was not measured: {reason}" for server, reason in result["not_measured"].items()]
    return "\n".join(lines) + "\n"
