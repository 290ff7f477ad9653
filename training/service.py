"""The trainer's process: archives, keeps the lake in order, and trains when it is time. One at a time, by a lease.

Each round brings the lake up to date, then asks what is due (`due.py`). A run that fails is told and not begun again
before the next occasion; Kafka, Redis or Triton away, or a lost lease, only end the round. Nothing is kept in this
process: the lake says how far it is, Redis when the last run was, the run's folder how far that came.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import msgspec

from inference.repository import StillLoading
from streams.checks import triton_address
from streams.contracts.models import DriftDetected
from streams.contracts.topics import EVENTS, FEEDBACK, MODELS
from streams.errors import CannotWrite, Misuse, StreamrankError, Unreachable
from streams.lake import upkeep
from streams.lake.archive import Archived, archive, day_of
from streams.lake.files import LakeFiles
from streams.lake.kafka import opened
from streams.lake.parts import Stream, ends
from streams.lake.read import rows
from streams.rollout.desk import Desk
from streams.rollout.held import Held
from streams.rollout.lease import Done, Lease, LeaseLost
from streams.rollout.lineup import Lineup
from streams.rollout.pointer import Pointer, PointerMoved
from streams.settings import Settings
from streams.store.connection import connect
from streams.store.redis import RedisStore
from training.challenge import Challenger
from training.due import Seen, check_schedule, due
from training.periods import NEWEST
from training.recipe import Recipe, read_recipe
from training.trainer import Plan, Progress, Result, Run, publish

UPKEEP_S = 3_600.0
"""Between two times that old days go, small files are put together, and who asked is forgotten."""
_PASSING = (Unreachable, LeaseLost, CannotWrite, PointerMoved, StillLoading)
"""What says nothing about the challenger, and may be over next time."""
BY_HAND = "asked for by hand"

log = logging.getLogger(__name__)
_drift = msgspec.json.Decoder(DriftDetected).decode


class Stopped(Exception):
    """The process is asked to end; what was begun goes on with the next one."""


@dataclass(slots=True)
class Round:
    """What one round did: what came into the lake, and the run that was due, if one was."""

    archived: dict[str, Archived] = field(default_factory=dict)
    result: Result | None = None


class Service:
    """One trainer, between taking the lease and giving it back."""

    def __init__(
        self, settings: Settings, held: Held, stop: Event, clock: Callable[[], int], progress: Progress
    ) -> None:
        """`clock` returns milliseconds since 1970.

        Raises:
            Misuse: a setting is missing or wrong.
        """
        self._settings = settings
        self._files = LakeFiles(lake_of(settings))
        self._recipe = recipe_of(settings)
        self._held = held
        self._stop = stop
        self._alive = settings.trainer_folder / "alive"
        with suppress(OSError):  # or what is next written there says so
            self._alive.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._tell = progress
        self._began_ms = clock()
        self._kept_s = float("-inf")

    def round(self, *, by_hand: bool) -> Round:
        """Bring the lake up to date, and train if it is time, or `by_hand`.

        Raises:
            StreamrankError: a server is away, the lease is lost, or the training failed, which is noted as done.
            Stopped: while it trained.
        """
        done = Round()
        today = day_of(self._clock())
        for topic in (EVENTS, FEEDBACK):
            self._check()
            with opened(self._settings, topic) as source:
                done.archived[topic] = archive(self._files, topic, source, today)
        self._keep(today)
        last = asyncio.run(self._last())
        drift, heard = self._drift(last)
        because = BY_HAND if by_hand else self._due(last, drift)
        if because is not None:
            done.result = self._run(because, heard)
        return done

    def _due(self, last: Done | None, drift: DriftDetected | None) -> str | None:
        cut_off = self._run_here().unfinished(self._clock())
        if cut_off is not None:
            return cut_off.because
        if self._settings.trainer_publish == "canary" and asyncio.run(self._on_trial()):
            return None  # the next canary would end the trial of this one; what is due now still is when it has ended
        seen = Seen(last.run_ms if last else self._began_ms, self._labels(last), drift)
        return due(self._settings, seen, self._clock(), last is None)

    def _run(self, because: str, heard: dict[str, int]) -> Result:
        done = Done(run_ms=self._clock(), labelled=self._archived(), heard=heard)
        run = self._run_here()
        try:
            result = self._trained(run, because)
        except _PASSING:
            raise  # it goes on when that is over
        except StreamrankError:
            asyncio.run(self._note(done))
            run.end()
            raise
        asyncio.run(self._note(done))
        run.end()
        return result

    def _archived(self) -> dict[str, int]:
        """Return the last offset of each stream in the lake."""
        return {_key(stream): part.last for stream, part in ends(self._files.parts()).items()}

    def _run_here(self) -> Run:
        return Run(self._settings.trainer_folder / "run", self._files, self._settings, self._recipe, self._progress)

    def _trained(self, run: Run, because: str) -> Result:
        """Train, judge and publish; the log is walked in an event loop of its own, so this is in none."""
        lineup, folder = asyncio.run(self._champion())
        plan = run.begin(because, lineup, self._clock())
        items = asyncio.run(self._items())
        window = run.window(items)
        self._files.write_bytes("items.jsonl", b"".join(value + b"\n" for value in items))
        challenger = run.challenger(plan, window, folder)
        self._check()
        return asyncio.run(self._publish(challenger, plan))

    async def _champion(self) -> tuple[Lineup, Path]:
        """Return the lineup, and the model's folder in which its champion lies."""
        async with self._desk("") as desk:
            lineup = await desk.lineup()
            folder = desk.folder.where(lineup.champion)
            if folder is None:
                raise Misuse(f"triton_repository: the champion {desk.model}/{lineup.champion} is not in it")
            return lineup, folder

    async def _on_trial(self) -> bool:
        async with self._desk("") as desk:
            return (await desk.lineup()).canary is not None

    async def _publish(self, challenger: Challenger, plan: Plan) -> Result:
        sentence = challenger.manifest["evaluation"]["slices"][NEWEST]["sentence"]
        async with self._desk(f"{plan.because}: {sentence}") as desk:
            return await publish(desk, challenger, plan, self._settings)

    @asynccontextmanager
    async def _desk(self, why: str) -> AsyncIterator[Desk]:
        redis, settings = connect(self._settings), self._settings
        try:
            pointer = Pointer(redis, settings.key_prefix, settings.triton_model, self._held.number)
            yield Desk(settings, pointer, triton_address(settings), "trainer", why, self._clock)
        finally:
            await redis.close()

    async def _items(self) -> list[bytes]:
        store = RedisStore.from_settings(self._settings)
        try:
            found = {one.item_id: one.value async for some in store.items() for one in some}
        finally:
            await store.close()
        return [value.replace(b"\n", b" ") for _, value in sorted(found.items()) if value is not None]

    def _keep(self, today: str) -> None:
        if time.monotonic() - self._kept_s < UPKEEP_S:
            return
        self._check()
        upkeep.sweep(self._files)
        expired = upkeep.expire(self._files, self._settings.lake_days, today)
        forgotten, compacted = upkeep.forget(self._files), upkeep.compact(self._files, today)
        self._kept_s = time.monotonic()
        if expired or forgotten or compacted:
            log.info("lake kept", extra={"expired": expired, "forgotten": forgotten, "compacted": compacted})

    def _labels(self, last: Done | None) -> int:
        """Return how many outcomes came since the last run."""
        if self._settings.trainer_labels is None:
            return 0
        known = last.labelled if last else {}
        after = {stream: known.get(_key(stream), -1) for stream in ends(self._files.parts())}
        return sum(row.fields["labels"] for row in rows(self._files, FEEDBACK, after, ["labels"]))

    def _drift(self, last: Done | None) -> tuple[DriftDetected | None, dict[str, int]]:
        """Return the last drift of the model that was told since the last run, and the offsets that were read."""
        drift, heard = None, dict(last.heard) if last else {}
        with opened(self._settings, MODELS) as source:
            for partition in range(source.partitions):
                key = _key(Stream(MODELS, source.topic_id, partition))
                first = max(source.start(partition), heard.get(key, -1) + 1)
                for message in source.read(partition, first):
                    heard[key] = message.offset
                    found = _as_drift(message.value)
                    if found is not None and found.model == self._settings.triton_model:
                        drift = found
        return drift, heard

    async def _last(self) -> Done | None:
        async with self._lease() as lease:
            return await lease.done()

    async def _note(self, done: Done) -> None:
        async with self._lease() as lease:
            await lease.put_done(done)

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Lease]:
        redis = connect(self._settings)
        try:
            yield Lease(redis, self._settings.key_prefix, self._settings.triton_model, 0)
        finally:
            await redis.close()

    def _progress(self, what: str, count: int | None) -> None:
        self._check()
        self._tell(what, count)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped
        try:
            self._alive.touch()
        except OSError as exc:
            raise CannotWrite(f"trainer_folder: {self._alive}: cannot be written: {exc.strerror}") from exc
        self._held.check()


def lake_of(settings: Settings) -> str:
    """Return where the lake is; raise `Misuse` if nobody said."""
    if settings.lake is None:
        raise Misuse("lake: name the folder (or URL) in which the trainer keeps what it learns from")
    return settings.lake


def recipe_of(settings: Settings) -> Recipe:
    """Return by which recipe the settings train, after a look at all that a trainer must be told.

    Raises:
        Misuse: what is missing or wrong.
    """
    LakeFiles(lake_of(settings))
    check_schedule(settings)
    if settings.triton_repository is None:
        raise Misuse("triton_repository: name the model repository that Triton serves")
    return read_recipe((), settings.trainer_recipe)


def _as_drift(value: bytes | None) -> DriftDetected | None:
    try:
        return _drift(value or b"")
    except msgspec.DecodeError:  # another kind of message
        return None


def _key(stream: Stream) -> str:
    return f"{stream.topic}/{stream.topic_id}/{stream.partition}"
