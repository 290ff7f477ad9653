"""The parts of the report about what was reached: by policy, over time, by group of users and of items."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from streams.evaluation.base import Case
from streams.evaluation.groups import HEAD_SHARE, LIGHT
from streams.evaluation.meanings import CEILING, INTERVAL, MEANINGS
from streams.evaluation.metrics import measure
from streams.evaluation.report import charts
from streams.evaluation.report.markup import Html, beside, joined, section, table, tag
from streams.evaluation.report.plots import plot

PLOTTED = ("ndcg", "hit_rate", "recall", "mrr")
OVER_TIME = "ndcg"
BINS = 20
"""Parts of equal length that the time of the cases is cut into."""
LEAST_SPAN_MS = 3_600_000
"""Cases within a shorter time than this don't show how anything changes."""

Results = Mapping[str, Mapping[str, Any]]


def by_policy(results: Results, k: int) -> Html:
    """Return each policy's metrics with their intervals."""
    policies = {name: row for name, row in results.items() if "by_user_group" in row}
    panels = {
        f"{metric} at {k}": {name: (row[metric], *row["intervals"][metric]) for name, row in policies.items()}
        for metric in PLOTTED
    }
    head = [metric for metric in MEANINGS if any(metric in row for row in policies.values())]
    rows = [[metric, *(_with_interval(row, metric) for row in results.values())] for metric in head]
    drawn = plot(
        "policies", "Mean and interval of each policy; the numbers are in the table.", charts.dots(panels), 3.4
    )
    said = tag("p", f"A dot is the mean over all cases, a line its {INTERVAL}. The ceiling is the {CEILING}.")
    return section(
        "policies", "Streamrank beside simple policies", said, drawn, table("All metrics", ["", *results], rows)
    )


def over_time(cases: list[Case], rankings: Mapping[str, list[list[str]]], k: int) -> Html:
    """Return each policy's metric by the time of the cases; nothing if they are all of about the same time."""
    at_ms = np.array([case.at_ms for case in cases], np.float64)
    first, last = float(at_ms.min()), float(at_ms.max())
    if last - first < LEAST_SPAN_MS:
        return Html()
    where = np.minimum(BINS * (at_ms - first) / (last - first), BINS - 1).astype(np.int64)
    counts = np.bincount(where, minlength=BINS)
    there = np.flatnonzero(counts)
    middles = [first + (number + 0.5) * (last - first) / BINS for number in there.tolist()]
    rows = {
        name: (np.bincount(where, measure(ranking, cases, k)[OVER_TIME], BINS)[there] / counts[there]).tolist()
        for name, ranking in rankings.items()
    }
    draw = charts.over_time(middles, rows, counts[there].tolist(), f"{OVER_TIME} at {k}")
    short = slice(5, None) if moment(first)[:4] == moment(last)[:4] else slice(10)  # no year, or no hour
    numbers = zip(middles, counts[there].tolist(), *rows.values(), strict=True)
    return section(
        "time", "Over time",
        tag("p", "By the time of the cases (UTC); where the log's times are made up, by their order in it."),
        beside(
            plot("time", f"{OVER_TIME} of each policy over time.", draw, 3.6),
            table(
                f"Mean {OVER_TIME} from {moment(first)} to {moment(last)}", ["around", "cases", *rows],
                ([moment(at)[short], f"{count:,}", *map(number, values)] for at, count, *values in numbers),
            ),
        ),
    )  # fmt: skip


def by_group(results: Results) -> Iterator[Html]:
    """Yield the parts about groups of users, and of items."""
    known = f"By the items known of a user when asked: new none, light up to {LIGHT}, heavy more."
    popular = f"Head: the most popular items with {HEAD_SHARE:.0%} of all signals; cold: never met; tail: all others."
    yield _groups("users", "By group of users", known, results, "by_user_group", "cases", "ndcg")
    yield _groups("items", "By group of targets", popular, results, "by_item_group", "targets", "recall")


def _groups(name: str, title: str, said: str, results: Results, field: str, size: str, metric: str) -> Html:
    found = {policy: row[field] for policy, row in results.items() if field in row}
    sizes = {group: row[size] for group, row in next(iter(found.values())).items()}
    rows = {policy: [groups[group][metric] for group in sizes] for policy, groups in found.items()}
    labels = [f"{group}\n{count:,} {size}" for group, count in sizes.items()]
    numbers = table(f"Mean {metric}", ["", *sizes], ([policy, *map(number, row)] for policy, row in rows.items()))
    drawn = plot(name, f"{metric} of each policy by group.", charts.bars(labels, rows, metric), 1.4 + 0.8 * len(sizes))
    return section(name, title, tag("p", said), beside(drawn, numbers))


def _with_interval(row: Mapping[str, Any], metric: str) -> object:
    if metric not in row:
        return ""
    if metric not in row["intervals"]:
        return number(row[metric])
    low, high = row["intervals"][metric]
    return joined(number(row[metric]), " ", tag("small", f"{number(low)} to {number(high)}"))


def number(value: float) -> str:
    """Return a figure as the report writes it."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def moment(at_ms: float) -> str:
    """Return a time in ms since 1970 for people, to the minute, in UTC."""
    return str(np.datetime64(int(at_ms), "ms").astype("datetime64[m]")).replace("T", " ")
