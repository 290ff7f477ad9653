"""`streamrank doctor`: asks every dependency how it is, and says of each what is wrong."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from streams.checks import champion, check_encoder, check_redis, check_triton
from streams.commands.options import json_option, with_settings, write_json
from streams.contracts.topics import TOPICS
from streams.errors import StreamrankError
from streams.kafka_admin import describe, problems
from streams.settings import Settings

KAFKA_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """How one dependency is: `detail` is what was found, or the sentence that says what is wrong."""

    name: str
    ok: bool
    detail: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each dependency; never raises for a fault of one."""
    yield from _kafka(settings)
    yield _try("redis", lambda: asyncio.run(check_redis(settings)))
    yield _try("triton", lambda: asyncio.run(_triton(settings)))
    if (folder := settings.encoder) is not None:
        yield _try("encoder", lambda: asyncio.run(check_encoder(settings, folder)))


def _kafka(settings: Settings) -> Iterator[Finding]:
    try:
        states = describe(settings, [settings.topic(topic.name) for topic in TOPICS], KAFKA_S)
    except StreamrankError as exc:
        yield Finding("kafka", False, str(exc))
        return
    yield Finding("kafka", True, f"answers at {settings.kafka_bootstrap}")
    for name, state in states.items():
        wrong = problems(settings, {name: state})
        detail = wrong[0] if wrong else f"{settings.partitions} partitions"
        yield Finding(f"topic {name}", not wrong, detail)


async def _triton(settings: Settings) -> str:
    try:
        version = await champion(settings)
    except StreamrankError:  # which is a finding of its own
        version = settings.triton_version
    return await check_triton(settings, version)


def _try(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except StreamrankError as exc:
        return Finding(name, False, str(exc))


@click.command()
@with_settings
@json_option
def doctor(settings: Settings, json_file: Path | None) -> int:
    """Check Kafka, the topics, Redis and Triton; exit code 1 if anything is wrong."""
    findings = list(examine(settings))
    table = Table("", "dependency", "what was found")
    for finding in findings:
        table.add_row("[green]ok[/]" if finding.ok else "[red]wrong[/]", finding.name, finding.detail)
    Console().print(table)
    write_json(json_file, {"ok": all(f.ok for f in findings), "findings": [asdict(f) for f in findings]})
    return 0 if all(finding.ok for finding in findings) else 1
