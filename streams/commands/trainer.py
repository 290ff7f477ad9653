"""`streamrank trainer`: keeps the lake, and trains, judges and publishes rankers by itself, until SIGTERM."""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from streams.commands.judging import Judging
from streams.commands.options import json_option, with_settings, write_json
from streams.errors import BadModel, MissingServer, Misuse, StreamrankError
from streams.interrupts import signals_kept
from streams.rollout.held import Held, LeaseTaken
from streams.settings import Settings

if TYPE_CHECKING:
    from training.service import Round, Service

NICE = 10
"""By how much a trainer gives way to a worker or Triton on the same machine."""
log = logging.getLogger(__name__)


@click.command()
@with_settings
@json_option
@click.option("--once", is_flag=True, help="Archive and train now, whatever the schedule says, then end.")
def trainer(settings: Settings, json_file: Path | None, once: bool) -> None:
    """Archive events and feedback, and train a challenger of the champion when it is time.

    One that is not surely as good is rejected with the reason; with --once that is exit code 1. Where it publishes
    canaries (trainer_publish), it judges them, too, as `models watch` does.
    """
    try:
        from training.service import recipe_of
    except ModuleNotFoundError as exc:
        raise MissingServer(f"the trainer needs the package {exc.name}: pip install 'streamrank[train]'") from exc
    recipe_of(settings)
    os.nice(NICE)
    with signals_kept() as stop:
        if once:
            _once(settings, stop, json_file)
        else:
            _until(settings, stop)


def _once(settings: Settings, stop: threading.Event, json_file: Path | None) -> None:
    from training.service import Stopped

    console = Console(stderr=True)

    def tell(what: str, count: int | None) -> None:
        if count is None:
            console.print(what, highlight=False)

    with Held(settings) as held:
        try:
            done = _service(settings, held, stop, tell).round(by_hand=True)
        except Stopped:
            raise KeyboardInterrupt from None
    result = done.result
    if result is None:
        return
    write_json(json_file, asdict(result) | {"archived": {name: asdict(one) for name, one in done.archived.items()}})
    if result.refused is not None:
        raise BadModel(f"{settings.triton_model}/{result.version} is rejected: {result.refused}")
    console.print(f"{settings.triton_model}/{result.version} is {result.state}", highlight=False)


def _until(settings: Settings, stop: threading.Event) -> None:
    """Hold the lease and do round after round; whatever ends a round or the lease is told, and tried again."""
    waiting = False
    while not stop.is_set():
        try:
            with Held(settings) as held, ExitStack() as beside:
                log.info("trainer at work", extra={"model": settings.triton_model, "lease": held.number})
                waiting = False
                judges = settings.trainer_publish == "canary"
                referee = beside.enter_context(Judging(settings, held.number)) if judges else None
                _rounds(_service(settings, held, stop, _log), settings, stop, referee)
        except LeaseTaken as exc:
            if not waiting:
                log.info("trainer waits", extra={"reason": str(exc)})
            waiting = True
        except StreamrankError as exc:
            log.error("trainer begins again", extra={"reason": str(exc)})
        stop.wait(min(settings.trainer_archive_every_s, 5.0))


def _rounds(service: "Service", settings: Settings, stop: threading.Event, referee: Judging | None) -> None:
    from training.service import Stopped

    while not stop.is_set():
        if referee is not None:
            referee.check()
        try:
            _say(service.round(by_hand=False))
        except Stopped:
            return
        except Misuse as exc:  # of the data: settings were looked at before
            log.error("not trained", extra={"reason": str(exc)})
        stop.wait(settings.trainer_archive_every_s)


def _say(done: "Round") -> None:
    for topic, one in done.archived.items():
        if one.records:
            log.info("archived", extra={"topic": topic, **asdict(one)})
    if done.result is not None:
        log.info("trained", extra=asdict(done.result))


def _service(
    settings: Settings, held: Held, stop: threading.Event, tell: Callable[[str, int | None], None]
) -> "Service":
    from training.service import Service

    return Service(settings, held, stop, lambda: int(time.time() * 1000), tell)


def _log(what: str, count: int | None) -> None:
    if count is None:
        log.info("training", extra={"step": what})
