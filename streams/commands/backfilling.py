"""`streamrank backfill`: folds a log, or an imported folder, straight into an empty Redis namespace."""

import os
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from streams.backfill.run import Backfill, Filled
from streams.commands.options import SHOWN_REJECTS, json_option, with_settings, write_json
from streams.event_log import EVENTS, ITEMS, find_file
from streams.settings import Settings


@click.command(short_help="Fold a log straight into an empty Redis namespace.")
@click.argument("log", type=click.Path(path_type=Path))
@with_settings
@click.option("--processes", type=click.IntRange(min=1), help="At most one a partition; default: the machine's cores.")
@json_option
def backfill(settings: Settings, log: Path, processes: int | None, json_file: Path | None) -> None:
    """Fold LOG, a file of events or a folder with events.jsonl and items.jsonl, into an empty Redis namespace.

    No worker may run meanwhile. The same command again goes on where an interrupted one ended.
    """
    events, items = find_file(log, EVENTS), find_file(log, ITEMS) if log.is_dir() else None
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    rejects = 0

    def show(path: Path, line: int, why: str) -> None:
        nonlocal rejects
        rejects += 1
        if rejects <= SHOWN_REJECTS:
            console.print(f"{path}:{line}: not folded: {why}", markup=False)

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("survey", total=1.0)
        running = Backfill(
            settings,
            events,
            items,
            processes=processes or os.cpu_count() or 1,
            on_reject=show,
            on_progress=lambda what, done: bar.update(task, description=what, completed=done),
        )
        try:
            filled = running.run()
        except KeyboardInterrupt:
            console.print("interrupted: the same command goes on where this one ended", markup=False)
            raise
    write_json(json_file, asdict(filled))
    _report(filled)


def _report(filled: Filled) -> None:
    parts = [f"{filled.events:,} events applied"]
    if filled.duplicates:
        parts.append(f"{filled.duplicates:,} repeats")
    if filled.rejected:
        parts.append(f"{filled.rejected:,} rejected")
    if filled.resumed:
        parts.append(f"{filled.resumed:,} of them before")
    click.echo(
        f"{', '.join(parts)}; {filled.users:,} users, {filled.items:,} items, in {filled.seconds:.1f} s"
        f" ({filled.events_s:,.0f}/s, {filled.processes} process{'es' if filled.processes > 1 else ''})"
    )
