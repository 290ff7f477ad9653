"""The parts of the report about the slates themselves: their probabilities, their sources, and what they cost."""

from collections import Counter
from typing import Any

import numpy as np

from streams.evaluation.meanings import MEANINGS
from streams.evaluation.probability import reliability
from streams.evaluation.report import charts
from streams.evaluation.report.markup import Html, beside, section, table, tag, terms
from streams.evaluation.report.plots import SERIES, plot
from streams.evaluation.report.results import number
from streams.evaluation.result import labelled
from streams.evaluation.run import Outcome

PERCENTILES = (50, 90, 99, 100)


def probabilities(outcome: Outcome, row: dict[str, Any]) -> Html:
    """Return whether what is shown with a probability comes about that often; `row` is Streamrank's of the results."""
    labels, p = labelled(outcome)
    if not len(p):
        return section("probabilities", "Probabilities", tag("p", "No ranker scored the slates: there are none."))
    parts = reliability(labels, p)
    draw = charts.against([(mean, share) for mean, share, _ in parts], "mean probability", "share that were targets")
    said = "All items shown, in ten parts by rising probability. On the dashed line a probability is what it says."
    numbers = table(
        "Reliability", ["part", "items", "mean probability", "were targets"],
        ([place, f"{size:,}", f"{mean:.3g}", f"{share:.3g}"] for place, (mean, share, size) in enumerate(parts, 1)),
    )  # fmt: skip
    measured = terms(
        (name, number(row[name])) for name in MEANINGS if name in ("auc", "log_loss", "ece") and name in row
    )
    drawn = plot("probabilities", "Share of targets by probability.", draw, 3.4)
    return section("probabilities", "Probabilities", tag("p", said), measured, beside(drawn, numbers))


def sources(outcome: Outcome, k: int) -> Html:
    """Return which source the items at each rank came from."""
    counted = [
        Counter(answer.sources[rank] for answer in outcome.answers if rank < len(answer.sources)) for rank in range(k)
    ]
    order = [name for name, _ in sum(counted, Counter[str]()).most_common()]
    total = len(outcome.answers)
    # As many as there are colours; the last stands for all the rarer ones.
    shown, rare = (order, []) if len(order) <= len(SERIES) else (order[: len(SERIES) - 1], order[len(SERIES) - 1 :])
    rows = {name: [count[name] / total for count in counted] for name in shown}
    if rare:
        rows["others"] = [sum(count[name] for name in rare) / total for count in counted]
    ranks = range(1, k + 1)
    numbers = table(
        "Share of slates by source", ["rank", *rows],
        ([rank, *(f"{values[rank - 1]:.1%}" for values in rows.values())] for rank in ranks),
    )  # fmt: skip
    drawn = plot(
        "sources", "Share of slates by source at each rank.", charts.stack(ranks, rows, "rank", "share of slates"), 3.2
    )
    said = "Where the item at each rank came from. A bar ends below 1 where slates end before that rank."
    return section("sources", "Sources by rank", tag("p", said), beside(drawn, numbers))


def timing(outcome: Outcome, timing: dict[str, float]) -> Html:
    """Return what the run took: the only part that differs between two runs of the same command."""
    spent = np.array(outcome.slate_ms)
    percentiles = zip(PERCENTILES, np.percentile(spent, PERCENTILES).tolist(), strict=True)
    rows = [[f"{share} %" if share < 100 else "all", f"{value:.2f}"] for share, value in percentiles]
    draw = charts.histogram(
        np.minimum(spent, np.percentile(spent, 99)).tolist(), "ms a slate (1 % are longer)", "slates"
    )
    said = (
        "What a slate takes of one core, ranker included; cases asked together, with nothing to learn between, share."
    )
    measured = terms(
        [
            ("slates a second", f"{timing['slates_s']:,.0f}"),
            ("of their time outside the ranker", f"{timing['share_outside_ranker']:.0%}"),
            ("events learned a second", f"{timing['events_s']:,.0f}"),
            ("all of it", f"{timing['seconds']:.1f} s"),
            ("most memory", f"{timing['peak_rss_bytes'] / 2**20:,.0f} MiB"),
        ]
    )
    numbers = table("Time by share of slates", ["so many", "took at most, ms"], rows)
    drawn = plot("timing", "How many slates took how long.", draw)
    return section("timing", "Latency", tag("p", said), measured, beside(drawn, numbers))
