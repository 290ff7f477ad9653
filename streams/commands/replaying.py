"""`streamrank replay`: publishes a log, or the catalogue and events of an imported folder, to Kafka."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from streams.commands.options import SHOWN_REJECTS, json_option, with_settings, write_json
from streams.commands.values import Moment, Rounds, Speed
from streams.contracts import events as ev
from streams.contracts import topics
from streams.errors import BadEvent, Misuse
from streams.event_log import EVENTS, ITEMS, EventLog, find_file
from streams.interrupts import raise_if, signals_kept
from streams.replay import Counts, Plan, Replay, Selection, Span, Timeline, span_of
from streams.settings import Settings

TYPES = [kind.__struct_config__.tag for kind in get_args(ev.UserEvent) if kind is not ev.Absorb]
_TELL_EVERY = 5_000


@click.command(short_help="Publish a log to Kafka.")
@click.argument("log", type=click.Path(path_type=Path))
@with_settings
@click.option("--speed", type=Speed(), default="max", show_default=True, help="Multiple of the log's own tempo.")
@click.option(
    "--times",
    type=click.Choice(["original", "now"]),
    default="original",
    show_default=True,
    help="now: dated as if it happened while it is published; at full speed, up to now.",
)
@click.option("--since", type=Moment(), help="Only events from this time on: 2017-11-01T00:00Z, or epoch ms.")
@click.option("--until", type=Moment(), help="Only events before this time.")
@click.option("--user", "users", metavar="ID", multiple=True, help="Only events of this user; repeatable.")
@click.option(
    "--type", "types", metavar="TYPE", type=click.Choice(TYPES), multiple=True, help="Only of this type; repeatable."
)
@click.option("--loop", "rounds", type=Rounds(), default="1", show_default=True, help="Publish the log so many times.")
@click.option("--from", "from_line", type=click.IntRange(min=1), default=1, help="Resume at this line of the events.")
@click.option("--items", "only_items", is_flag=True, help="LOG is a catalogue: publish it to the items topic.")
@click.option("--verify", is_flag=True, help="Read back what was published: exit 1 if Kafka doesn't hold it.")
@json_option
def replay(settings: Settings, log: Path, only_items: bool, json_file: Path | None, **options: Any) -> None:
    """Publish LOG, a file of events or a folder with events.jsonl and items.jsonl, to Kafka.

    Of a folder the catalogue goes first, and is left out if --from resumes the events. docs/replay.md has an example
    of each option.
    """
    plan = _plan(**options)
    plan.check()
    if only_items:
        plan.check_for_items()
        _publish(settings, topics.ITEMS, find_file(log, ITEMS), with_changes(plan, speed=None), json_file)
        return
    events = find_file(log, EVENTS)
    if log.is_dir() and plan.from_line == 1:
        _publish(settings, topics.ITEMS, find_file(log, ITEMS), Plan(verify=plan.verify), None)
    _publish(settings, topics.EVENTS, events, plan, json_file)


def _plan(
    since: int | None, until: int | None, users: tuple[str, ...], types: tuple[str, ...], times: str, **rest: Any
) -> Plan:
    return Plan(Selection(since, until, frozenset(users), types), to_now=times == "now", **rest)


def _publish(settings: Settings, topic: str, path: Path, plan: Plan, json_file: Path | None) -> None:
    log, console = EventLog(path), Console(stderr=True, highlight=False, soft_wrap=True)
    with _progress(topic, console) as progress, signals_kept() as stop:
        task = progress.add_task("", total=1.0, doing="")

        def show(doing: str) -> None:
            raise_if(stop)
            progress.update(task, completed=log.done, doing=doing)

        timeline = _timeline(settings, log, plan, show)
        began = time.monotonic()

        def tell(counts: Counts) -> None:
            rate = counts.published / max(time.monotonic() - began, 1e-9)
            again = f"round {counts.rounds + 1}, " if plan.rounds != 1 else ""
            show(f"{again}{counts.published:,} published, {rate:,.0f}/s")

        running = Replay(settings, topic, plan, timeline, on_reject=_Rejects(path, console), on_progress=tell)
        try:
            running.run(log)
        except KeyboardInterrupt:
            console.print(f"interrupted: {running.remedy}", markup=False)
            raise
        finally:
            result = _result(running, plan, time.monotonic() - began)
            write_json(json_file, result)
        if plan.verify:
            running.verify(lambda held: show(f"{held:,} found again"))
            result["verified"] = True
            write_json(json_file, result)
    if plan.from_line > log.line + 1:
        raise Misuse(f"{path}: --from {plan.from_line} is behind its end: it has {log.line} lines")
    _report(path, topic, result)


def _progress(topic: str, console: Console) -> Progress:
    columns = (TextColumn(topic), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[doing]}"))
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)


class _Rejects:
    """Names the first lines that can't be published."""

    def __init__(self, path: Path, console: Console) -> None:
        self._path = path
        self._console = console
        self._count = 0

    def __call__(self, line: int, error: BadEvent) -> None:
        self._count += 1
        if self._count <= SHOWN_REJECTS:
            self._console.print(f"{self._path}:{line}: not published: {error}", markup=False)


def _timeline(settings: Settings, log: EventLog, plan: Plan, show: Callable[[str], None]) -> Timeline:
    """Return where the times of this log go; if its span counts, it is read for it."""

    def watched() -> Iterator[tuple[int, bytes]]:
        for number, line in log:
            if number % _TELL_EVERY == 0:
                show("reading its times")
            yield number, line

    span = span_of(watched(), plan.selection) if plan.needs_span else Span()
    try:
        return plan.timeline(span, time.time_ns() // 1_000_000, settings.max_future_ms)
    except Misuse as exc:
        raise Misuse(f"{log.path}: {exc}") from exc


def _result(running: Replay, plan: Plan, seconds: float) -> dict[str, Any]:
    counts = running.counts
    return {
        "read": counts.read,
        "published": counts.published,
        "filtered": counts.filtered,
        "rejected": counts.rejected,
        "rounds": counts.rounds,
        "seconds": round(seconds, 3),
        "events_s": round(counts.published / max(seconds, 1e-9), 1),
        "resume_line": running.resume_line if plan.rounds == 1 else None,
        "verified": False if plan.verify else None,
    }


def _report(path: Path, topic: str, result: dict[str, Any]) -> None:
    if result["rejected"] == result["read"] > 0:
        raise Misuse(
            f"{path}: none of its {result['read']} lines could be published to {topic}: is it that kind of log?"
        )
    left_out = "".join(f", {result[name]:,} {name}" for name in ("filtered", "rejected") if result[name])
    verified = "; Kafka holds them all" if result["verified"] else ""
    click.echo(
        f"{topic}: {result['published']:,} published{left_out} in {result['seconds']:.1f} s"
        f" ({result['events_s']:,.0f}/s){verified}"
    )
