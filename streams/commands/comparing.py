"""`streamrank compare`: whether a change makes slates better, on a log, in process and without a cluster."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from streams.commands.evaluating import complain, progress_on, protocol_options
from streams.commands.options import json_option, log_format_option, write_json
from streams.evaluation.comparison import Configuration
from streams.evaluation.comparison import compare as run
from streams.evaluation.metrics import METRICS
from streams.evaluation.protocols import Chosen
from streams.evaluation.run import Asked
from streams.evaluation.verdict import WORSE
from streams.logs import configure
from streams.settings import load_settings

_BEYOND = ("coverage", "diversity", "novelty", "popularity_bias")
_TIMES = ("slate_ms_median", "slate_ms_p99")
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Tell whether B is better than A on a log.")
@click.argument("a", metavar="A.toml", type=_FILE)
@click.argument("b", metavar="B.toml", type=_FILE)
@click.argument("log", type=click.Path(path_type=Path))
@log_format_option
@click.option("--metric", type=click.Choice(METRICS), default="ndcg", show_default=True, help="That decides.")
@protocol_options
@click.option("--fail-if-worse", is_flag=True, help="Exit with 1 if B is worse than A.")
@json_option
def compare(
    a: Path,
    b: Path,
    log: Path,
    log_format: Any,
    metric: str,
    protocol: str,
    chosen: Chosen,
    asked: Asked,
    fail_if_worse: bool,
    json_file: Path | None,
) -> int:
    """Run LOG through the pipeline with the settings of A.toml, then with those of B.toml, and tell which is better.

    Settings are those of --config; an empty file stands for the defaults. docs/compare.md tells how to read the table.
    """
    configure(log_format)
    side_a, side_b = (Configuration(str(path), load_settings(path)) for path in (a, b))
    console = Console(stderr=True, highlight=False)
    with progress_on(console) as tell:
        comparison = run(log, side_a, side_b, protocol, chosen, asked, metric=metric, progress=tell)
    complain(comparison.log, console)
    show(comparison.result)
    write_json(json_file, comparison.result)
    return 1 if fail_if_worse and comparison.result["verdict"]["b_is"] == WORSE else 0


def show(result: dict[str, Any]) -> None:
    """Print the settings that differ, the table and the verdict."""
    console = Console(highlight=False, soft_wrap=True)
    for name, values in result["settings"].items():
        console.print(f"{name}: A {escape(str(values['a']))}, B {escape(str(values['b']))}")
    if not result["settings"]:
        console.print("A and B are the same settings; environment variables are stronger than both files")
    title = f"{result['protocol']}: {result['cases']:,} cases of {result['users']:,} users, k = {result['k']}"
    columns = [Column(name, justify="right", no_wrap=True) for name in ("A", "B", "B - A", "95 % interval", "p")]
    table = Table(Column("", no_wrap=True), *columns, title=title)
    for name, found in result["differences"].items():
        low, high = found["interval"]
        row = f"{found['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{found['p_value']:.3f}"
        table.add_row(name, *_numbers(result["a"], result["b"], name), *row)
    for name in _BEYOND:
        if name in result["a"] and name in result["b"]:
            table.add_row(name, *_numbers(result["a"], result["b"], name))
    timing, verdict = result["timing"], result["verdict"]
    for name in _TIMES:
        table.add_row(name, f"{timing[f'a_{name}']:.4f}", f"{timing[f'b_{name}']:.4f}")
    console.print(table)
    console.print(verdict["sentence"])
    console.print(f"only {verdict['metric']} decides: of several metrics one often differs by chance")
    console.print(
        f"a slate of B takes {timing['slate_ms_ratio']:.2f} times as long as one of A;"
        f" {result['other_slates']:.1%} of the slates differ"
    )


def _numbers(a: dict[str, float], b: dict[str, float], name: str) -> tuple[str, str]:
    return f"{a[name]:.4f}", f"{b[name]:.4f}"
