"""`streamrank models`: the life of the ranker's versions, from publishing to a rollback."""

import asyncio
import contextlib
import getpass
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from inference.probe import probe
from inference.repository import SHELF
from inference.source import staged
from inference.verify import verify as verify_files
from streams.checks import triton_address
from streams.commands.judging import judge
from streams.commands.model_tables import lineup_result, show_lineup, show_version
from streams.commands.options import json_option, with_settings, write_json
from streams.errors import Misuse
from streams.interrupts import signals_kept
from streams.rollout.desk import Desk
from streams.rollout.lineup import Lineup
from streams.rollout.pointer import Pointer
from streams.settings import Settings
from streams.store.connection import connect

_VERSION = click.IntRange(min=1)
_NICE = 10
"""By how much a command gives way to a worker or Triton on the same machine: checking a model is work, too."""

who_option = click.option("--who", default=getpass.getuser, show_default="you", help="Written beside the change.")
why_option = click.option("--why", default="", help="Written beside the change.")


@click.group()
def models() -> None:
    """Publish, try, promote and roll back versions of the ranker."""


def with_desk(command: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Give a command a desk as first argument; adds --config, --who, --why and --json."""

    @with_settings
    @who_option
    @why_option
    @json_option
    @wraps(command)
    def prepared(settings: Settings, who: str, why: str, json_file: Path | None, **options: Any) -> None:
        async def run() -> None:
            os.nice(_NICE)
            redis = connect(settings)
            try:
                pointer = Pointer(redis, settings.key_prefix, settings.triton_model)
                desk = Desk(settings, pointer, triton_address(settings), who, why, lambda: int(time.time() * 1000))
                with _quiet():
                    lineup = await command(desk, **options)
                show_lineup(lineup, await pointer.heartbeats())
                write_json(json_file, lineup_result(lineup, await pointer.heartbeats()))
            finally:
                await redis.close()

        asyncio.run(run())

    return prepared


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Warnings are sentences for the operator here; anything less is noise."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(level)


@models.command("list")
@with_desk
async def list_(desk: Desk) -> Lineup:
    """List the versions, the state of each, and which workers follow."""
    return await desk.lineup()


@models.command()
@click.argument("source")
@click.option("--version", type=_VERSION, help="Its number; by default the next one.")
@with_desk
async def publish(desk: Desk, source: str, version: int | None) -> Lineup:
    """Publish the version in the folder SOURCE (or behind a URL, as s3://bucket/ranker/7), and try it.

    It is validated, or rejected with the reason and exit code 1; nothing that is served changes either way.
    """
    return await desk.publish(source, version)


@models.command()
@click.argument("version", type=_VERSION)
@with_desk
async def shadow(desk: Desk, version: int) -> Lineup:
    """Have VERSION score what the champion scores, unseen."""
    return await desk.shadow(version)


@models.command()
@click.argument("version", type=_VERSION)
@click.option("--share", type=float, default=0.05, show_default=True, help="Of the users, between 0 and 1.")
@with_desk
async def canary(desk: Desk, version: int, share: float) -> Lineup:
    """Have VERSION serve a share of the users, always the same ones."""
    return await desk.canary(version, share)


@models.command()
@click.argument("version", type=_VERSION)
@with_desk
async def promote(desk: Desk, version: int) -> Lineup:
    """Make VERSION the champion; the one before stays loaded, for `rollback`."""
    return await desk.promote(version)


@models.command()
@click.argument("version", type=_VERSION, required=False)
@with_desk
async def rollback(desk: Desk, version: int | None) -> Lineup:
    """Go back to the previous champion; or take the canary or shadow VERSION away."""
    return await desk.roll_back(version)


@models.command()
@with_settings
def watch(settings: Settings) -> None:
    """Judge each canary by what comes on `feedback`: promote it, or roll it back; until Ctrl-C."""
    with signals_kept() as stop:
        asyncio.run(judge(settings, stop.is_set))


@models.command()
@click.option("--keep", type=click.IntRange(min=0), default=5, show_default=True, help="Versions that don't serve.")
@with_desk
async def prune(desk: Desk, keep: int) -> Lineup:
    """Delete all but the newest versions that don't serve, and clear away what interrupted commands left."""
    lineup, gone = await desk.prune(keep)
    Console().print(f"deleted: {', '.join(map(str, gone)) or 'none'}", highlight=False)
    return lineup


@models.command()
@click.argument("version", type=_VERSION)
@with_settings
@json_option
def show(settings: Settings, version: int, json_file: Path | None) -> None:
    """Show VERSION: its state, what was measured of it, and its history."""

    async def look() -> dict[str, Any]:
        redis = connect(settings)
        try:
            return await show_version(Pointer(redis, settings.key_prefix, settings.triton_model), settings, version)
        finally:
            await redis.close()

    write_json(json_file, asyncio.run(look()))


@models.command()
@click.argument("what", metavar="VERSION|SOURCE")
@with_settings
@json_option
def verify(settings: Settings, what: str, json_file: Path | None) -> None:
    """Check the files of a version; of one that Triton serves, also that it answers what its file says.

    SOURCE is a folder or URL, as for `publish`; nothing is published.
    """
    if not what.isdecimal():
        with staged(what, 1) as folder:
            _, digest = verify_files(folder, 1)
        served = False
    else:
        folder, version = _repository(settings) / settings.triton_model, int(what)
        served = (folder / what).is_dir()
        _, digest = verify_files(folder if served else folder.parent / SHELF / settings.triton_model, version)
        if served:
            probe(triton_address(settings), settings.triton_model, version, folder)
    Console().print(f"[green]ok[/]: files, tensors, golden answers{', and what Triton answers' if served else ''}")
    write_json(json_file, {"ok": True, "manifest_sha256": digest, "served": served})


def _repository(settings: Settings) -> Path:
    if settings.triton_repository is None:
        raise Misuse("triton_repository: name the model repository that Triton serves")
    return settings.triton_repository
