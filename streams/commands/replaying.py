"""`streamrank replay`: publishes a log, or the catalogue and events of an imported folder, to Kafka."""

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from streams.commands.options import json_option, with_settings, write_json
from streams.contracts import topics
from streams.errors import BadEvent, Misuse
from streams.event_log import EVENTS, ITEMS, EventLog, find_file
from streams.replay import Counts, Replay
from streams.settings import Settings

SHOWN_REJECTS = 5
"""So many rejected lines are named; the others are only counted."""


class Speed(click.ParamType):
    """A positive number, or `max`."""

    name = "N|max"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Return the multiple of the log's own tempo, None for `max`."""
        if value == "max":
            return None
        try:
            speed = float(value)
        except ValueError:
            speed = 0.0
        if not 0 < speed < float("inf"):
            self.fail(f"{value} is neither a positive number nor max")
        return speed


@click.command(short_help="Publish a log to Kafka.")
@click.argument("log", type=click.Path(path_type=Path))
@with_settings
@click.option("--speed", type=Speed(), default="max", show_default=True, help="Multiple of the log's own tempo.")
@click.option("--from", "from_line", type=click.IntRange(min=1), default=1, help="Resume at this line of the events.")
@click.option("--items", "only_items", is_flag=True, help="LOG is a catalogue: publish it to the items topic.")
@json_option
def replay(
    settings: Settings, log: Path, speed: float | None, from_line: int, only_items: bool, json_file: Path | None
) -> None:
    """Publish LOG, a file of events or a folder with events.jsonl and items.jsonl, to Kafka.

    Of a folder the catalogue goes first, and is left out if --from resumes the events.
    """
    if only_items:
        _publish(settings, topics.ITEMS, find_file(log, ITEMS), None, from_line, json_file)
        return
    events = find_file(log, EVENTS)
    if log.is_dir() and from_line == 1:
        _publish(settings, topics.ITEMS, find_file(log, ITEMS), None, 1, None)
    _publish(settings, topics.EVENTS, events, speed, from_line, json_file)


def _publish(
    settings: Settings, topic: str, path: Path, speed: float | None, from_line: int, json_file: Path | None
) -> None:
    log, console = EventLog(path), Console(stderr=True, highlight=False, soft_wrap=True)
    rejects = 0

    def show(line: int, error: BadEvent) -> None:
        nonlocal rejects
        rejects += 1
        if rejects <= SHOWN_REJECTS:
            console.print(f"{path}:{line}: not published: {error}", markup=False)

    columns = (TextColumn(topic), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=1.0, rate="")
        began = time.monotonic()

        def tell(counts: Counts) -> None:
            rate = counts.published / max(time.monotonic() - began, 1e-9)
            bar.update(task, completed=log.done, rate=f"{counts.published:,} published, {rate:,.0f}/s")

        running = Replay(settings, topic, speed=speed, from_line=from_line, on_reject=show, on_progress=tell)
        try:
            running.run(log)
        except KeyboardInterrupt:
            console.print(f"interrupted: resume with --from {running.resume_line}", markup=False)
            raise
        finally:
            result = _result(running, time.monotonic() - began)
            write_json(json_file, result)
    if from_line > log.line + 1:
        raise Misuse(f"{path}: --from {from_line} is behind its end: it has {log.line} lines")
    _report(path, topic, result)


def _result(running: Replay, seconds: float) -> dict[str, Any]:
    counts = running.counts
    return {
        "read": counts.read,
        "published": counts.published,
        "rejected": counts.rejected,
        "seconds": round(seconds, 3),
        "events_s": round(counts.published / max(seconds, 1e-9), 1),
        "resume_line": running.resume_line,
    }


def _report(path: Path, topic: str, result: dict[str, Any]) -> None:
    if result["rejected"] and not result["published"]:
        raise Misuse(
            f"{path}: none of its {result['read']} lines could be published to {topic}: is it that kind of log?"
        )
    rejected = f", {result['rejected']:,} rejected" if result["rejected"] else ""
    click.echo(
        f"{topic}: {result['published']:,} published{rejected} in {result['seconds']:.1f} s"
        f" ({result['events_s']:,.0f}/s)"
    )
