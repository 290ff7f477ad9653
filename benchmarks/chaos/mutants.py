"""Workers that are broken on purpose, one promise each, and the short schedule that must find it.

The patch is applied to a copy of the sources, which the workers run; the judge keeps the sources as they are.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos.crew import SOURCES
from benchmarks.chaos.schedule import Outcome, Plan, run
from streams.errors import StreamrankError

PACKAGES = ("streams", "inference", "triton_models")
RATE_PER_S = 600.0


class PatchDoesNotFit(StreamrankError):
    """The sources have changed: write the mutant anew."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` is replaced by `new` in the file `path`; `faults` over `seconds` of load show what that does."""

    path: str
    old: str
    new: str
    faults: Sequence[str] = ()
    seconds: float = 4.0


MUTANTS = {
    "event ids are not remembered": Mutant(
        "streams/features/user.py",
        "    return None if _remembers(seen, digest) else (digest + seen)",
        "    return (digest + seen)",
    ),
    "commits are not fenced": Mutant(
        "streams/store/commit.lua",
        "  if not first then return answer(1) end",
        "",
        ("commit arrives after its worker's death", "commit arrives after its worker's death"),
        8.0,
    ),
    "the outbox is not published again": Mutant(
        "streams/agents/process.py",
        "        await self._publisher.publish(await self._pipeline.outbox(self._unpublished[-1]))\n",
        "",
        ("worker killed before it published", "worker killed before it published"),
        8.0,
    ),
    "Kafka says where to read on": Mutant(
        "streams/agents/place.py",
        "for at in [stored[tp.partition].offset if tp.topic",
        "for at in [committed.get(tp, 0) - 1 if tp.topic",
        ("worker killed", "worker killed", "worker killed"),
        8.0,
    ),
}


def run_mutant(mutant: Mutant, seed: int) -> Outcome:
    """Run the mutant's schedule and return what was found: if nothing is broken, the judge is blind.

    Raises:
        PatchDoesNotFit: the sources don't hold what is to be replaced.
    """
    with _copy(mutant) as code:
        events = round(mutant.seconds * RATE_PER_S)
        return run(Plan(seed, mutant.faults, events, RATE_PER_S, code=code, workers=2))


@contextmanager
def _copy(mutant: Mutant) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="streamrank-mutant-") as folder:
        code = Path(folder)
        for package in PACKAGES:
            shutil.copytree(SOURCES / package, code / package)  # with what was compiled, or each worker would anew
        place = code / mutant.path
        text = place.read_text("utf-8")
        if text.count(mutant.old) != 1:
            raise PatchDoesNotFit(f"{mutant.path} holds what is to be replaced {text.count(mutant.old)} times")
        place.write_text(text.replace(mutant.old, mutant.new), "utf-8")
        yield code
