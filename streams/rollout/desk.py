"""What an operator does with a model: publish, shadow, canary, promote, roll back, prune.

Order of every change: files in place, loaded, ready, compared with their file -> pointer -> events -> old versions out.
A command that dies at any instruction leaves a repository from which Triton starts, and a pointer whose versions are
in it; what it left over, the next command clears away.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from inference.repository import ModelFolder, is_ready, load, versions
from inference.source import staged
from inference.trial import serve, time_against
from inference.triton_ranker import TritonAddress
from inference.verify import verify
from streams.errors import BadModel, Misuse, StreamrankError, Unreachable
from streams.rollout import lineup as steps
from streams.rollout.announce import announce
from streams.rollout.lineup import Lineup
from streams.rollout.pointer import HEARTBEAT_TTL_S, Pointer, PointerMoved
from streams.settings import Settings

FOLLOW_S = HEARTBEAT_TTL_S + 5.0
"""How long to wait until every worker shows the new lineup. A dead one's heartbeat has ended by then."""
TIMEOUT_SHARE = 0.5
"""The share of `triton_timeout_s` that the usual request may take; above it, a busy moment means a fallback."""
_POLL_S = 0.05

log = logging.getLogger(__name__)


class Desk:
    """One operator's commands on the model of the settings; `who` and `why` are written beside each change."""

    def __init__(
        self, settings: Settings, pointer: Pointer, address: TritonAddress, who: str, why: str, clock: Callable[[], int]
    ) -> None:
        """`clock` returns milliseconds since 1970."""
        if settings.triton_repository is None:
            raise Misuse("triton_repository: name the model repository that Triton serves")
        self.model = settings.triton_model
        self.folder = ModelFolder(settings.triton_repository, self.model)
        self.pointer = pointer
        self._settings = settings
        self._address = address
        self._who, self._why = who, why
        self._clock = clock

    async def lineup(self) -> Lineup:
        """Return what is served now."""
        return await self.pointer.read() or steps.first(self.model, self._settings.triton_version)

    async def publish(self, source: str, version: int | None) -> Lineup:
        """Enter the version in folder (or URL) `source`, try it, and leave it validated; nothing served changes.

        Raises:
            BadModel: it is rejected, and why.
            Misuse: the number is taken.
        """
        seen = await self.lineup()
        number = version or 1 + max([seen.highest, *versions(self.folder.served), *versions(self.folder.shelf)])
        steps.published(seen, number, None)
        with staged(source, number) as copy:
            try:
                manifest, digest = verify(copy, number)
            except BadModel as exc:
                await self._change(lambda now: steps.published(now, number, None))
                await self._reject(number, None, exc)
                raise
            await self._change(lambda now: steps.published(now, number, digest))
            times = await self._try(copy / str(number), number, digest)
            metrics = {**manifest.metrics, **times}
            validated = await self._change(lambda now: steps.judged(now, number, digest, None, metrics))
            await self._tell()
            return validated

    async def refuse(self, manifest_sha256: str, because: str, metrics: dict[str, float]) -> Lineup:
        """Enter a version that isn't to be published as rejected: people see what was tried, and what came of it."""
        seen = await self.lineup()
        number = 1 + max([seen.highest, *versions(self.folder.served), *versions(self.folder.shelf)])

        def step(now: Lineup) -> Lineup:
            entered = steps.published(now, number, manifest_sha256)
            return steps.judged(entered, number, manifest_sha256, because, metrics)

        rejected = await self._change(step)
        await self._tell()
        return rejected

    async def shadow(self, version: int) -> Lineup:
        """Have a version score what the champion scores, unseen."""
        return await self._point(version, lambda now: steps.shadowed(now, version))

    async def canary(self, version: int, share: float) -> Lineup:
        """Have a version serve a share of the users."""
        return await self._point(version, lambda now: steps.canaried(now, version, share))

    async def promote(self, version: int) -> Lineup:
        """Make a version the champion."""
        return await self._point(version, lambda now: steps.promoted(now, version))

    async def conclude(self, version: int, *, promote: bool, evidence: dict[str, float]) -> Lineup:
        """End the trial of the canary `version`.

        Raises:
            Misuse: it is the canary no more.
            PointerMoved: somebody else was first.
        """

        def end(now: Lineup) -> Lineup:
            return steps.concluded(now, version, promote, evidence)

        return await (self._point(version, end) if promote else self._take_away(end))

    async def roll_back(self, version: int | None) -> Lineup:
        """Take a version away from users, by default the champion: no files move before the pointer does."""
        return await self._take_away(lambda now: steps.rolled_back(now, version or now.champion))

    async def _take_away(self, step: Callable[[Lineup], Lineup]) -> Lineup:
        seen = await self.lineup()
        after = step(seen)
        if not is_ready(self._address, self.model, after.champion):
            with self.folder.alone():
                self._bring_in(after.champion)
        await self._move(seen, after)
        await self._tell()
        await self._settle_or_warn()
        return after

    async def prune(self, keep: int) -> tuple[Lineup, list[int]]:
        """Clear away what commands left over, and delete all but the newest `keep` versions that don't serve."""
        await self.settle()
        seen = await self.lineup()
        idle = sorted({*versions(self.folder.shelf), *seen.versions} - seen.loaded)
        gone = idle[: max(0, len(idle) - keep)]
        if gone:
            seen = await self._move(seen, steps.forgotten(seen, set(gone)))
            with self.folder.alone():
                for version in gone:
                    self.folder.discard(version)
        await self._tell()
        return seen, gone

    async def settle(self) -> None:
        """Take out of the repository what the lineup doesn't name, once every worker follows the lineup.

        A worker that doesn't follow in time keeps the files where they are; the next command tries again.
        """
        if not await self._followed():
            log.warning("old versions stay loaded, a worker does not follow", extra={"model": self.model})
            return
        with self.folder.alone():
            now = await self.lineup()
            left = [version for version in versions(self.folder.served) if version not in now.loaded]
            for version in left:
                self.folder.take_out(version)
            if left:
                load(self._address, self.model)

    async def _settle_or_warn(self) -> None:
        try:
            await self.settle()
        except StreamrankError as exc:
            log.warning("old versions stay loaded", extra={"model": self.model, "reason": str(exc)})

    async def _point(self, version: int, step: Callable[[Lineup], Lineup]) -> Lineup:
        """Take a step from the lineup as it is now, with the version that it needs served first.

        Raises:
            PointerMoved: somebody else was first.
            BadModel: the version doesn't serve; nothing served changes.
        """
        seen = await self.lineup()
        after = step(seen)
        try:
            with self.folder.alone():
                self._bring_in(version)
                await self._move(seen, after)
            await self._tell()
        finally:
            await self._settle_or_warn()
        return after

    def _bring_in(self, version: int) -> None:
        place = self.folder.where(version)
        if place is None:
            raise BadModel(f"{self.model}/{version}: its files are not in {self.folder.served.parent}: publish it anew")
        if place == self.folder.shelf:
            self.folder.bring_in(version)
        if not is_ready(self._address, self.model, version):
            serve(self._address, self.model, version, self.folder.served)

    async def _try(self, copy: Path, version: int, digest: str) -> Mapping[str, float]:
        """Have Triton serve the version beside the others, and put it on the shelf again; return its times.

        Raises:
            BadModel: it is rejected, and why.
        """
        with self.folder.alone():
            self.folder.add(copy, version)
            self.folder.bring_in(version)
            try:
                serve(self._address, self.model, version, self.folder.served)
                champion = (await self.lineup()).champion
                limit_s = self._settings.triton_timeout_s * TIMEOUT_SHARE
                times = time_against(self._address, self.model, version, champion, limit_s)
            except BadModel as exc:
                self._withdraw(version)
                self.folder.discard(version)
                await self._reject(version, digest, exc)
                raise
            except Unreachable:  # with a server that ended over it, it must not be there when that starts again
                self.folder.take_out(version)
                raise
            self._withdraw(version)
            return times

    def _withdraw(self, version: int) -> None:
        self.folder.take_out(version)
        load(self._address, self.model)

    async def _reject(self, version: int, digest: str | None, because: StreamrankError) -> None:
        await self._change(lambda now: steps.judged(now, version, digest, str(because), {}))
        await self._tell()

    async def _change(self, step: Callable[[Lineup], Lineup]) -> Lineup:
        """Take a step that changes nothing served, from whatever lineup there is."""
        while True:
            seen = await self.lineup()
            try:
                return await self._move(seen, step(seen))
            except PointerMoved:
                continue

    async def _move(self, seen: Lineup, after: Lineup) -> Lineup:
        events = steps.changes(seen, after, at_ms=self._clock(), who=self._who, why=self._why)
        await self.pointer.move(seen, after, list(events))
        return after

    async def _tell(self) -> None:
        try:
            await announce(self.pointer, self._settings)
        except Unreachable as exc:
            log.warning("models topic waits", extra={"reason": str(exc)})

    async def _followed(self) -> bool:
        """Wait until every worker serves by the lineup of now; False if one doesn't in FOLLOW_S."""
        revision = (await self.lineup()).revision
        deadline = time.monotonic() + FOLLOW_S
        while any(beat.revision < revision for beat in (await self.pointer.heartbeats()).values()):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True
