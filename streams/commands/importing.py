"""`streamrank import`: makes event and item logs of a data set, ready to replay, simulate or train on."""

import sys
import time
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams.commands.options import json_option, write_json
from streams.imports import FORMATS, Selection, write_folder
from streams.imports.base import FILES
from streams.imports.table import MAPPINGS

_FORMATS_HELP = "; ".join(f"{name}: {format_.summary}" for name, format_ in FORMATS.items())


@click.command("import", short_help="Make event and item logs of a data set.")
@click.argument("format_name", metavar="FORMAT", type=click.Choice(sorted(FORMATS)))
@click.argument("places", metavar="[SRC] DIR", nargs=-1, required=True)
@click.option("--households", type=click.IntRange(min=1), help="A random sample of so many users; default all.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@click.option("--mapping", help="What the columns of a table mean: a TOML file, or one of " + ", ".join(MAPPINGS) + ".")
@click.option("--compress", type=click.Choice(["gz", "zst"]), help="Write .jsonl.gz or .jsonl.zst files.")
@json_option
def import_(
    format_name: str,
    places: tuple[str, ...],
    households: int | None,
    seed: int,
    mapping: str | None,
    compress: str | None,
    json_file: Path | None,
) -> None:
    """Make DIR/events.jsonl, items.jsonl, rejects.jsonl, and holdout.jsonl if SRC has targets, from SRC.

    SRC is - or left out if the format needs none.
    """
    source, folder = _places(places)
    selection = Selection(households, seed, mapping)
    began = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} lines"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=None)
        counts = write_folder(
            FORMATS[format_name].read(source, selection),
            folder,
            ending=f".{compress}" if compress else "",
            on_lines=lambda lines: progress.update(task, completed=lines),
        )
    seconds = round(time.monotonic() - began, 3)
    files = {file.partition(".")[0]: counts.pop(file) for file in FILES if file in counts}
    _show(folder, files, counts, seconds)
    write_json(json_file, {**files, "reasons": dict(counts), "seconds": seconds})


import_.help = f"{import_.help}\n\nFORMAT is one of: {_FORMATS_HELP}."


def _places(places: tuple[str, ...]) -> tuple[str | None, Path]:
    if len(places) > 2:
        raise click.UsageError(f"SRC and DIR are two arguments at most, these are {len(places)}")
    source = places[0] if len(places) == 2 and places[0] != "-" else None
    return source, Path(places[-1])


def _show(folder: Path, files: dict[str, int], reasons: Counter[str], seconds: float) -> None:
    table = Table("file", "lines", title=f"{folder}, in {seconds:.1f} s")
    for name, lines in files.items():
        table.add_row(name, f"{lines:,}")
    for reason, lines in reasons.most_common():
        table.add_row(f"  rejected, {reason}", f"{lines:,}")
    Console().print(table)
