"""One run of the trainer: a window of the lake in, a version in shadow, canary or as champion out, or a reason why not.

All of it lies in one folder, with a plan: a run that was cut off goes on there, unless the champion is another one by
now (but for the run's own), the settings are, or a day has passed; then the folder is gone and a new run starts. A
version is known by the hash of its manifest, so none is published twice.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from inference.manifest import MANIFEST_FILE
from inference.onnx_ranker import OnnxRanker
from streams.errors import BadModel, StreamrankError
from streams.lake.files import LakeFiles
from streams.rollout.desk import Desk
from streams.rollout.lineup import Lineup, Version
from streams.rollout.pointer import PointerMoved
from streams.settings import Settings
from training.challenge import Bounds, Challenger, make
from training.manifest import read_manifest
from training.recipe import Recipe, flat
from training.staged import write_whole
from training.window import DAY_MS, FEEDBACK_FILE, Lengths, Window, read_window, write_window

PLAN_FILE: Final = "run.json"
GOES_ON_MS: Final = DAY_MS
"""A run that was cut off longer ago starts anew: what it knows is old."""
log = logging.getLogger(__name__)
Progress = Callable[[str, int | None], None]


class Plan(Struct, frozen=True, kw_only=True):
    """What a run set out to do: why, when, against which champion, by which numbers."""

    because: str
    began_ms: int
    champion: int
    made_by: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run: a version and its state, or why it was refused."""

    because: str
    version: int
    state: str
    refused: str | None
    metrics: Mapping[str, float]


class Run:
    """The run in a folder, begun or gone on with."""

    def __init__(self, folder: Path, files: LakeFiles, settings: Settings, recipe: Recipe, progress: Progress) -> None:
        self.folder = folder
        self._files = files
        self._settings = settings
        self._recipe = recipe
        self._progress = progress
        self._lengths = Lengths(
            round(settings.trainer_window_days * DAY_MS), round(settings.trainer_newest_days * DAY_MS)
        )

    def unfinished(self, now_ms: int) -> Plan | None:
        """Return the plan of a run that was cut off and may go on."""
        try:
            plan = msgspec.json.decode((self.folder / PLAN_FILE).read_bytes(), type=Plan)
        except (OSError, msgspec.DecodeError):
            return None
        return plan if now_ms - plan.began_ms < GOES_ON_MS else None

    def begin(self, because: str, lineup: Lineup, now_ms: int) -> Plan:
        """Return the plan to follow: the one that is there, or a new one in an empty folder."""
        champion = lineup.champion
        made_by = dict(flat(self._recipe)) | {
            "window_days": self._settings.trainer_window_days,
            "newest_days": self._settings.trainer_newest_days,
            "replay": self._settings.trainer_replay,
        }
        found = self.unfinished(now_ms)
        own = self._is_own(lineup.versions[champion])  # the run was cut off when all but its end was done
        if found is not None and found.made_by == made_by and (own or found.champion == champion):
            self._progress(f"going on with the training of before, {found.because}", None)
            return found
        shutil.rmtree(self.folder, ignore_errors=True)
        plan = Plan(because=because, began_ms=now_ms, champion=champion, made_by=made_by)
        write_whole(self.folder / PLAN_FILE, msgspec.json.encode(plan))
        return plan

    def window(self, items: list[bytes]) -> Window:
        """Return what is learned from, copied from the lake if it isn't there."""
        place = self.folder / "window"
        window = read_window(place)
        if window is None:
            self._progress("copying the window", None)
            future_ms = self._settings.max_future_ms
            window = write_window(self._files, items, place, self._lengths, future_ms)
        return window

    def challenger(self, plan: Plan, window: Window, champion_folder: Path) -> Challenger:
        """Return the challenger, trained and judged if it isn't there."""
        place = self._place
        if (place / MANIFEST_FILE).is_file():
            manifest = read_manifest(place)
            return Challenger(place, manifest, manifest["evaluation"]["refused"])
        log = self.folder / "window"
        feedback = log / FEEDBACK_FILE if window.feedback else None
        return make(
            log, feedback, OnnxRanker(champion_folder, plan.champion), champion_folder / str(plan.champion),
            place.parent, self.folder / "lists", settings=self._settings, recipe=self._recipe,
            periods=self._lengths.periods(window.latest_ms, self._settings.trainer_replay),
            bounds=Bounds(self._settings.trainer_margin, self._settings.trainer_forgetting),
            told={"because": plan.because, "window": msgspec.to_builtins(window)}, progress=self._progress,
        )  # fmt: skip

    def end(self) -> None:
        """Remove the folder: the run is over."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _place(self) -> Path:
        return self.folder / self._settings.triton_model / "1"

    def _is_own(self, version: Version) -> bool:
        """Tell whether this run has made a version."""
        return (self._place / MANIFEST_FILE).is_file() and version.manifest_sha256 == _digest(self._place)


async def publish(desk: Desk, challenger: Challenger, plan: Plan, settings: Settings) -> Result:
    """Publish a challenger as configured, or enter it as rejected; what was done before is not done again.

    Then old versions go: nobody else would see to it that shelf and lineup, which workers poll, don't grow for ever.

    Raises:
        PointerMoved: the champion is not the one of the plan any more: nobody knows whether this one is better.
        StreamrankError: Triton, Redis or the lease failed; the same again goes on.
    """
    result = await _published(desk, challenger, plan, settings)
    try:
        await desk.prune(settings.trainer_keep)
    except StreamrankError as exc:
        log.warning("old versions stay", extra={"model": desk.model, "reason": str(exc)})
    return result


async def _published(desk: Desk, challenger: Challenger, plan: Plan, settings: Settings) -> Result:
    digest = _digest(challenger.place)
    lineup = await desk.lineup()
    number = _number(lineup, digest)
    if challenger.refused is not None:
        if number is None:
            lineup = await desk.refuse(digest, challenger.refused, challenger.metrics)
        return _result(lineup, digest, plan, challenger, challenger.refused)
    if number is None or lineup.versions[number].state == "published":
        try:
            lineup = await desk.publish(str(challenger.place), number)
        except BadModel as exc:
            return _result(await desk.lineup(), digest, plan, challenger, str(exc))
        number = _number(lineup, digest)
    if number is None:
        raise StreamrankError(f"{desk.model}: the version that was just published is gone: somebody else pruned it")
    known = lineup.versions[number]
    if known.state == "validated":
        if lineup.champion != plan.champion:
            raise PointerMoved(
                f"{desk.model}/{number} was judged against version {plan.champion}, but the champion is"
                f" {lineup.champion} by now: it stays validated, and another one is trained"
            )
        lineup = await _step(desk, number, settings)
    return _result(lineup, digest, plan, challenger, known.why if known.state == "rejected" else None)


async def _step(desk: Desk, version: int, settings: Settings) -> Lineup:
    if settings.trainer_publish == "shadow":
        return await desk.shadow(version)
    if settings.trainer_publish == "canary":
        return await desk.canary(version, settings.trainer_canary_share)
    return await desk.promote(version)


def _number(lineup: Lineup, digest: str) -> int | None:
    return next((version for version, known in lineup.versions.items() if known.manifest_sha256 == digest), None)


def _digest(place: Path) -> str:
    return hashlib.sha256((place / MANIFEST_FILE).read_bytes()).hexdigest()


def _result(lineup: Lineup, digest: str, plan: Plan, challenger: Challenger, refused: str | None) -> Result:
    number = _number(lineup, digest) or lineup.highest
    known = lineup.versions.get(number)
    return Result(plan.because, number, known.state if known else "rejected", refused, challenger.metrics)
