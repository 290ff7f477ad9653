"""`streamrank simulate`: how good the slates are on a log, beside what is simple, in process and without a cluster."""

import tempfile
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from inference.ranker import Ranker
from streams.commands.evaluating import complain, progress_on, protocol_options
from streams.commands.options import (
    ResultFile,
    as_typed,
    json_option,
    recipe_option,
    with_settings,
    write_json,
    write_whole,
)
from streams.errors import MissingServer, Misuse
from streams.evaluation import report
from streams.evaluation.protocols import Chosen
from streams.evaluation.run import Asked
from streams.evaluation.simulation import Simulation
from streams.evaluation.simulation import simulate as run
from streams.settings import Settings

SHOWN = ("hit_rate", "recall", "precision", "ndcg", "mrr", "map", "coverage")


@click.command(short_help="Measure slates on a log, in process.")
@click.argument("log", type=click.Path(path_type=Path))
@with_settings
@protocol_options
@click.option("--fit", is_flag=True, help="Fit the heuristic's parameters on what is before the split.")
@click.option("--train", is_flag=True, help="Train a ranker on what the protocol teaches first, and rank with that.")
@recipe_option
@click.option("--sources", help="Only these candidate sources, separated by commas.")
@click.option("--report", "report_file", type=ResultFile(), help="Write a page with plots here.")
@json_option
def simulate(
    settings: Settings,
    log: Path,
    protocol: str,
    chosen: Chosen,
    asked: Asked,
    fit: bool,
    train: bool,
    recipe_file: Path | None,
    sources: str | None,
    report_file: Path | None,
    json_file: Path | None,
) -> None:
    """Run LOG, a file of events or a folder of `streamrank import`, through the pipeline, and measure its slates.

    Beside them stand simple policies, and the ceiling that the candidates set.
    """
    if report_file is not None:
        report.need_matplotlib()
    if sources is not None:
        names = tuple(name for part in sources.split(",") if (name := part.strip()))
        if not names:
            raise Misuse("--sources: names no source: give names separated by commas, or leave it out for all")
        settings = settings.model_copy(update={"sources": names})
    console = Console(stderr=True, highlight=False)
    if recipe_file is not None and not train:
        raise Misuse("--recipe: says how to train: give --train with it")
    ranker = _trained(log, settings, protocol, chosen, asked, recipe_file) if train else None
    with progress_on(console) as tell:
        simulation = run(log, settings, protocol, chosen, asked, fit=fit, ranker=ranker, progress=tell)
    complain(simulation.log, console)
    show(simulation)
    write_json(json_file, simulation.result)
    if report_file is not None:
        write_whole(report_file, report.page(simulation, _told(settings)))


def _trained(
    log: Path, settings: Settings, protocol: str, chosen: Chosen, asked: Asked, recipe_file: Path | None
) -> Ranker:
    """Train a ranker in a folder that is gone afterwards."""
    try:
        from streams.commands.training import training_progress
        from training.recipe import read_recipe
        from training.run import Job, learn
    except ModuleNotFoundError as exc:
        raise MissingServer(f"--train needs the package {exc.name}: pip install 'streamrank[train]'") from exc

    recipe = read_recipe(file=recipe_file, seed=asked.seed)
    with tempfile.TemporaryDirectory(prefix="streamrank-train-") as folder, training_progress() as tell:
        job = Job(log, settings, protocol, chosen, asked)
        ranker, _, _ = learn(job, Path(folder) / "ranker", Path(folder) / "lists", recipe, progress=tell)
    return ranker


def _told(settings: Settings) -> report.Told:
    """Return what the report says of this call; of the settings those that shape a slate, none of which is a secret."""
    context = click.get_current_context()
    outputs = ("json_file", "report_file", "log_format")
    parameters = {
        name.replace("_", " "): {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
        for name, value in context.params.items()
        if name not in outputs and value is not None
    }
    ranker = f"{settings.triton_model}/{settings.triton_version}"
    shaping = {"ranker": ranker, "candidates": settings.candidates, "sources": ", ".join(settings.sources) or "all"}
    return report.Told(as_typed(context), parameters | shaping)


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
