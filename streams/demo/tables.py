"""The report as tables for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from streams.demo.board import BOUNDED, STREAMRANK

_NAMES = {
    STREAMRANK: "Streamrank",
    "popular": "popular",
    "personal_frequency": "own favourite",
}
P99 = ("p99_before_ms", "p99_during_ms")
_TITLES = {"hit_rate": "hit rate", "recall": "recall", "ndcg": "NDCG"}


def tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """Yield what happened, and how good it was."""
    yield _happened(result)
    if STREAMRANK in result["quality"]:
        yield _quality(result["quality"])


def _happened(result: Mapping[str, Any]) -> Table:
    events, slates, latency = result["events"], result["slates"], result["latency_ms"]
    injected, throughput, swap = result["injected"], result["throughput"], result["swap"]
    loop = result["loop"]
    table = Table(title="What happened", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    kinds = f"of {injected['malformed']} malformed on purpose, {len(injected['kinds'])} kinds"
    by = ", ".join(f"{name} {count:,}" for name, count in slates["by"].items())
    rows: tuple[tuple[str, str, str], ...] = (
        ("events published", f"{events['published']:,}", "by the broker's offsets"),
        ("applied", f"{events['applied']:,}", "by Redis, each exactly once"),
        ("duplicates dropped", f"{events['duplicates_dropped']:,}", f"of {injected['repeated']} sent twice on purpose"),
        ("dead letters", f"{events['dead_letters']:,}", kinds),
        ("lost", f"{events['lost']:,}", ""),
        ("slates", f"{slates['served']:,}", f"for {slates['requested']:,} requests, by {by or 'nobody'}"),
        ("model", "", result["model"]),
        ("request to slate, p50", f"{latency['p50']:.1f} ms", "from produce to receipt, through Kafka both ways"),
        ("request to slate, p99", f"{latency['p99']:.1f} ms", f"at {throughput['slates_s']:,.0f} requests a second"),
        ("swap of the ranker", f"{swap['failed_requests']} failed", _swapped(swap)),
        (
            "impressions and clicks",
            f"{loop['clicks']:,}",
            f"clicks of {loop['seen']:,} items seen, by a model of a shopper",
        ),
        ("feedback records", f"{loop['feedback_records']:,}", _joined(loop)),
        ("learned", f"{loop['learner_records']:,}", _learned(loop)),
        ("ingest", f"{throughput['ingest_events_s']:,}/s", "from the first publish until all is applied"),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _swapped(swap: Mapping[str, Any]) -> str:
    before, during = (f"{swap[name]:.1f} ms" if swap[name] is not None else "-" for name in P99)
    asked = f"of {swap['requests_during']:,} requests in {swap['seconds']:.1f} s"
    return f"{asked}, version {swap['from']} to {swap['to']}; p99 before {before}, during {during}"


def _joined(loop: Mapping[str, Any]) -> str:
    return f"a slate with its outcome each; {loop['unjoined']:,} signals came after their slate's window"


def _learned(loop: Mapping[str, Any]) -> str:
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in loop["log_loss"].items())
    return f"records, then a say in {loop['blended_slates']:,} slates; log-loss of what came: {losses or '-'}"


def _quality(quality: Mapping[str, Any]) -> Table:
    k = quality["k"]
    table = Table(title="What was recommended against what was then bought", title_justify="left")
    table.caption = Text(quality["protocol"], "dim")
    table.caption_justify = "left"
    table.add_column()
    for title in _TITLES.values():
        table.add_column(f"{title}@{k}", justify="right")
    for name in BOUNDED:
        table.add_column(f"gain in {_TITLES[name]} ≥", justify="right")
    for policy, title in _NAMES.items():
        values = quality[policy]
        bounds = quality["lower_bounds"].get(policy)
        told = [f"{bounds[name]:+.4f}" for name in BOUNDED] if bounds else ["", ""]
        row = [title, *(f"{values[name]:.4f}" for name in _TITLES), *told]
        table.add_row(*row, style="bold" if policy == STREAMRANK else "")
    return table
