"""`streamrank simulate`: how good the slates are on a log, beside what is simple, in process and without a cluster."""

from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams.commands.options import json_option, with_settings, write_json
from streams.commands.values import Moment
from streams.errors import Misuse
from streams.evaluation.protocols import PROTOCOLS, Chosen
from streams.evaluation.run import Asked
from streams.evaluation.simulation import Simulation
from streams.evaluation.simulation import simulate as run
from streams.settings import Settings

SHOWN = ("hit_rate", "recall", "precision", "ndcg", "mrr", "map", "coverage")


@click.command(short_help="Measure slates on a log, in process.")
@click.argument("log", type=click.Path(path_type=Path))
@with_settings
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    default="next-basket",
    show_default=True,
    help="What is predicted.",
)
@click.option("--k", type=click.IntRange(1, 100), default=10, show_default=True, help="Items of a slate.")
@click.option("--mask-history", is_flag=True, help="Never recommend what the user had before.")
@click.option("--strict", is_flag=True, help="holdout-last: the last item but one teaches nothing.")
@click.option("--split", type=Moment(), help="Predict from here on; next-basket: default the last tenth of the time.")
@click.option("--holdout", type=click.Path(path_type=Path), help="holdout-file: its file; default LOG/holdout.jsonl.")
@click.option("--fit", is_flag=True, help="Fit the heuristic's parameters on what is before the split.")
@click.option("--sources", help="Only these candidate sources, separated by commas.")
@click.option("--sample", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="A random share of the cases.")
@click.option("--min-count", type=click.IntRange(min=0), default=0, help="Targets are items of so many signals before.")
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="That predict.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of samples and intervals.")
@json_option
def simulate(
    settings: Settings,
    log: Path,
    protocol: str,
    k: int,
    mask_history: bool,
    strict: bool,
    split: int | None,
    holdout: Path | None,
    fit: bool,
    sources: str | None,
    sample: float,
    min_count: int,
    processes: int,
    seed: int,
    json_file: Path | None,
) -> None:
    """Run LOG, a file of events or a folder of `streamrank import`, through the pipeline, and measure its slates.

    Beside them stand simple policies, and the ceiling that the candidates set.
    """
    if sources is not None:
        names = tuple(name for part in sources.split(",") if (name := part.strip()))
        if not names:
            raise Misuse("--sources: names no source: give names separated by commas, or leave it out for all")
        settings = settings.model_copy(update={"sources": names})
    chosen = Chosen(split_ms=split, masked=mask_history, strict=strict, holdout=holdout)
    console = Console(stderr=True, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        simulation = run(
            log,
            settings,
            protocol,
            chosen,
            Asked(k=k, seed=seed, sample=sample, processes=processes, min_count=min_count),
            fit=fit,
            progress=lambda what, done: bar.update(task, description=what, completed=done),
        )
    for complaint in simulation.log.complaints:
        console.print(complaint, markup=False, soft_wrap=True)
    show(simulation)
    write_json(json_file, simulation.result)


def show(simulation: Simulation) -> None:
    """Print the table of a result."""
    result = simulation.result
    title = f"{result['protocol']}: {result['cases']:,} cases of {result['users']:,} users, k = {result['k']}"
    timing = result["timing"]
    caption = (
        f"{timing['events_s']:,.0f} events/s and {timing['slates_s']:,.0f} slates/s a core,"
        f" {timing['seconds']:.0f} s, {timing['peak_rss_bytes'] / 2**20:,.0f} MiB at most"
    )
    table = Table(
        *("policy", *SHOWN), title=title, caption=caption, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for name, values in result["results"].items():
        table.add_row(name, *(f"{values[metric]:.4f}" if metric in values else "" for metric in SHOWN))
    Console().print(table)
